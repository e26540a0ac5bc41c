"""What the figures draw: the rows of one dataset and preset, sorted out once."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bench.figures.styles import Style, styles

Table = Any
"""A pd.DataFrame. Without stubs a type checker takes its columns for bare arrays and objects."""

BASELINE = "baseline:mean"
_POSTERIORS = ("factorised", "causal")


@dataclass(frozen=True)
class View:
    """The tidy table of one dataset and preset (columns as in `bench.records`), in the shapes figures need.

    Values are in the metric's own unit; infinities count as missing.
    """

    frame: Table

    @functools.cached_property
    def tests(self) -> Table:
        """Test rows of the sampled readout, in order of steps. Without the baseline."""
        frame = self.frame
        chosen = (frame["split"] == "test") & (frame["readout"] == "sample") & (frame["estimator"] != BASELINE)
        rows = frame[chosen]
        return rows.assign(value=rows["value"].replace([np.inf, -np.inf], np.nan)).sort_values("step")

    @functools.cached_property
    def finals(self) -> Table:
        """The rows of `tests` at each run's last evaluation, without the runs that diverged."""
        rows = self.tests[~self.tests["run"].isin(self.diverged)]
        return rows[rows["step"] == rows.groupby("run")["step"].transform("max")]

    @functools.cached_property
    def diverged(self) -> set[str]:
        return set(self.frame["run"][self.frame["metric"] == "diverged"])

    @functools.cached_property
    def runs(self) -> Table:
        """One row per run, without the baseline: run, estimator, posterior, seed. In order of seeds."""
        rows = self.frame[self.frame["estimator"] != BASELINE]
        return rows[["run", "estimator", "posterior", "seed"]].drop_duplicates("run").sort_values(["seed", "run"])

    @functools.cached_property
    def styles(self) -> dict[str, Style]:
        """Of every estimator, in reading order."""
        return styles(self.runs["estimator"])

    @functools.cached_property
    def posteriors(self) -> list[str]:
        found = set(self.runs["posterior"])
        return [p for p in _POSTERIORS if p in found] + sorted(found - set(_POSTERIORS))

    def baseline(self, metric: str) -> float:
        """What the mean training image scores; NaN where that was not measured."""
        frame = self.frame
        chosen = (frame["estimator"] == BASELINE) & (frame["split"] == "test") & (frame["metric"] == metric)
        return float(frame["value"][chosen].mean())

    @functools.cached_property
    def usage_by_position(self) -> Float[np.ndarray, "rows positions"]:
        """Mean over seeds of the fraction of codes used. A row per estimator and posterior, the posteriors of
        one estimator next to each other; NaN where nothing was measured."""
        rows = self.finals[self.finals["metric"].str.fullmatch(r"usage/\d+")]
        position = rows["metric"].str.removeprefix("usage/").astype(int)
        table = rows.assign(position=position).pivot_table("value", ["estimator", "posterior"], "position")
        cells = pd.MultiIndex.from_product([self.styles, self.posteriors])
        return table.reindex(cells).to_numpy(float)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """Where each posterior lies within the row of an estimator, in rows, evenly spread around 0."""
        count = len(self.posteriors)
        return (np.arange(count) + 0.5) / count - 0.5

    @functools.cached_property
    def images(self) -> int:
        """Test images behind the numbers."""
        return int(self.tests["n"].max())

    @functools.cached_property
    def setting(self) -> str:
        first = self.frame.iloc[0]
        dataset = first["dataset"] if len(first["dataset"]) <= 40 else f"…{first['dataset'][-39:]}"
        return f"{dataset}, preset {first['preset']}"

    @functools.cached_property
    def title(self) -> str:
        """Dataset, preset, seeds and images behind the numbers, on one line."""
        seeds = self.runs.groupby(["estimator", "posterior"])["seed"].nunique()
        plural = "" if seeds.max() == 1 else "s"
        return f"{self.setting}, {_span(seeds)} seed{plural}, {self.images} test images"

    @functools.cached_property
    def last_steps(self) -> str:
        return f"{_span(self.finals['step'])} steps"

    @functools.cached_property
    def labels(self) -> list[str]:
        """The names in `styles`, with how many of their runs diverged, if any."""
        lost = self.runs["run"].isin(self.diverged).groupby(self.runs["estimator"]).agg(["sum", "size"])
        counts = {name: f" ({some}/{all_} diverged)" if some else "" for name, some, all_ in lost.itertuples()}
        return [name + counts[name] for name in self.styles]

    @functools.cached_property
    def longest_label(self) -> int:
        return max(map(len, self.labels))


def measured(rows: Table, metric: str) -> bool:
    return bool(rows["value"][rows["metric"] == metric].notna().any())


def _span(numbers: Table) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{low}–{high}"
