"""How fast a training step is, as a ratio to its arithmetic; what the loop around it costs; and whether that got worse.

Machines are shared and differ, so only ratios mean anything: a floor is the work of a step, counted, at the rate that
this machine reached in between the steps.
"""

from bench.speed._measure import Size, measure, size
from bench.speed._timings import REFERENCE, SLOWER, Timing, compare, load, table, write

__all__ = ["REFERENCE", "SLOWER", "Size", "Timing", "compare", "load", "measure", "size", "table", "write"]
