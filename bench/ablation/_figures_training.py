"""What the rules did while training: diagnostics over steps."""

import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.ablation._lines import Line, knobs, lines
from bench.ablation._look import compact, entitle, label, legend, legend_width, log_axis, looks, title
from bench.ablation._settings import shown
from bench.ablation._study import ESS_QUANTILES, TERMS, Study, Table

LINEAR_BELOW = 1e-2
"""On the axis of eta, which is logarithmic above, so that 0 is on it."""
COLUMNS = 8
PER_COLUMN = 8
"""Values of the knob drawn, evenly chosen."""
BY_KNOB = ("term/eta", "term/ess", "realised_kl")


def of_families(study: Study) -> Figure | None:
    """Test quality and diagnostics over steps, a line per family, each at the best of its settings."""
    condition = study.conditions[0]
    terms = [term for term in TERMS if _has(study, term)]
    metric = study.metric
    chosen = {
        family: best
        for family in study.families
        if (best := study.best(i for i in study.of_condition(condition) if family in study.settings[i].families))
        is not None
    }
    if not chosen or metric is None or not terms:
        return None
    panels = [metric, *terms]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    names = [line for family, index in chosen.items() for line in _named(study, family, index).splitlines()]
    figure = Figure(figsize=(0.4 + 2.9 * columns + legend_width(names), 0.8 + 2.2 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, name in zip(axes, panels, strict=False):
        for place, (family, index) in enumerate(chosen.items()):
            curve = _curve(study, index, name)
            look = looks(study)[family]
            every = max(1, math.ceil(len(curve) / 6))
            spread = {"markevery": (place % every, every)} if len(curve) else {}
            ax.plot(curve.index, curve["mean"], **{**look.line, "linewidth": 1.2}, **spread, gid=family)
        _scale(ax, name)
        ax.set_ylabel(f"test {label(name)}" if name == metric else TERMS[name])
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[max(0, len(panels) - columns) : len(panels)]:
        ax.set_xlabel("optimiser steps")
    named = [
        Line2D([], [], **looks(study)[family].line, label=_named(study, family, i)) for family, i in chosen.items()
    ]
    legend(figure, study, [], named)
    entitle(figure, f"{title(study, condition)}: each {study.noun} at its best setting")
    return figure


def _named(study: Study, family: str, index: int) -> str:
    """The family with the knobs of its best setting, on two lines."""
    label = study.settings[index].label.removeprefix(f"{study.settings[index].estimator}: ")
    words = [part for part in label.split(", ") if not set(part.split("=")) & set(family.split(", "))]
    return f"{family}\n  {', '.join(words)}" if words else family


def of_knobs(study: Study) -> Figure | None:
    """eta, ESS with its quantiles over images, and KL over steps: a column per family, a line per value of its knob."""
    condition = study.conditions[0]
    terms = [term for term in BY_KNOB if _has(study, term)]
    columns = [(knob, line) for knob in knobs(study, condition) for line in lines(study, knob, condition)][:COLUMNS]
    if not columns or not terms:
        return None
    figure = Figure(figsize=(0.9 + 2.3 * len(columns), 1.5 + 2.0 * len(terms)), layout="constrained")
    grid = figure.subplots(len(terms), len(columns), squeeze=False, sharey="row", sharex="col")
    for axes, term in zip(grid, terms, strict=True):
        for ax, (_, line) in zip(axes, columns, strict=True):
            _by_value(ax, study, line, term)
        for ax in axes:
            _scale(ax, term)
        axes[0].set_ylabel(TERMS[term])
    for ax, (knob, line) in zip(grid[0], columns, strict=True):
        ax.set_title(line.family)
        handles = [Line2D([], [], color=colour, label=shown(value)) for value, _, colour in _shaded(line)]
        grid[-1][list(grid[0]).index(ax)].legend(
            handles=handles, title=knob, loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3,
            fontsize=7, title_fontsize=8, handlelength=1.2, columnspacing=0.9,
        )  # fmt: skip
    for ax in grid[-1]:
        ax.set_xlabel("optimiser steps")
    entitle(figure, title(study, condition))
    return figure


def _shaded(line: Line) -> list[tuple[float, int, Any]]:
    """Evenly chosen values with their settings, from dark to light."""
    count = min(PER_COLUMN, len(line.points))
    chosen = [line.points[round(place)] for place in np.linspace(0, len(line.points) - 1, count)]
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))
    return [(value, index, shade) for (value, index), shade in zip(chosen, shades, strict=True)]


def _by_value(ax: Axes, study: Study, line: Line, term: str) -> None:
    for _, index, colour in _shaded(line):
        if term == "term/ess" and all(_has(study, quantile) for quantile in ESS_QUANTILES):
            low, high = (_curve(study, index, quantile)["mean"] for quantile in ESS_QUANTILES)
            ax.fill_between(low.index, low, high, color=colour, alpha=0.1, linewidth=0)
        curve = _curve(study, index, term)
        ax.plot(curve.index, curve["mean"], color=colour, linewidth=1.1)


def _scale(ax: Axes, name: str) -> None:
    if name == "term/eta":
        ax.set_yscale("symlog", linthresh=LINEAR_BELOW, linscale=0.4)
        ax.set_ylim(bottom=-LINEAR_BELOW / 4)
        ax.yaxis.set_major_formatter(FuncFormatter(compact))
    elif name == "realised_kl":
        ax.set_yscale("log")
        log_axis(ax.yaxis)
    elif name in ("term/ess", "term/max_weight"):
        ax.set_ylim(0, 1.02)
    ax.grid(axis="y", color="0.92")
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(compact))


def _has(study: Study, name: str) -> bool:
    return bool((study.frame["metric"] == name).any())


def _curve(study: Study, index: int, name: str) -> Table:
    """Mean over seeds by step, without runs that diverged."""
    lost = {run.name for run in study.settings[index].runs if run.state == "diverged"}
    rows = study.rows(index, name)
    rows = rows[~rows["run"].isin(lost)]
    if name not in TERMS and name not in ESS_QUANTILES:
        rows = rows[(rows["split"] == "test") & (rows["readout"] == "sample") & (rows["step"] > 0)]
    return rows.groupby("step")["value"].agg(["mean"])
