"""From the tidy table to one value per run and metric: what all statistics are computed from."""

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np

from bench.baseline import NAME as BASELINE
from bench.image_metrics import MetricInfo
from bench.metrics import COST_METRICS, METRICS
from bench.records import COST_COLUMNS
from bench.run_folder import RUN_COLUMNS
from bench.stats.scores import Scores

Table = Any
"""A pd.DataFrame. Without stubs a type checker takes its columns for bare arrays and objects."""

SETTING = ["dataset", "preset"]
METHOD = ["estimator", "posterior"]
Method = tuple[str, str]
"""Estimator and posterior."""
Setting = tuple[str, str]
"""Dataset and preset."""
VALUE_COLUMNS = (*RUN_COLUMNS, *COST_COLUMNS, "metric", "value", "ended")
"""Columns of a table of values: one row per run and metric; `step` and its kin are what the value had cost."""

AXES = {"step": "steps", "images": "images", "decodes": "decoder evaluations", "seconds": "s"}
"""What a run may cost, and the unit."""


RESOLUTION = 1e-6
"""Of a value. Smaller differences are no differences: values come from single precision."""


def metric_info(metric: str) -> MetricInfo:
    """Unit and good direction. Raises ValueError for what is not measured."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; try one of {', '.join(METRICS)}")
    return METRICS[metric]


def check_axis(axis: str) -> None:
    """Raises ValueError for what a run does not cost."""
    if axis not in AXES:
        raise ValueError(f"unknown cost {axis!r}; try one of {', '.join(AXES)}")


def _read(frame: Table) -> Table:
    """Rows of the tidy table that statistics are made of, with plain strings: categories would multiply groups."""
    measured = (frame["split"] == "test") & (frame["readout"] == "sample") & frame["metric"].isin(list(METRICS))
    used = measured | frame["metric"].isin(["diverged", *COST_METRICS])
    rows = frame[used & (frame["estimator"] != BASELINE)]
    return rows.astype({**dict.fromkeys(("run", *SETTING, *METHOD, "device", "split", "metric"), str), "value": float})


def runs(frame: Table) -> Table:
    """One row per run of the tidy table, without the baseline: RUN_COLUMNS, `step` of its last evaluation, `ended`.

    `ended` is "diverged"; "unfinished", when another run of the same method, dataset and preset was evaluated after
    more steps; or "done". Raises ValueError if two runs that are done share method, dataset, preset and seed.
    """
    return _ended(_read(frame))


def _ended(rows: Table) -> Table:
    last = rows["step"].where(rows["split"] == "test").groupby(rows["run"]).max()
    table = rows[list(RUN_COLUMNS)].drop_duplicates("run", ignore_index=True)
    table["step"] = table["run"].map(last).fillna(-1).astype(int)
    diverged = table["run"].isin(rows["run"][rows["metric"] == "diverged"])
    furthest = table[~diverged].groupby([*SETTING, *METHOD])["step"].transform("max").reindex(table.index)
    table["ended"] = np.where(diverged, "diverged", np.where(table["step"] < furthest, "unfinished", "done"))
    _refuse_twins(table[table["ended"] == "done"])
    return table


def _refuse_twins(done: Table) -> None:
    keys = [*SETTING, *METHOD, "seed"]
    for _, twins in done[done.duplicated(keys, keep=False)].groupby(keys):
        first = twins.iloc[0]
        raise ValueError(
            f"{first['estimator']}, {first['posterior']}, seed {first['seed']} has {len(twins)} runs here "
            f"({', '.join(twins['run'])}), of different settings; give each setting a sweep of its own with --out"
        )


def curves(frame: Table) -> Table:
    """Rows of the tidy table that were measured on the test split, `sample` readout, in order of steps: those of runs
    that are done, metrics of `bench.metrics.METRICS`, finite values. Raises ValueError like `runs`."""
    rows = _read(frame)
    return _curves(rows, _ended(rows))


def _curves(rows: Table, ended: Table) -> Table:
    done = rows["run"].isin(ended["run"][ended["ended"] == "done"])
    chosen = rows[done & (rows["split"] == "test") & np.isfinite(rows["value"])]
    return chosen.sort_values(["run", "metric", "step"], ignore_index=True)


def finals(frame: Table) -> Table:
    """What each run came to: its value of every metric at its last evaluation, and its costs. VALUE_COLUMNS.

    `frame` is the tidy table (`bench.records.load`); test split, `sample` readout, metrics of `bench.metrics.METRICS`,
    without the baseline. Runs that diverged or are unfinished (`runs`) are there with missing values, so that they are
    counted; `ended` says which. Raises ValueError if a method has two finished runs of one seed: to compare settings
    that the table does not tell apart, write them into the `estimator` column.
    """
    rows = _read(frame)
    ended = _ended(rows)
    measured = _curves(rows, ended)
    last = measured[measured["step"] == measured["run"].map(ended.set_index("run")["step"])]
    costs = rows[rows["metric"].isin(list(COST_METRICS)) & np.isfinite(rows["value"])]
    return with_left_out(_joined([last, costs]), ended)


def with_left_out(values: Table, ended: Table) -> Table:
    """`values` of the runs that are done, and missing values for the others in `ended`.

    Those are of the metrics that their method has, or, if none of its runs are done, of all in their setting.
    """
    done = ended["ended"] == "done"
    kept = values[values["run"].isin(ended["run"][done])].assign(ended="done")
    left_out = ended[~done]
    own = left_out.merge(kept[[*SETTING, *METHOD, "metric"]].drop_duplicates(), on=[*SETTING, *METHOD])
    others = left_out[~left_out["run"].isin(own["run"])]
    foreign = others.merge(kept[[*SETTING, "metric"]].drop_duplicates(), on=SETTING)
    table = _joined([kept, own, foreign]).reindex(columns=list(VALUE_COLUMNS))
    return table.sort_values([*SETTING, *METHOD, "seed", "metric"], ignore_index=True)


def _joined(tables: list[Table]) -> Table:
    """pandas warns of empty ones."""
    import pandas as pd

    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


BySeed = dict[int, float]
"""A method's values of a metric on one dataset and preset, in order of seeds."""


class Values:
    """The finite values of a table of values, looked up by dataset, preset, method and metric."""

    def __init__(self, values: Table) -> None:
        """Raises ValueError for a table of whole runs where one value per run is wanted."""
        if not set(VALUE_COLUMNS) <= set(values.columns) or values.duplicated(["run", "metric"]).any():
            raise ValueError("this table has many values per run; try finals(table) or at_cost(table, 'decodes')")
        ordered = values.sort_values("seed")
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
        """Of at least one of the settings, in alphabetical order."""
        return sorted({key[2:4] for key in self._ended if key[:2] in settings})  # type: ignore[misc]

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
