"""What a method is worth at equal cost: values at a budget, cost of a target, rate-distortion, Pareto fronts."""

from dataclasses import asdict

import numpy as np
import pandas as pd
from jaxtyping import Float

from bench.metrics.catalogue import Metric, find
from bench.records.sweep import AXES, METHOD, SETTING, Table, as_sweep, with_left_out
from bench.stats.intervals import Interval, interval
from bench.stats.scores import finite, pareto_front
from bench.stats.values import Source, Values, check_axis, directed, paired_values
from bench.text import counted

Curve = Float[np.ndarray, " t"]


def value_at(cost: Curve, value: Curve, budget: float) -> float:
    """On the straight line between the evaluations before and after `budget`; NaN before the first and past the last.

    `cost` ascends.
    """
    return float(np.interp(budget, cost, value, left=np.nan, right=np.nan)) if len(cost) else np.nan


def cost_of(cost: Curve, value: Curve, target: float, better: str) -> float:
    """Least cost at which the straight lines between evaluations reach `target`; NaN if they never do.

    `cost` ascends; `better` is "lower", or anything else for higher.
    """
    gap = (-1 if better == "lower" else 1) * (np.asarray(value, dtype=float) - target)
    reached = np.flatnonzero(gap >= 0)
    if not len(reached):
        return np.nan
    first = reached[0]
    if first == 0:
        return float(cost[0])
    share = -gap[first - 1] / (gap[first] - gap[first - 1])
    return float(cost[first - 1] + share * (cost[first] - cost[first - 1]))


def common_budget(source: Source, axis: str) -> Table:
    """The most of `axis` that every run of a dataset and preset got to: a Series named `budget` over SETTING.

    `axis` is one of AXES. Runs that diverged or are unfinished do not count. Raises ValueError for an unknown axis.
    """
    check_axis(axis)
    ends = as_sweep(source).curves.groupby([*SETTING, "run"])[axis].max()
    return ends.groupby(level=SETTING).min().rename("budget")


def at_cost(source: Source, axis: str, budget: float | None = None) -> Table:
    """Every run's values at equal cost: a table of values like `finals`, for `summary` and `paired_differences`.

    `axis` is one of AXES, `budget` in its unit; None is the `common_budget` of each dataset and preset. Values lie on
    the straight line between two evaluations. A run that did not get as far has a missing value, never an extrapolated
    one; so has a metric that was not measured around there (LPIPS and rFID are measured once, at the end). Raises
    ValueError for an unknown axis.
    """
    check_axis(axis)
    sweep = as_sweep(source)
    measured = sweep.curves
    budgets = common_budget(sweep, axis)
    groups = measured.groupby(["run", "metric"]).indices
    table = measured.iloc[[rows[-1] for rows in groups.values()]].copy()
    places = zip(table["dataset"], table["preset"], strict=True)
    at = [float(budgets[place]) if budget is None else float(budget) for place in places]
    cost = measured[axis].to_numpy(float)
    for column in (*AXES, "value"):
        curve = measured[column].to_numpy(float)
        table[column] = [value_at(cost[rows], curve[rows], x) for rows, x in zip(groups.values(), at, strict=True)]
    return with_left_out(table, sweep.ended)


def reachable_target(source: Source, metric: str, dataset: str, preset: str) -> float:
    """A value that half of the methods reach on every seed, in the metric's unit; NaN if the metric was not measured.

    The median over methods of the best value that a method's worst seed ever had; the worse of the middle two. Raises
    ValueError for an unknown metric, and for one that is better at neither end.
    """
    best, worst = ("max", "min") if directed(metric).sign > 0 else ("min", "max")
    rows = as_sweep(source).curves
    rows = rows[(rows["metric"] == metric) & (rows["dataset"] == dataset) & (rows["preset"] == preset)]
    every_seed = rows.groupby([*METHOD, "seed"])["value"].agg(best).groupby(level=METHOD).agg(worst)
    return float(every_seed.quantile(0.5, interpolation="lower" if best == "max" else "higher"))


TARGET_COLUMNS = (
    *(*SETTING, *METHOD, "metric", "target", "axis", "unit", "reached", "runs"),
    *("estimate", "low", "high", "n", "method"),
)


def cost_to_target(source: Source, metric: str, target: float, axis: str) -> Table:
    """What it cost each method to reach `target` (first crossing, interpolated): TARGET_COLUMNS.

    `target` is in the metric's unit, the costs `estimate`, `low` and `high` in `unit` of `axis` (one of AXES): mean
    and 95 % interval over seeds. `reached` of `runs` runs got there; one that diverged counts as a run and never got
    there. If some did not, there is no mean: it would be that of the lucky ones, and `method` says so. Raises
    ValueError for an unknown metric or axis, and for a metric that is better at neither end.
    """
    check_axis(axis)
    better = directed(metric).better
    sweep = as_sweep(source)
    rows, ended = sweep.curves, sweep.ended
    crossings = {
        run: cost_of(curve[axis].to_numpy(float), curve["value"].to_numpy(float), target, better)
        for run, curve in rows[rows["metric"] == metric].groupby("run")
    }
    table = []
    for key, members in ended[ended["ended"] != "unfinished"].groupby([*SETTING, *METHOD]):
        measured = [run for run in members["run"] if run in crossings]
        if not measured and (members["ended"] == "done").any():
            continue
        reached = finite([crossings[run] for run in measured])
        found = interval([reached])
        if len(reached) < len(members):
            words = f"reached by {len(reached)} of {counted(len(members), 'run')}: no mean"
            found = Interval(np.nan, np.nan, np.nan, len(reached), words)
        where = {**dict(zip((*SETTING, *METHOD), key, strict=True)), "metric": metric, "target": target, "axis": axis}
        table.append({**where, "unit": AXES[axis], "reached": len(reached), "runs": len(members), **asdict(found)})
    return pd.DataFrame(table, columns=TARGET_COLUMNS)


FRONT_COLUMNS = (
    *(*SETTING, *METHOD, "metric", "unit", "axis", "axis_unit", "cost", "cost_low", "cost_high"),
    *("quality", "quality_low", "quality_high", "n", "method", "on_front"),
)


def pareto(values: Table, metric: str, axis: str) -> Table:
    """Quality against a cost, per method the means over the seeds that have both, with 95 % intervals: FRONT_COLUMNS.

    `axis` is a cost of the run (one of AXES, at the value's row) or another metric of the table: "peak_memory",
    "ms_per_step", "bits"; less of it is cheaper, unless more of it is better. `on_front` marks the methods no other one
    beats: at most as dear and at least as good, and better in one of the two. It compares means; neighbours whose
    intervals overlap may swap places with other seeds. Raises ValueError for an unknown metric or axis, and for a
    metric that is better at neither end.
    """
    good = directed(metric)
    if axis in AXES:
        costs = values[values["metric"] == metric].assign(value=lambda rows: rows[axis], metric=axis)
        dear = Metric(axis, axis, AXES[axis], "lower", "cost", "")
    else:
        costs, dear = values, find(axis)
    qualities, prices = Values(values), Values(costs)
    table = []
    for setting in qualities.settings:
        points = []
        for method in qualities.methods([setting]):
            quality, cost = paired_values(qualities(setting, method, metric), prices(setting, method, axis))
            if len(quality):
                where = dict(zip((*SETTING, *METHOD), (*setting, *method), strict=True))
                good_at, at = interval([quality]), interval([cost])
                numbers = {**at.columns("cost"), **good_at.columns("quality"), "n": good_at.n, "method": good_at.method}
                points.append({**where, **numbers})
        # less is better in both
        signs = np.array([1 if dear.better != "higher" else -1, -good.sign])
        front = pareto_front(np.array([(one["cost"], one["quality"]) for one in points]).reshape(-1, 2) * signs)
        table += [{**point, "on_front": bool(on)} for point, on in zip(points, front, strict=True)]
    found = pd.DataFrame(table, columns=FRONT_COLUMNS)
    return found.assign(metric=metric, unit=good.unit, axis=axis, axis_unit=dear.unit)


def rate_distortion(values: Table, metric: str = "psnr") -> Table:
    """Quality ("psnr", "rfid", ...) against the rate in bits per image under a uniform prior: FRONT_COLUMNS."""
    return pareto(values, metric, "bits")
