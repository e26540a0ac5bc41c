"""Looking up the values of runs: by setting, method and metric, paired by seed.

Which values those are is the reader's business (`bench.records.sweep`): `finals`, `curves` and `ended` are its.
"""

import math
from collections import Counter, defaultdict

import numpy as np

from bench.metrics.catalogue import METRICS, Metric, find, ranked
from bench.records.sweep import AXES, METHOD, SETTING, Comparison, Sweep, Table, as_sweep
from bench.records.table import VALUE_COLUMNS
from bench.stats.scores import Scores

Method = tuple[str, str]
"""Estimator (its name, with the settings that set it apart) and posterior."""
Setting = tuple[str, str]
"""Dataset and preset."""
Source = Sweep | Comparison | Table
"""A sweep, a part of it, or the tidy table alone."""

RESOLUTION = 1e-6
"""Of a value. Smaller differences are no differences: values come from single precision."""


def finals(source: Source) -> Table:
    """What each run came to: its value of every metric at its last evaluation, and its costs. VALUE_COLUMNS.

    `source` is what `bench.records.read` gives, or the tidy table. Runs that diverged or are unfinished are there with
    missing values, so that they are counted; `ended` says which.
    """
    return as_sweep(source).finals


def check_axis(axis: str) -> None:
    """Raises ValueError for what a run does not cost."""
    if axis not in AXES:
        raise ValueError(f"unknown cost {axis!r}; try one of {', '.join(AXES)}")


def directed(metric: str) -> Metric:
    """Raises ValueError for what is not measured, and for what is better at neither end."""
    found = find(metric)
    if not found.better:
        raise ValueError(f"more {metric} is neither better nor worse; try one of {', '.join(ranked())}")
    return found


BySeed = dict[int, float]
"""A method's values of a metric on one dataset and preset, in order of seeds."""


class Values:
    """The finite values of a table of values, looked up by dataset, preset, method and metric."""

    def __init__(self, values: Table) -> None:
        """Raises ValueError for a table of whole runs where one value per run is wanted."""
        if not {*VALUE_COLUMNS} - {"n", "method"} <= set(values.columns) or values.duplicated(["run", "metric"]).any():
            raise ValueError("this table has many values per run; try finals(table)")
        ordered = values.sort_values([column for column in ("method", "seed") if column in values])
        self._values: dict[tuple[str, ...], BySeed] = defaultdict(dict)
        self._ended: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        columns = (ordered[column] for column in (*SETTING, *METHOD, "metric", "seed", "value", "ended"))
        for *key, seed, value, ended in zip(*columns, strict=True):
            self._ended[tuple(key)][ended] += 1
            if math.isfinite(value):
                self._values[tuple(key)][seed] = float(value)
        self.settings: list[Setting] = sorted({key[:2] for key in self._ended})  # type: ignore[misc]

    def __call__(self, setting: Setting, method: Method, metric: str) -> BySeed:
        return self._values.get((*setting, *method, metric), {})

    def strata(self, settings: list[Setting], method: Method, metric: str) -> list[BySeed]:
        return [self(setting, method, metric) for setting in settings]

    def ended(self, settings: list[Setting], method: Method, metric: str, how: str) -> int:
        """Runs that ended so: "done", "diverged" or "unfinished"."""
        found = (self._ended.get((*setting, *method, metric), Counter()) for setting in settings)
        return sum(count[how] for count in found)

    def methods(self, settings: list[Setting]) -> list[Method]:
        """Of at least one of the settings, in reading order."""
        return list(dict.fromkeys(key[2:4] for key in self._ended if key[:2] in settings))  # type: ignore[misc]

    @property
    def metrics(self) -> list[str]:
        """In the order of METRICS."""
        found = {key[4] for key in self._ended}
        return [metric for metric in METRICS if metric in found]


def array(values: BySeed) -> Scores:
    return np.array(list(values.values()), dtype=float)


def paired_values(x: BySeed, y: BySeed) -> tuple[Scores, Scores]:
    """The values of the seeds that both have."""
    return array({seed: x[seed] for seed in x if seed in y}), array({seed: y[seed] for seed in x if seed in y})


def differences(x: Scores, y: Scores) -> Scores:
    """x - y; exactly zero where single precision does not resolve a difference."""
    gap = x - y
    return np.where(np.abs(gap) > RESOLUTION * np.maximum(np.abs(x), np.abs(y)), gap, 0.0)
