"""Learning curves: what quality costs in steps, decoder evaluations and seconds."""

import math
from dataclasses import asdict
from typing import Any

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench import stats
from bench.figures.paper import _captions
from bench.figures.paper._page import (
    GREY,
    REFERENCE,
    TWO_COLUMNS,
    Drawn,
    far_apart,
    legend_below,
    limits,
    line,
    log_axis,
    marker,
    number_axis,
    reference_line,
    sheet_of_paper,
)
from bench.figures.paper._sheet import Sheet, Table
from bench.figures.screen import LABELS
from bench.figures.styles import Style

COSTS = {"step": "optimiser steps", "decodes": "decoder evaluations", "seconds": "training time [s]"}
MARKS = 6
"""Markers of a curve, so that it is told apart in grey print."""


def curves(sheet: Sheet) -> Drawn | None:
    """Test PSNR, or what ranks without it, over training: mean and band over seeds; a row of panels per posterior."""
    metric = sheet.metric
    if metric is None:
        return None
    means = _means(sheet, metric)
    trained = means[means["step"] > 0]
    if trained.groupby(["estimator", "posterior"])["step"].nunique().max() < 2 or trained.empty:
        return None
    posteriors = [posterior for posterior in sheet.posteriors if posterior in set(means["posterior"])]
    figure = sheet_of_paper(TWO_COLUMNS, 0.4 + 1.35 * len(posteriors))
    grid = figure.subplots(len(posteriors), len(COSTS), squeeze=False, sharex="col", sharey=True)
    baseline = sheet.baseline(metric)
    low, high = limits(trained["estimate"], trained["low"], trained["high"], baseline, reach=1.0)
    for axes, posterior in zip(grid, posteriors, strict=True):
        mine = means[means["posterior"] == posterior]
        for ax, cost in zip(axes, COSTS, strict=True):
            _panel(ax, sheet, mine, cost)
            if low <= baseline <= high:
                ax.axhline(baseline, **REFERENCE, gid="reference")
        words = f"test {LABELS[metric]}"
        axes[0].set_ylabel(f"{posterior}\n{words}" if len(posteriors) > 1 else words)
    grid[0, 0].set_ylim(low, high)
    number_axis(grid[0, 0].yaxis, 5)
    for ax, (cost, words) in zip(grid[-1], COSTS.items(), strict=True):
        ends = means.groupby(["estimator", "posterior"])[cost].max()
        ax.set_xlabel(words)
        if far_apart(ends):
            log_axis(ax, trained[cost])
        else:
            number_axis(ax.xaxis, 4)
    legend_below(figure, _legend(sheet, means, bool(low <= baseline <= high)))
    return Drawn(figure, _captions.curves(sheet, metric, means))


def _means(sheet: Sheet, metric: str) -> Table:
    """Mean, interval and costs by method and step: estimator, posterior, step, decodes, seconds, estimate, low, ..."""
    rows = sheet.curves[sheet.curves["metric"] == metric]
    grouped = rows.groupby(["estimator", "posterior", "step"])
    points = [
        {
            **dict(zip(("estimator", "posterior", "step"), key, strict=True)),
            **{cost: mine[cost].mean() for cost in COSTS if cost != "step"},
            **asdict(stats.interval([mine["value"]])),
        }
        for key, mine in grouped
    ]
    return pd.DataFrame(points)


def _panel(ax: Axes, sheet: Sheet, means: Table, cost: str) -> None:
    others = means[~means["estimator"].isin(sheet.followed)]
    for _, mine in others.groupby("estimator"):
        seaborn.lineplot(mine, x=cost, y="estimate", ax=ax, color=GREY, linewidth=0.6, zorder=1, **_AS_IT_IS)
    # the best is drawn last, on top of the others
    for place, name in reversed(list(enumerate(sheet.followed))):
        mine = means[means["estimator"] == name]
        if mine.empty:
            continue
        style, every = sheet.styles[name], math.ceil(len(mine) / MARKS)
        # marks start at different points, so that curves close together do not hide each other's
        look = {**_look(style), "markevery": (place % every, every)}
        seaborn.lineplot(mine, x=cost, y="estimate", ax=ax, **look, zorder=3, gid=name, **_AS_IT_IS)
        ax.fill_between(
            mine[cost], mine["low"], mine["high"], color=style.colour, alpha=0.15, linewidth=0, zorder=2, gid="interval"
        )
    seaborn.despine(ax=ax)
    ax.set(xlabel="", ylabel="")
    ax.grid(axis="y", color="0.92", linewidth=0.5)


def _look(style: Style) -> dict[str, Any]:
    return {**line(style), **marker(style), "markeredgecolor": "white", "markeredgewidth": 0.3}


_AS_IT_IS: dict[str, Any] = {"estimator": None, "errorbar": None, "legend": False}
"""Means and intervals are made by `bench.stats`."""


def _legend(sheet: Sheet, means: Table, referred: bool) -> list[Line2D]:
    drawn = set(means["estimator"])
    handles = [
        Line2D([], [], **_look(sheet.styles[name]), label=sheet.marked(sheet.labels[name], [name]))
        for name in sheet.followed
        if name in drawn
    ]
    others = len(drawn - set(sheet.followed))
    if others:
        handles.append(Line2D([], [], color=GREY, linewidth=0.6, label=f"{others} others"))
    return handles + [reference_line()] * referred
