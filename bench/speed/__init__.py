"""How fast a training step is, as a ratio to its arithmetic; what the loop around it costs; and whether that got worse.

Machines are shared and differ, so only ratios mean anything: a floor is the work of a step, counted, at the rate that
this machine reached in between the steps.
"""

from bench.speed._measure import Size, Timing, measure, size, sizes
from bench.speed._reference import REFERENCE, SLOWER, compare, load, table, write

__all__ = ["REFERENCE", "SLOWER", "Size", "Timing", "compare", "load", "measure", "size", "sizes", "table", "write"]
