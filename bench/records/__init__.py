"""What runs leave: a folder each, one tidy table of all, and the sweep that they make.

`load` gives the table, `read` the sweep: its methods, their last values and curves.
"""

from typing import TYPE_CHECKING

from bench.records.folder import RUN_COLUMNS
from bench.records.table import COLUMNS, COST_COLUMNS, KEYS, check, load, open_sweep, states, write_table

if TYPE_CHECKING:
    from bench.records.sweep import Comparison, Sweep, of_table, read

__all__ = [
    "COLUMNS", "COST_COLUMNS", "KEYS", "RUN_COLUMNS", "Comparison", "Sweep", "check", "load", "of_table", "open_sweep",
    "read", "states", "write_table",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """What needs pandas waits until somebody asks: `bench status` does not."""
    if name in ("Comparison", "Sweep", "of_table", "read"):
        from bench.records import sweep

        return getattr(sweep, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
