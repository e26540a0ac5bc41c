"""Quality for its cost: decoder evaluations, seconds, and the rate."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench import stats
from bench.ablation._figures_final import shown_metrics
from bench.ablation._look import (
    beyond,
    compact,
    entitle,
    label,
    legend,
    legend_width,
    limit,
    log_axis,
    looks,
    lower_edge,
    title,
)
from bench.ablation._settings import shown
from bench.ablation._study import Study
from bench.metrics.catalogue import METRICS

SPREAD = {"decodes": 1.05, "seconds": 1.5, "bits": 1.05}
"""Costs that differ by less than such a factor are the same; a clock is noisy."""
CLOCK = 2.0
"""Seconds are drawn if they differ between settings so many times more than between seeds: else the clock measured what
else the machine did."""
LOG_FROM = 3.0
"""Costs that span such a factor have a logarithmic axis."""
CLOSE = 0.06
"""Of an axis: names of points closer to each other would overlap."""
NAMED = 8
"""Settings of a front that are named."""
COSTS = {"decodes": "decoder evaluations in training", "seconds": "training time [s]", "bits": "rate [bits per image]"}
Point = tuple[float, float, int]
"""Cost, quality, and the setting."""


def frontier(study: Study) -> Figure | None:
    """Quality against what it cost, and against the rate: a point per setting, the front as a line. The first
    condition's."""
    condition = study.conditions[0]
    values = study.scores[condition]
    axes = [axis for axis in COSTS if _differs(study, condition, axis)]
    metrics = [metric for metric in shown_metrics(study) if metric != "elbo" or axes != ["bits"]]
    if not metrics or not axes or len(study.of_condition(condition)) < 3:
        return None
    width = 0.6 + 3.4 * len(axes) + legend_width(study.families)
    figure = Figure(figsize=(width, 0.8 + 2.6 * len(metrics)), layout="constrained")
    grid = figure.subplots(len(metrics), len(axes), squeeze=False, sharey="row", sharex="col")
    fronts: dict[Axes, list[Point]] = {}
    for row, metric in zip(grid, metrics, strict=True):
        for ax, axis in zip(row, axes, strict=True):
            if (metric, axis) == ("elbo", "bits"):  # the rate is a part of the ELBO
                ax.set_visible(False)
                continue
            fronts[ax] = _front(ax, study, stats.pareto(values, metric, axis), condition, METRICS[metric].better)
        row[0].set_ylabel(label(metric))
    for place, axis in enumerate(axes):
        column = [ax for ax in grid[:, place] if ax.get_visible()]
        _cost_axis(column[-1], study, axis)
        for ax in column:
            _name(ax, study, fronts[ax])
    legend(figure, study, study.families)
    entitle(figure, f"Frontier: {title(study, condition)}")
    return figure


def _cost_axis(ax: Axes, study: Study, axis: str) -> None:
    low, high = ax.dataLim.intervalx
    if low > 0 and high / low > LOG_FROM:
        ax.set_xscale("log")
        log_axis(ax.xaxis)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(compact))
    devices = ", ".join(sorted(set(study.frame["device"].astype(str))))
    ax.set_xlabel(COSTS[axis].replace("[s]", f"[s, {devices}]"))
    ax.tick_params(labelbottom=True)


def _differs(study: Study, condition: str, axis: str) -> bool:
    """Whether settings differ in a cost by more than such a factor, and in seconds by more than their own seeds do."""
    values = study.scores[condition]
    if axis == "bits":
        costs = values[values["metric"] == "bits"].assign(cost=lambda rows: rows["value"])
    else:
        costs = values[values["metric"] == study.metric].assign(cost=lambda rows: rows[axis])
    costs = costs[costs["cost"] > 0].assign(log=lambda rows: np.log(rows["cost"].astype(float)))
    by_setting = costs.groupby("setting")["log"]
    means = by_setting.mean()
    if len(means) < 2 or means.max() - means.min() < math.log(SPREAD[axis]):
        return False
    noise = math.sqrt(by_setting.var().mean())
    return axis != "seconds" or not means.std() < CLOCK * noise


def _front(ax: Axes, study: Study, points: Any, condition: str, better: str) -> list[Point]:
    """Draws all points, and returns those on the front by their cost."""
    index = {(study.settings[i].label, study.settings[i].posterior): i for i in study.of_condition(condition)}
    rows = [(index[row["estimator"], row["posterior"]], row) for row in points.to_dict("records")]
    edge = lower_edge([row["quality"] for _, row in rows], better)
    for place, row in rows:
        look = looks(study)[study.settings[place].families[0]]
        if beyond(row["quality"], edge, better):
            ax.plot(row["cost"], edge, marker="v" if better == "higher" else "^", color=look.colour, markersize=5)
            continue
        for low, high, horizontal in (("cost_low", "cost_high", True), ("quality_low", "quality_high", False)):
            if not math.isnan(row[low]):
                ends, fixed = [row[low], row[high]], [row["quality" if horizontal else "cost"]] * 2
                pair = (ends, fixed) if horizontal else (fixed, ends)
                ax.plot(*pair, color=look.colour, linewidth=0.8, alpha=0.5, zorder=1)
        ax.plot(row["cost"], row["quality"], **{**look.point, "linestyle": ""}, zorder=3, gid="point")
    shown_rows = [(place, row) for place, row in rows if not beyond(row["quality"], edge, better)]
    front = sorted(((row["cost"], row["quality"], place) for place, row in shown_rows if row["on_front"]))
    ax.step([p[0] for p in front], [p[1] for p in front], where="post", color="0.6", linewidth=1, zorder=0)
    ax.margins(x=0.25)
    limit(ax, "y", edge, better)
    ax.grid(color="0.94")
    return front


def _name(ax: Axes, study: Study, front: list[Point]) -> None:
    """Best first, as far as there is room. The scale is set already."""
    taken: list[tuple[float, float]] = []
    for cost, quality, place in front[::-1]:
        x, y = ax.transAxes.inverted().transform(ax.transData.transform((cost, quality)))
        text = _short(study, place)
        free = all(abs(y - other[1]) > CLOSE or abs(x - other[0]) > 4 * CLOSE for other in taken)
        if text and free and len(taken) < NAMED:
            taken.append((x, y))
            side, shift = ("left", 4) if x < 0.07 * len(text) / 8 + 0.1 else ("right", -3)
            ax.annotate(text, (cost, quality), xytext=(shift, 4), textcoords="offset points",
                        fontsize=6.5, ha=side, color="0.25")  # fmt: skip


def _short(study: Study, place: int) -> str:
    """The numeric knobs of a setting, those that lead."""
    setting = study.settings[place]
    family = setting.families[0]
    keys = [axis[0] for axis in setting.axes[family] if study.numeric(axis[0]) and axis[0] in study.knobs]
    return ", ".join(f"{key}={shown(setting.config[key])}" for key in keys)
