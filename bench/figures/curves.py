"""What changes while training: quality against its costs, and in ablations the diagnostics of the estimator."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bench.figures.axes import far_apart, limits, log_axis, number_axis
from bench.figures.sheet import POINT, ConditionSheet, Drawing, Sheet, estimates, sentences
from bench.figures.themes import GREY
from bench.metrics import catalogue
from bench.metrics.catalogue import describe
from bench.records.study import ESS_QUANTILES, TERMS
from bench.records.sweep import Table
from bench.stats.answers import mid_schedule
from bench.stats.bands import Line, knobs, lines
from bench.text import compact, counted, typed

COSTS = {"step": "optimiser steps", "decodes": "decoder evaluations", "seconds": "training time [s]"}
MARKS = 6
"""Markers of a curve, so that it is told apart in grey print."""
LINEAR_BELOW = 1e-2
"""On the axis of eta, which is logarithmic above, so that 0 is on it."""
COLUMNS = 6
PER_COLUMN = 8
"""Values of the knob drawn, evenly chosen."""
BY_KNOB = ("term/eta", "term/ess", "realised_kl")


def curves(sheet: Sheet) -> Drawing | None:
    """The test metric that ranks over training: mean and band over seeds; a row of panels per posterior."""
    lost = set(sheet.comparison.lost_curves["metric"]) if sheet.theme.stands_alone else ()
    metric = sheet.comparison.metric or next((name for name in catalogue.ranked() if name in lost), None)
    return _curves(sheet, metric) if metric else None


def curves_elbo(sheet: Sheet) -> Drawing | None:
    """The same of the ELBO, where another metric ranks."""
    return _curves(sheet, "elbo") if "elbo" in sheet.quality_and_bound[1:] else None


def _curves(sheet: Sheet, metric: str) -> Drawing | None:
    theme, points = sheet.theme, _points(sheet, metric)
    if points.groupby("curve")["step"].nunique().max() < 2 or points.empty:
        return None
    posteriors = [posterior for posterior in sheet.posteriors if posterior in set(points["posterior"])]
    figure = theme.sheet(theme.wide, 0.4 + 1.35 * len(posteriors))
    grid = figure.subplots(len(posteriors), len(COSTS), squeeze=False, sharex="col", sharey=True)
    baseline, scaled = sheet.comparison.baseline(metric, sheet.comparison.curve_split), _on_scale(points)
    low, high = limits(scaled["estimate"], *_band(scaled), baseline, reach=1.0)
    for axes, posterior in zip(grid, posteriors, strict=True):
        for ax, cost in zip(axes, COSTS, strict=True):
            _panel(ax, sheet, points[points["posterior"] == posterior], cost)
            if low <= baseline <= high:
                ax.axhline(baseline, **theme.reference, gid="reference")
        words = f"{sheet.comparison.curve_split} {describe(metric).with_arrow}"
        axes[0].set_ylabel(f"{posterior}\n{words}" if len(posteriors) > 1 else words)
    grid[0, 0].set_ylim(low, high)
    number_axis(grid[0, 0].yaxis, 5)
    for ax, (cost, words) in zip(grid[-1], COSTS.items(), strict=True):
        ax.set_xlabel(words)
        if far_apart(points.groupby("curve")[cost].max()):
            log_axis(ax, "x", scaled[cost])
        else:
            number_axis(ax.xaxis, 4)
    drawn, ended = set(points["name"]), points["diverged"].any()
    looks = {name: theme.marked_line(sheet.styles[name]) for name in sheet.followed if name in drawn}
    others = len(drawn) - len(looks)
    handles = [Line2D([], [], **look, label=sheet.marked(sheet.labels[name], [name])) for name, look in looks.items()]
    handles += sheet.others_line(others)
    handles += [Line2D([], [], marker="x", color="black", linewidth=0.5, label="diverged after this")] * bool(ended)
    theme.add_legend(figure, handles + [theme.reference_line()] * bool(low <= baseline <= high))
    means = points[~points["diverged"]]
    caption = sheet.caption(
        f"{describe(metric).title} on the {sheet.comparison.curve_split} images of {sheet.comparison.title} during "
        f"training, against steps, decoder evaluations and training time without evaluation ({sheet.devices}): "
        f"{estimates(means, 'bands', bands=True) if len(means) else 'no run has finished'}.",
        "A thin line that ends in a cross: a run that diverged after that evaluation." if ended else "",
        f"In grey: the {counted(others, sheet.noun)} after the best {len(looks)}." if others else "",
        f"In the order of the final {sheet.ranking}." if sheet.comparison.metric else "",
        mid_schedule(sheet.comparison),
        metrics=[metric],
        names=sheet.followed,
    )
    return Drawing(figure, caption, sheet.about)


def _points(sheet: Sheet, metric: str) -> Table:
    """Costs and POINT by `curve` and step: of methods the means over the runs that are done; and the values of each
    run that `diverged`."""
    rows = sheet.comparison.curves
    means = [
        {"curve": str(index), "step": step, **{cost: mine[cost].mean() for cost in ("decodes", "seconds")},
         **sheet.point(int(index), mine), "diverged": False}
        for (index, step), mine in rows[rows["metric"] == metric].groupby(["method", "step"])
    ]  # fmt: skip
    found = pd.DataFrame(means, columns=["curve", *COSTS, *POINT, "diverged"])
    lost = sheet.comparison.lost_curves
    runs = [run.name for run in sheet.comparison.compared if run.state == "diverged"]
    lost = lost[(lost["metric"] == metric) & lost["run"].isin(runs)]
    lost = lost.assign(curve=lost["run"], name=lost["estimator"], estimate=lost["value"], diverged=True)
    tables = [table for table in (found, lost.reindex(columns=found.columns)) if len(table)]
    return pd.concat(tables) if tables else found


def _band(points: Table) -> tuple[Table, Table]:
    """The interval, or with too few seeds for one the lowest and the highest."""
    return points["low"].fillna(points["lowest"]), points["high"].fillna(points["highest"])


def _on_scale(points: Table) -> Table:
    """Without the untrained networks of step 0, if they would squeeze the curves into half of it."""
    trained = points[points["step"] > 0]
    low, high = trained["estimate"].min(), trained["estimate"].max()
    squeezed = low - points["estimate"].min() > high - low
    return trained if squeezed and len(set(trained["step"])) > 1 else points


def _panel(ax: Axes, sheet: Sheet, points: Table, cost: str) -> None:
    # means and intervals are made by bench.stats
    shared: dict[str, Any] = {"x": cost, "y": "estimate", "ax": ax, "estimator": None, "errorbar": None}
    scale, place = sheet.theme.scale, {name: place for place, name in enumerate(sheet.names)}
    # the best is drawn last, on top of the others
    for (name, _), mine in sorted(points.groupby(["name", "curve"]), key=lambda group: -place[group[0][0]]):
        style = sheet.styles[name]
        if mine["diverged"].all():
            ax.plot(mine[cost], mine["estimate"], **{**sheet.theme.line(style), "linewidth": 0.5 * scale})
            end = mine.iloc[-1]
            ax.plot(end[cost], end["estimate"], "x", color="black", markersize=3.5 * scale, zorder=4, gid="diverged")
        elif name not in sheet.followed:
            seaborn.lineplot(mine, **shared, color=GREY, linewidth=0.6 * scale, zorder=1, legend=False)
        else:
            # marks start at different points, so that curves close together do not hide each other's
            every = math.ceil(len(mine) / MARKS)
            look = {**sheet.theme.marked_line(style), "markevery": (place[name] % every, every), "zorder": 3}
            seaborn.lineplot(mine, **shared, **look, gid=name, legend=False)
            band: dict[str, Any] = {"color": style.colour, "alpha": 0.15, "linewidth": 0, "gid": "interval"}
            ax.fill_between(mine[cost], *_band(mine), **band, zorder=2)
    seaborn.despine(ax=ax)
    ax.set(xlabel="", ylabel="")
    ax.grid(axis="y", color="0.92", linewidth=0.5)


def training(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """Test quality and diagnostics over steps, a line per family, each at the best of its settings, in the first
    condition."""
    sheet, study, condition = sheets[0], sheets[0].study, sheets[0].comparison
    metric = condition.metric
    if metric is None or not study.terms:
        return None
    best = ((family, condition.best(metric, condition.of_family(family))) for family in study.families)
    chosen = {family: index for family, index in best if index is not None}
    panels, looks = [metric, *study.terms], sheet.family_styles(study.families)
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = sheet.theme.sheet(sheet.theme.wide, 0.3 + 1.4 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    tests = condition.curves[(condition.curves["metric"] == metric) & (condition.curves["step"] > 0)]
    for ax, name in zip(grid, panels, strict=False):
        for place, (family, index) in enumerate(chosen.items()):
            tested = tests[tests["method"] == index].groupby("step")["value"].mean()
            curve = tested if name == metric else condition.term(index, name)
            every = max(1, math.ceil(len(curve) / MARKS))
            look = {**sheet.theme.marked_line(looks[family]), "markevery": (place % every, every)}
            ax.plot(curve.index, curve, **look, gid=family)
        _diagnostic_axes([ax], name)
        ax.set_ylabel(f"{condition.curve_split} {describe(name).with_arrow}" if name == metric else TERMS[name])
    for ax in grid[len(panels) :]:
        ax.set_visible(False)
    for ax in grid[len(panels) - columns : len(panels)]:
        ax.set_xlabel(COSTS["step"])
    named = {family: _named(sheet, family, index) for family, index in chosen.items()}
    handles = [Line2D([], [], **sheet.theme.marked_line(looks[f]), label=name) for f, name in named.items()]
    sheet.theme.add_legend(figure, handles, study.noun)
    ess = "ESS / K: effective sample size of an image's weights as a fraction of its samples, mean over images."
    kl = "KL: how far one update moved the encoder on its own minibatch, per image."
    caption = sentences(
        f"{describe(metric).title} on the {condition.curve_split} images of {condition.title} and diagnostics of "
        f"training, each {study.noun} at its best setting: mean over the seeds that finished.",
        ess if "term/ess" in study.terms else "",
        kl if "realised_kl" in study.terms else "",
    )
    return Drawing(figure, caption, sheet.about)


def _named(sheet: ConditionSheet, family: str, index: int) -> str:
    """The family with the knobs of its best setting, on two lines."""
    setting = sheet.comparison.settings[index]
    label = setting.label.removeprefix(f"{setting.estimator}: ")
    words = [part for part in label.split(", ") if not set(part.split("=")) & set(family.split(", "))]
    return f"{family}\n  {', '.join(words)}" if words else family


def training_by_knob(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """eta, ESS with its quantiles over images, and KL over steps: a column per family, a line per value of its knob."""
    sheet, study, condition = sheets[0], sheets[0].study, sheets[0].comparison
    terms = [term for term in BY_KNOB if term in study.terms]
    found = [(knob, line) for knob in knobs(study, condition) for line in lines(study, knob, condition)]
    columns = found[:COLUMNS]
    if not columns or not terms:
        return None
    figure = sheet.theme.sheet(sheet.theme.wide, 1.2 + 1.2 * len(terms))
    grid = figure.subplots(len(terms), len(columns), squeeze=False, sharey="row", sharex="col")
    for axes, term in zip(grid, terms, strict=True):
        for ax, (_, line) in zip(axes, columns, strict=True):
            for _, index, colour in _shaded(line):
                if term == "term/ess":
                    low, high = (condition.term(index, quantile) for quantile in ESS_QUANTILES)
                    ax.fill_between(low.index, low, high.reindex(low.index), color=colour, alpha=0.1, linewidth=0)
                curve = condition.term(index, term)
                ax.plot(curve.index, curve, color=colour, linewidth=0.9 * sheet.theme.scale)
        _diagnostic_axes(axes, term)
        axes[0].set_ylabel(TERMS[term].replace(" [", "\n["))
    for top, bottom, (knob, line) in zip(grid[0], grid[-1], columns, strict=True):
        top.set_title(line.family.replace(", ", ",\n"))
        bottom.set_xlabel(COSTS["step"])
        handles = [Line2D([], [], color=colour, label=typed(value)) for value, _, colour in _shaded(line)]
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.38), "ncols": 2}
        bottom.legend(handles=handles, title=knob, handlelength=1.0, **place)
    more = len(found) - len(columns)
    caption = sentences(
        f"Diagnostics of training on {condition.title}, a line per value of the knob: mean over the seeds that did not "
        "diverge.",
        "The band around ESS / K holds the images from the 10th to the 90th percentile." if "term/ess" in terms else "",
        f"Not shown: {counted(more, 'more column')}." if more else "",
    )
    return Drawing(figure, caption, sheet.about)


def _shaded(line: Line) -> list[tuple[float, int, Any]]:
    """Evenly chosen values with their settings, from dark to light."""
    count = min(PER_COLUMN, len(line.points))
    chosen = [line.points[round(place)] for place in np.linspace(0, len(line.points) - 1, count)]
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))
    return [(value, index, shade) for (value, index), shade in zip(chosen, shades, strict=True)]


def _diagnostic_axes(axes: Sequence[Axes], name: str) -> None:
    """Of panels that share their y axis."""
    for ax in axes:
        ax.grid(axis="y", color="0.92", linewidth=0.5)
        number_axis(ax.xaxis, 3)
    if name == "term/eta":
        axes[0].set_yscale("symlog", linthresh=LINEAR_BELOW, linscale=0.4)
        axes[0].set_ylim(bottom=-LINEAR_BELOW / 4)
        axes[0].yaxis.set_major_formatter(FuncFormatter(compact))
    elif name == "realised_kl":
        log_axis(axes[0], "y", np.concatenate([line.get_ydata() for ax in axes for line in ax.lines]))
    elif name in ("term/ess", "term/max_weight"):
        axes[0].set_ylim(0, 1.02)
