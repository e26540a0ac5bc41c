"""Tables of final values: one model of them (`model`), and what prints it. `diff` compares two sweeps."""

from bench.tables.model import Model, model
from bench.tables.tuning import of_tuning
from bench.tables.views import Format, Grid, terminal, write

__all__ = ["Format", "Grid", "Model", "model", "of_tuning", "terminal", "write"]
