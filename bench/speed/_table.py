"""The timings as a table, for the terminal and for files."""

import math
from collections.abc import Iterable

import pandas as pd
from rich.table import Table

from bench.speed._measure import Timing

COLUMNS = {
    "ms/step": (lambda t: t.ms, ".1f"),
    "GFLOP": (lambda t: t.gflop, ".2f"),
    "floor ms": (lambda t: t.floor_ms, ".1f"),
    "time / floor": (lambda t: t.ratio, ".2f"),
    "GB": (lambda t: t.gigabytes, ".2f"),
    "bytes ms": (lambda t: t.traffic_ms, ".1f"),
    "sampling ms": (lambda t: t.sampling_ms, ".1f"),
    "sampling / floor": (lambda t: t.sampling_ratio, ".2f"),
    "loop overhead %": (lambda t: t.loop_percent, ".1f"),
}
NAMES = ("dataset", "estimator", "posterior")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def table(timings: Iterable[Timing]) -> Table:
    """One line per dataset, estimator and posterior."""
    made = Table(*NAMES, *COLUMNS)
    for column in made.columns[len(NAMES) :]:
        column.justify = "right"
    for timing in timings:
        numbers = (_number(value(timing), form) for value, form in COLUMNS.values())
        made.add_row(*(getattr(timing, name) for name in NAMES), *numbers)
    return made


def markdown(timings: Iterable[Timing]) -> str:
    """The same, without the dataset."""
    names = NAMES[1:]
    lines = ["| " + " | ".join([*names, *COLUMNS]) + " |", "|" + "---|" * len(names) + "---:|" * len(COLUMNS)]
    for timing in timings:
        cells = [getattr(timing, name) for name in names]
        cells += [_number(value(timing), form) for value, form in COLUMNS.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def frame(timings: Iterable[Timing]) -> pd.DataFrame:
    """A row per timing, in its own fields and the two ratios."""
    return pd.DataFrame([{**vars(t), "ratio": t.ratio, "sampling_ratio": t.sampling_ratio} for t in timings])
