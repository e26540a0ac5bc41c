"""Final metrics: every setting in a row, and against each knob."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.ablation._lines import Line, knobs, lines, told_apart
from bench.ablation._look import (
    SEED,
    beyond,
    compact,
    entitle,
    knob_axis,
    label,
    legend,
    legend_width,
    limit,
    looks,
    lower_edge,
    title,
)
from bench.ablation._study import Study
from bench.metrics.catalogue import METRICS

ROWS = 80
"""Settings drawn, the best; the page's table has all."""
LINES = 12
"""In a panel. Of more only the best at each value of the knob is a line."""
CONDITIONS = 8
METRICS_SHOWN = ("psnr", "elbo")
_WHISKER = {"linewidth": 1.1, "zorder": 2}


def shown_metrics(study: Study) -> list[str]:
    """PSNR and ELBO, or what ranks."""
    found = [metric for metric in METRICS_SHOWN if (study.finals["metric"] == metric).any()]
    return found or [metric for metric in [study.metric] if metric]


def all_settings(study: Study) -> Figure | None:
    """Mean with its interval, and a point per seed, best first. Of a single condition."""
    metrics = shown_metrics(study)
    if len(study.conditions) > 1 or not metrics:
        return None
    sign = 1 if METRICS[metrics[0]].better == "lower" else -1
    scored = [index for index in range(len(study.settings)) if (index, metrics[0]) in study.means]
    order = sorted(scored, key=lambda index: sign * study.means[index, metrics[0]])[:ROWS]
    if len(order) < 2:
        return None
    several = len({setting.posterior for setting in study.settings}) > 1
    names = [study.settings[i].label + (f", {study.settings[i].posterior}" if several else "") for i in order]
    width = 0.065 * max(map(len, names)) + 3.2 * len(metrics) + legend_width(study.families)
    figure = Figure(figsize=(width, 1.3 + 0.2 * len(order)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    panels[0].set_yticks(range(len(order)), names)
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    for ax, metric in zip(panels, metrics, strict=True):
        for row in range(0, len(order), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="0.955", linewidth=0, zorder=0)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        _rows(ax, study, metric, order)
    legend(figure, study, [f for f in study.families if any(f == study.settings[i].families[0] for i in order)])
    entitle(figure, title(study, study.conditions[0]))
    return figure


def _rows(ax: Axes, study: Study, metric: str, order: list[int]) -> None:
    found = looks(study)
    better = METRICS[metric].better
    edge = lower_edge([study.means.get((index, metric), math.nan) for index in order], better)
    summary = study.finals[study.finals["metric"] == metric].set_index("setting")
    seeds = _seeds(study, metric, study.conditions[0])
    for row, index in enumerate(order):
        if index not in summary.index:
            continue
        one = summary.loc[index]
        look = found[study.settings[index].families[0]]
        if beyond(one["estimate"], edge, better):
            ax.plot(edge, row, marker="<", color=look.colour, markersize=5, clip_on=False, zorder=4)
            continue
        ax.plot(seeds[index], np.full(len(seeds[index]), row + 0.24), color=look.colour, **SEED, gid="seeds")
        if not math.isnan(one["low"]):
            ax.plot([one["low"], one["high"]], [row, row], color=look.colour, **_WHISKER, gid="interval")
        ax.plot(one["estimate"], row, **{**look.point, "linestyle": ""}, zorder=3, gid="mean")
    limit(ax, "x", edge, better)
    ax.set_xlabel(f"{label(metric)}\n{better} is better")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(compact))


def against_knobs(study: Study) -> Figure | None:
    """A column per numeric knob, a line per family: mean, interval and seeds. A row per metric, or per condition."""
    columns = list(dict.fromkeys(knob for condition in study.conditions for knob in knobs(study, condition)))
    metrics = shown_metrics(study)
    if not columns or not metrics:
        return None
    several = len(study.conditions) > 1
    rows = (
        [(c, metrics[0]) for c in study.conditions[:CONDITIONS]]
        if several
        else [(study.conditions[0], m) for m in metrics]
    )
    width = 0.7 + 2.6 * len(columns) + legend_width(study.families)
    figure = Figure(figsize=(width, 0.9 + 2.3 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharey="row", sharex="col")
    drawn: list[str] = []
    for axes, (condition, metric) in zip(grid, rows, strict=True):
        edge = lower_edge(
            [study.means.get((i, metric), math.nan) for i in study.of_condition(condition)], METRICS[metric].better
        )
        for ax, knob in zip(axes, columns, strict=True):
            drawn += _panel(ax, study, knob, condition, metric, edge)
        limit(axes[0], "y", edge, METRICS[metric].better)
        axes[0].set_ylabel(f"{condition}\n{label(metric)}" if several else label(metric))
        axes[0].yaxis.set_major_formatter(FuncFormatter(compact))
    for ax, knob in zip(grid[-1], columns, strict=True):
        found = [line for condition in study.conditions for line in lines(study, knob, condition)]
        knob_axis(ax, knob, [value for line in found for value, _ in line.points])
    families = [family for family in study.families if family in drawn]
    dashes = [Line2D([], [], color="0.4", linestyle=(0, (2, 2)), linewidth=1, label="no knob of its own here")]
    alone = any(family not in _with_lines(study) for family in families)
    legend(figure, study, families, dashes if alone else [])
    entitle(figure, title(study, study.conditions[0]) if not several else study.name)
    return figure


def _with_lines(study: Study) -> set[str]:
    return {
        line.family
        for condition in study.conditions
        for knob in knobs(study, condition)
        for line in lines(study, knob, condition)
    }


def _panel(ax: Axes, study: Study, knob: str, condition: str, metric: str, edge: float) -> list[str]:
    """Returns the families drawn."""
    found = lines(study, knob, condition)
    drawn = found if len(found) <= LINES else _envelopes(study, found, metric)
    better = METRICS[metric].better
    ends: dict[str, list[tuple[float, float]]] = {}
    for line, note in zip(drawn, told_apart(drawn), strict=True):
        _draw_line(ax, study, line, condition, metric, edge)
        last = study.means.get((line.points[-1][1], metric), math.nan)
        if note and math.isfinite(last) and not beyond(last, edge, better):
            ends.setdefault(note, []).append((line.points[-1][0], last))
    for note, points in ends.items():
        # once for all families, which end close to each other
        x, y = np.mean(points, axis=0)
        ax.annotate(note, (x, y), xytext=(6, 0), textcoords="offset points", fontsize=6.5, color="0.3", va="center")
    families = [line.family for line in drawn]
    for index in _without_a_line(study, condition):
        value = study.means.get((index, metric), math.nan)
        if found and math.isfinite(value) and not beyond(value, edge, better):
            families.append(study.settings[index].families[0])
            colour = looks(study)[families[-1]].colour
            ax.axhline(value, color=colour, linestyle=(0, (2, 2)), linewidth=1, zorder=1)
    ax.grid(axis="y", color="0.92")
    return families


def _draw_line(ax: Axes, study: Study, line: Line, condition: str, metric: str, edge: float) -> None:
    """Means on a line, with what each is the mean of; what lies beyond the edge is an arrow there."""
    look, better = looks(study)[line.family], METRICS[metric].better
    summary = study.finals[study.finals["metric"] == metric].set_index("setting")
    seeds = _seeds(study, metric, condition)
    means = []
    for value, index in line.points:
        if index not in summary.index:
            continue
        one = summary.loc[index]
        if beyond(one["estimate"], edge, better):
            arrow = "v" if better == "higher" else "^"
            ax.plot(value, edge, marker=arrow, color=look.colour, markersize=5, clip_on=False)
            continue
        means.append((value, one["estimate"]))
        ax.plot(np.full(len(seeds[index]), value), seeds[index], color=look.colour, **SEED, gid="seeds")
        if not math.isnan(one["low"]):
            ax.plot([value, value], [one["low"], one["high"]], color=look.colour, **_WHISKER, gid="interval")
    ax.plot([value for value, _ in means], [mean for _, mean in means], **look.line, gid="mean")


def _envelopes(study: Study, found: list[Line], metric: str) -> list[Line]:
    """Of each family the best setting at every value."""
    sign = -1 if METRICS[metric].better == "lower" else 1
    merged = []
    for family in dict.fromkeys(line.family for line in found):
        by_value: dict[float, list[int]] = {}
        for line in found:
            for value, index in line.points if line.family == family else []:
                by_value.setdefault(value, []).append(index)
        points = [
            (value, max(mine, key=lambda index: sign * study.means.get((index, metric), -sign * math.inf)))
            for value, mine in sorted(by_value.items())
        ]
        merged.append(Line(family, {}, points))
    return merged


def _without_a_line(study: Study, condition: str) -> list[int]:
    """Settings of families that have no knob."""
    with_lines = _with_lines(study)
    return [i for i in study.of_condition(condition) if not with_lines.intersection(study.settings[i].families)]


def _seeds(study: Study, metric: str, condition: str) -> dict[int, np.ndarray]:
    values = study.scores[condition]
    values = values[(values["metric"] == metric) & values["value"].notna()]
    found = {int(index): rows["value"].to_numpy(float) for index, rows in values.groupby("setting")}
    return {index: found.get(index, np.empty(0)) for index in study.of_condition(condition)}
