"""THE model of a table of final values: methods by metrics, each cell with its mean, interval, mark and note.

Terminal, Markdown, LaTeX, CSV and pages are renderings of it, so that all print the same digits in the same order.
"""

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import stats
from bench.metrics.catalogue import Metric, columns, describe
from bench.records.sweep import AXES, Comparison, Table
from bench.text import counted, decimals, number, short

RULE = (
    "Mean over seeds with its 95 % interval. Bold: the best mean of a column, and those that are not separable from "
    "it (paired t test over seeds, Holm-corrected within the column, 5 %; with fewer than 3 shared seeds: none). "
    "Columns without a good direction have no best."
)
OF_MEAN_IMAGE = "the mean training image"
"""Where a baseline's value comes from."""
MARKS = {"best": "★", "tied": "≈", "untested": "?", "worse": "", "": ""}
MEANINGS = {
    "best": "best mean",
    "tied": "not separable from the best",
    "untested": "too few shared seeds for a test",
    "worse": "worse than the best",
    "": "",
}


@dataclass(frozen=True)
class Cell:
    """Numbers are NaN where there are none, as in a cell without a value."""

    metric: Metric
    mean: float = math.nan
    low: float = math.nan
    """Of the 95 % interval."""
    high: float = math.nan
    sd: float = math.nan
    """Over seeds."""
    n: int = 0
    """Seeds."""
    method: str = stats.interval([]).method
    """How the interval was made, or why there is none."""
    places: int = 0
    """Decimals of the whole column."""
    mark: str = ""
    """A key of MARKS."""
    test: str = ""
    """What the comparison with the best said."""

    @property
    def known(self) -> bool:
        return not math.isnan(self.mean)

    @property
    def text(self) -> str:
        """The mean."""
        return short(self.mean) if self.metric.short else number(self.mean, self.places)

    @property
    def interval(self) -> tuple[str, str] | None:
        """Its ends; None where there is none, or none that shows."""
        low, high = number(self.low, self.places), number(self.high, self.places)
        return None if math.isnan(self.low) or low == high else (low, high)

    @property
    def spread(self) -> str:
        """The standard deviation over seeds; empty for one seed, and for what all seeds share."""
        return "" if math.isnan(self.sd) or self.metric.constant else number(self.sd, self.places)

    @property
    def with_spread(self) -> str:
        """★ 17.03 ±0.12."""
        mark = f"{MARKS[self.mark]} " if self.is_bold else ""
        return f"{mark}{self.text} ±{self.spread}" if self.spread else mark + self.text

    @property
    def with_interval(self) -> str:
        """17.03 [16.91, 17.15]; 17.0 (n=2) where too few seeds have an interval."""
        if self.interval:
            return f"{self.text} [{', '.join(self.interval)}]"
        few = self.known and not self.metric.constant and math.isnan(self.low) and self.method != OF_MEAN_IMAGE
        return f"{self.text} (n={self.n})" if few else self.text

    @property
    def is_bold(self) -> bool:
        """By RULE."""
        return self.mark in ("best", "tied")

    @property
    def note(self) -> str:
        """For a tooltip."""
        if self.metric.constant or not self.known:
            return ""
        source = self.method if math.isnan(self.low) else f"{counted(self.n)}, 95 % interval: {self.method}"
        return "; ".join(part for part in (source, self.test) if part)


@dataclass(frozen=True)
class Row:
    method: int
    """Index into the comparison's methods."""
    cells: list[Cell]
    """As `Model.columns`."""
    runs: str
    """How many ended how."""


@dataclass(frozen=True)
class Model:
    comparison: Comparison
    columns: list[Metric]
    rows: list[Row]
    """Best first by the metric that ranks, or else by the first column; the baseline last."""

    @functools.cached_property
    def cells(self) -> dict[str, dict[int, Cell]]:
        """By metric and method, those with a value."""
        return {
            column.name: {row.method: row.cells[place] for row in self.rows if row.cells[place].known}
            for place, column in enumerate(self.columns)
        }

    def marked(self, metric: str, mark: str) -> list[int]:
        """Methods with this mark in the column, best first."""
        cells = self.cells[metric]
        return [i for i in self.comparison.ordered_by(metric) if i in cells and cells[i].mark == mark]


def model(comparison: Comparison, metrics: Sequence[str] = ()) -> Model:
    """The table of a comparison: those of these metrics that were measured, or those that usually stand in tables."""
    shown = [metric for metric in comparison.means if metric in (metrics or columns())]
    found = {metric: _column(comparison, describe(metric)) for metric in shown}
    order = comparison.order if comparison.metric in shown or not shown else comparison.ordered_by(shown[0])
    rows = [
        Row(index, [found[m].get(index, Cell(describe(m))) for m in shown], comparison.endings(index))
        for index in order
    ]
    return Model(comparison, [describe(metric) for metric in shown], rows)


def _column(comparison: Comparison, metric: Metric) -> dict[int, Cell]:
    """A cell per method that has a value, the baseline among them."""
    source = comparison.spent if metric.name in AXES else comparison.finals
    values = source[source["metric"] == metric.name].dropna(subset="value")
    scores = {int(index): mine.to_numpy(float) for index, mine in values.groupby("method")["value"]}
    intervals = {index: stats.interval([mine]) for index, mine in scores.items()}
    places = metric.places if metric.places is not None else _decimals(list(intervals.values()))
    best = comparison.best(metric.name) if metric.better else None
    tests = _tests(comparison, values, best) if best is not None else {}
    cells = {}
    for index, found in intervals.items():
        mark, said = _mark(index, best, tests.get(index))
        sd = float(np.std(scores[index], ddof=1)) if len(scores[index]) > 1 else math.nan
        low, high = (math.nan, math.nan) if metric.constant else (found.low, found.high)
        cells[index] = Cell(metric, found.estimate, low, high, sd, found.n, found.method, places, mark, said)
    value = comparison.baseline(metric.name)
    for index, method in enumerate(comparison.methods):
        if method.is_baseline and not math.isnan(value):
            cells[index] = Cell(metric, value, n=1, method=OF_MEAN_IMAGE, places=places)
    return cells


def _tests(comparison: Comparison, values: Table, best: int) -> dict[int, dict]:
    """Rows of `stats.paired_differences` to the best, by method."""
    index = {(method.name, method.posterior): i for i, method in enumerate(comparison.methods)}
    reference = comparison.methods[best].name, comparison.methods[best].posterior
    rows = stats.paired_differences(values, reference).to_dict("records")
    return {index[row["estimator"], row["posterior"]]: row for row in rows}


def _mark(index: int, best: int | None, test: dict | None) -> tuple[str, str]:
    """A key of MARKS, and what the test said."""
    if best is None:
        return "", ""
    if index == best:
        return "best", MEANINGS["best"]
    if test is None or math.isnan(test["p_holm"]):
        return "untested", MEANINGS["untested"]
    mark = "worse" if test["verdict"] in ("worse", "better") else "tied"
    return mark, f"{MEANINGS[mark]}: p = {test['p_holm']:.2g} after Holm, {int(test['n'])} shared seeds"


def _decimals(intervals: list[stats.Interval]) -> int:
    """Two digits of a typical half interval."""
    halves = [(found.high - found.low) / 2 for found in intervals if found.known and found.high > found.low]
    return decimals(statistics.median(halves) if halves else 0.0, max(abs(found.estimate) for found in intervals))
