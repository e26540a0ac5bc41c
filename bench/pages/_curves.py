"""What the learning curves show: means over seeds by step, against four costs."""

import math
from typing import Any

import numpy as np

from bench.pages._metrics import in_order
from bench.pages._sweep import ENDED_EARLY, Setting, Table

COSTS = {
    "step": "optimiser steps",
    "images": "images seen",
    "decodes": "decoder evaluations",
    "seconds": "training time [s]",
}
CURVES = 40
"""Methods drawn; more lines than this nobody tells apart."""
POINTS = 40_000
"""Points of all curves together: 3 MB of the page."""
LOST = 20
"""Lines of runs that ended early."""


def curves(setting: Setting, shown: list[int]) -> dict[str, Any]:
    """By metric: columns of the points of the methods `shown`, and lines of runs that diverged or failed.

    A point is the mean over a method's finished seeds, with the lowest and the highest; over unfinished ones where
    none has finished.
    """
    tests = _tests(setting, shown)
    points = _thinned(_means(tests[tests["run"].isin(setting.counted)]), shown)
    early = [run.name for index in shown for run in setting.runs[index] if run.state in ENDED_EARLY][:LOST]
    lost = tests[tests["run"].isin(early)]
    return {
        "metrics": in_order(set(points["metric"]) | set(lost["metric"])),
        "points": {metric: _columns(rows) for metric, rows in points.groupby("metric")},
        "lost": {metric: _lines(rows) for metric, rows in lost.groupby("metric")},
    }


def _tests(setting: Setting, shown: list[int]) -> Table:
    frame = setting.frame
    chosen = (frame["split"] == "test") & (frame["readout"] == "sample") & frame["method"].isin(shown)
    rows = frame[chosen].dropna(subset="value")
    return rows[~rows["metric"].str.contains("/", regex=False)]


def _means(rows: Table) -> Table:
    grouped = rows.groupby(["metric", "method", "step"], sort=True)
    costs = {cost: (cost, "mean") for cost in COSTS if cost != "step"}
    return grouped.agg(
        mean=("value", "mean"), low=("value", "min"), high=("value", "max"), seeds=("value", "size"), **costs
    ).reset_index()


def _thinned(points: Table, shown: list[int]) -> Table:
    """At most POINTS in all, evenly spread over each curve, ends kept."""
    curves_ = max(1, points["metric"].nunique() * len(shown))
    most = max(10, POINTS // curves_)
    grouped = points.groupby(["metric", "method"])
    place, size = grouped.cumcount(), grouped["step"].transform("size")
    every = np.ceil(size / most)
    return points[(place % every == 0) | (place == size - 1)]


def _columns(rows: Table) -> dict[str, list]:
    columns = {
        "m": rows["method"].tolist(),
        "step": rows["step"].astype(int).tolist(),
        "images": rows["images"],
        "decodes": rows["decodes"],
        "seconds": rows["seconds"],
        "y": rows["mean"],
        "lo": rows["low"],
        "hi": rows["high"],
        "n": rows["seeds"].tolist(),
    }
    return {key: values if isinstance(values, list) else significant(values) for key, values in columns.items()}


def _lines(rows: Table) -> list[dict[str, Any]]:
    lines = []
    for (method, _run, seed), mine in rows.sort_values("step").groupby(["method", "run", "seed"], dropna=False):
        columns = {cost: significant(mine[cost]) for cost in COSTS}
        lines.append({"m": int(method), "seed": str(seed), "y": significant(mine["value"]), **columns})
    return lines


def significant(values: Any) -> list[float | None]:
    """Six significant digits, to save space; None for what JSON cannot hold."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in map(float, values)]
