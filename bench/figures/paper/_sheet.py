"""What the figures of a paper draw: the finished runs of one dataset and preset, summarised once."""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import stats
from bench.figures.styles import Style, told_apart
from bench.metrics.catalogue import METRICS
from bench.pages._sweep import POSTERIORS, Setting
from bench.records.folder import BASELINE
from bench.records.sweep import of_table

Table = Any
"""A pd.DataFrame. Without stubs a type checker takes its columns for bare arrays and objects."""

QUALITY = ("psnr", "ssim", "elbo", "lpips", "rfid")
"""The first that was measured ranks the estimators."""
CODEBOOK = ("usage", "perplexity")
FOLLOWED = 12
"""Estimators with a look of their own in figures that show them by their looks; more nobody tells apart in print."""
SHORTENED = 44
"""Characters of a name that are printed."""


@dataclass(frozen=True)
class Sheet:
    """A method is called by its name, which is its estimator with the settings that set it apart, and its posterior."""

    setting: Setting
    runs_folder: Path

    @functools.cached_property
    def _ended(self) -> Table:
        """Rows of the runs that finished or diverged, with the method's name as the estimator."""
        setting = self.setting
        ended = {run.name for run in setting.compared if run.state in ("done", "diverged")}
        frame = setting.frame[setting.frame["run"].isin(ended)]
        names = frame["method"].map(dict(enumerate(method.name for method in setting.methods)))
        return frame.assign(estimator=names.astype(str), seed=frame["seed"].fillna(-1).astype(int))

    @functools.cached_property
    def values(self) -> Table:
        """One row per run and metric drawn here, as in `stats.finals`."""
        found = stats.finals(self._ended)
        return found[found["metric"].isin((*QUALITY, *CODEBOOK, "bits"))]

    @functools.cached_property
    def summary(self) -> Table:
        """Mean and interval of each method and metric that has one, as in `stats.summary`."""
        found = stats.summary(self.values)
        return found[(found["statistic"] == "mean") & (found["dataset"] != stats.ALL) & found["estimate"].notna()]

    @functools.cached_property
    def curves(self) -> Table:
        """Test rows of the finished runs, in order of steps."""
        return of_table(self._ended).curves

    @functools.cached_property
    def metric(self) -> str | None:
        """That ranks. None while no run has finished."""
        return next((metric for metric in QUALITY if len(self._ended) and self.measured(metric)), None)

    def measured(self, metric: str) -> bool:
        return bool((self.summary["metric"] == metric).any())

    @functools.cached_property
    def names(self) -> list[str]:
        """Of the methods that finished or diverged, best first, those without a value last."""
        order = list(dict.fromkeys(method.name for method in self.setting.methods if not method.is_baseline))
        drawn = [name for name in order if name in set(self._ended["estimator"])]
        rows = self.summary[self.summary["metric"] == self.metric]
        sign = 1 if self.metric is None or METRICS[self.metric].better == "lower" else -1
        best = (sign * rows["estimate"]).groupby(rows["estimator"]).min()
        return sorted(drawn, key=lambda name: best.get(name, np.inf))

    @functools.cached_property
    def families(self) -> dict[str, str]:
        """The estimator of every name, whatever its settings."""
        return {method.name: method.estimator for method in self.setting.methods}

    @functools.cached_property
    def posteriors(self) -> list[str]:
        found = set(self._ended["posterior"])
        return [p for p in POSTERIORS if p in found] + sorted(found - set(POSTERIORS))

    @functools.cached_property
    def styles(self) -> dict[str, Style]:
        """Of every name, best first. The first ones have markers of their own, which grey print needs."""
        known = {method.name: method.style for method in self.setting.methods}
        return told_apart({name: known[name] for name in self.names})

    @functools.cached_property
    def followed(self) -> list[str]:
        """The best, those that keep their looks where there are too many."""
        return self.names[:FOLLOWED]

    @functools.cached_property
    def labels(self) -> dict[str, str]:
        """The names, short enough to be printed, and still all different."""
        labels = unlike(shortened(name.replace(" · ", ", ")) for name in self.names)
        return dict(zip(self.names, labels, strict=True))

    def diverged(self, name: str, posterior: str) -> tuple[int, int]:
        """How many of its runs, and how many there are."""
        runs = self.runs
        mine = runs[(runs["estimator"] == name) & (runs["posterior"] == posterior)]
        return int((mine["ended"] == "diverged").sum()), len(mine)

    @functools.cached_property
    def runs(self) -> Table:
        return of_table(self._ended).ended

    def marked(self, label: str, names: Iterable[str]) -> str:
        """The label of these names, with a dagger if some of their runs diverged."""
        lost = any(self.diverged(name, posterior)[0] for name in names for posterior in self.posteriors)
        return f"{label} †" if lost else label

    def baseline(self, metric: str) -> float:
        """What the mean training image scores; NaN where that was not measured."""
        frame = self.setting.frame
        rows = frame[(frame["estimator"] == BASELINE) & (frame["split"] == "test") & (frame["metric"] == metric)]
        return float(rows["value"].mean())

    def of(self, table: Table, name: str, posterior: str, metric: str) -> Table:
        """Rows of a table that has these columns."""
        chosen = (table["estimator"] == name) & (table["posterior"] == posterior) & (table["metric"] == metric)
        return table[chosen]

    @functools.cached_property
    def place(self) -> str:
        return f"{self.setting.dataset}, preset {self.setting.preset}"

    @functools.cached_property
    def images(self) -> str:
        """Test images behind the metric that ranks."""
        rows = self.setting.frame
        return span(rows["n"][(rows["metric"] == self.metric) & rows["run"].isin(self.runs["run"])])


def shortened(name: str, most: int = SHORTENED) -> str:
    """Without its middle if it is too long: what tells variants apart stands at the end."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def unlike(texts: Iterable[str]) -> list[str]:
    """The texts; one that came before gets a number."""
    counts: Counter[str] = Counter()
    found = []
    for text in texts:
        counts[text] += 1
        found.append(f"{text}-{counts[text]}" if counts[text] > 1 else text)
    return found


def span(numbers: Table) -> str:
    """5, or 3 to 5."""
    known = pd.Series(numbers).dropna()
    low, high = int(known.min()), int(known.max())
    return f"{low}" if low == high else f"{low} to {high}"
