"""The timings as a table, for the terminal and for files."""

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.speed._measure import Timing
from bench.tables import Grid
from bench.text import number

COLUMNS = {
    "ms/step": (lambda t: t.ms, 1),
    "GFLOP": (lambda t: t.gflop, 2),
    "floor ms": (lambda t: t.floor_ms, 1),
    "time / floor": (lambda t: t.ratio, 2),
    "GB": (lambda t: t.gigabytes, 2),
    "bytes ms": (lambda t: t.traffic_ms, 1),
    "sampling ms": (lambda t: t.sampling_ms, 1),
    "sampling / floor": (lambda t: t.sampling_ratio, 2),
    "loop overhead %": (lambda t: t.loop_percent, 1),
}
NAMES = ("dataset", "estimator", "posterior")


def table(timings: Sequence[Timing], names: Sequence[str] = NAMES) -> Grid:
    """One line per timing."""
    rows = [
        [*(getattr(timing, name) for name in names), *(number(value(timing), p) for value, p in COLUMNS.values())]
        for timing in timings
    ]
    return Grid([*names, *COLUMNS], rows, "l" * len(names) + "r" * len(COLUMNS))


def frame(timings: Iterable[Timing]) -> pd.DataFrame:
    """A row per timing, in its own fields and the two ratios."""
    return pd.DataFrame([{**vars(t), "ratio": t.ratio, "sampling_ratio": t.sampling_ratio} for t in timings])
