"""What a method is worth for its cost: values at equal cost, cost of a target, rate-distortion, Pareto fronts."""

from dataclasses import asdict

import numpy as np
import pandas as pd
from jaxtyping import Float

from bench.metrics.catalogue import Metric, find
from bench.records.sweep import AXES, METHOD, SETTING, Sweep, Table, as_sweep
from bench.stats.intervals import Interval, interval
from bench.stats.scores import finite, pareto_front
from bench.stats.values import Source, Values, check_axis, directed, paired_values
from bench.text import counted

Curve = Float[np.ndarray, " t"]


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


def at_cost(source: Source, axis: str) -> Table:
    """The `finals` of a comparison at equal cost on `axis`, one of AXES: for `summary`, `paired_differences`, `lead`.

    A value counts at a cost only if its run was made for that cost: one that is read off a learning curve, in the
    middle of a longer schedule, is worse than a run that was planned that short, and how much worse differs between
    estimators.

    Raises ValueError for an unknown axis, and where not all runs ended at the same cost, with the budget to try.
    """
    check_axis(axis)
    sweep = as_sweep(source)
    for one in sweep.comparisons if isinstance(sweep, Sweep) else [sweep]:
        if axis not in one.equal_cost and len(one.ends):
            low, high = one.ends[axis].min(), one.ends[axis].max()
            unit = "steps" if axis == "step" else axis
            raise ValueError(
                f"{one.title}: runs ended at {low:.12g} to {high:.12g} {AXES[axis]}, which is no equal cost; "
                f"try bench run --budget {unit}={high:.12g}"
            )
    return sweep.finals


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
    and 95 % interval over seeds, under the schedules that the runs had. `reached` of `runs` runs got there; one that
    diverged counts as a run and never got there. If some did not, there is no mean: it would be that of the lucky ones,
    and `method` says so. Raises ValueError for an unknown metric or axis, and for a metric that is better at neither
    end.
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
