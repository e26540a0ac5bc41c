"""What a choice costs: sensitivity to the knob, robustness over conditions, quality for decodes and seconds."""

import math
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench import stats
from bench.ablation._bands import TOLERANCE, Band, bands
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
from bench.metrics import METRICS

WORST = 3.0
"""dB. What has lost more is drawn there."""
TILES = 10
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
GOOD, FAIR = "#bfe3c6", "#e9f3df"

Point = tuple[float, float, int]
"""Cost, quality, and the setting."""


def sensitivity(study: Study) -> Figure | None:
    """Per family, which values of its knob are within 0.5 dB of the best, and how far below it every setting is."""
    found = bands(study)
    if not found or all(len(band.drops) < 2 for band in found):
        return None
    tiled = any(band.knob for band in found)
    names = [f"{band.family}: {band.knob}" if band.knob else band.family for band in found]
    figure = Figure(
        figsize=(0.07 * max(map(len, names)) + 4.2 + 3.6 * tiled, 1.3 + 0.42 * len(found)), layout="constrained"
    )
    panels = figure.subplots(1, 1 + tiled, squeeze=False, sharey=True, width_ratios=[1.1, 1] if tiled else [1])[0]
    for row, band in enumerate(found):
        if tiled and band.knob:
            _tiles(panels[0], band, row)
        _drops(panels[-1], study, band, row)
    ax = panels[-1]
    ax.axvspan(0, TOLERANCE, color=GOOD, alpha=0.6, linewidth=0, zorder=0)
    ax.set_xlim(-0.08, WORST * 1.06)
    ax.set_xticks([0, 0.5, 1, 1.5, 2, 2.5, 3], ["0", "0.5", "1", "1.5", "2", "2.5", "3+"])
    several = len(study.conditions) > 1
    ax.set_xlabel(f"PSNR below the best{' of the condition' if several else ''} [dB]")
    panels[0].set_yticks(range(len(found)), names)
    panels[0].set_ylim(len(found) - 0.5, -0.5)
    for one in panels:
        one.tick_params(axis="y", length=0)
        one.spines["left"].set_visible(False)
    if tiled:
        panels[0].set_xlim(-0.1, max(min(len(band.knob_values), TILES) for band in found))
        panels[0].set_xticks([])
        panels[0].spines["bottom"].set_visible(False)
        panels[0].set_xlabel(f"green: within {TOLERANCE:g} dB{' under every condition' if several else ''}")
    entitle(figure, f"Sensitivity: {title(study, study.conditions[0]) if not several else study.name}")
    return figure


def _tiles(ax: Axes, band: Band, row: int) -> None:
    """The values of the knob in order, a tile each."""
    ordered = sorted(band.knob_values, key=band.knob_values.__getitem__)[:TILES]
    for place, variant in enumerate(ordered):
        drops = band.drops[variant].values()
        good = sum(drop <= TOLERANCE for drop in drops)
        colour = GOOD if band.is_good(variant) else FAIR if good else "white"
        ax.add_patch(Rectangle((place, row - 0.36), 0.92, 0.72, facecolor=colour, edgecolor="0.75", linewidth=0.6))
        text = shown(band.knob_values[variant])
        if len(band.conditions) > 1:
            text += f"\n{good}/{len(band.conditions)}"
        ax.text(place + 0.46, row, text, ha="center", va="center", fontsize=7, linespacing=0.95)


def _drops(ax: Axes, study: Study, band: Band, row: int) -> None:
    look = looks(study)[band.family]
    cells = np.minimum(band.cells, WORST)
    jitter = np.linspace(-0.2, 0.2, len(cells)) if len(cells) > 1 else np.zeros(1)
    ax.plot(
        cells, row + jitter, linestyle="", marker="o", markersize=4, color=look.colour, alpha=0.65, markeredgewidth=0
    )
    ax.plot([np.median(cells)] * 2, [row - 0.32, row + 0.32], color=look.colour, linewidth=2)


def conditions(study: Study) -> Figure | None:
    """Every setting under every condition: dB below the best there."""
    found = bands(study)
    if not found or len(study.conditions) < 2:
        return None
    variants = list(dict.fromkeys(variant for band in found for variant in sorted(band.drops, key=band.worst)))
    drops = {variant: mine for band in found for variant, mine in band.drops.items()}
    table = np.array([[drops[v].get(c, math.nan) for c in study.conditions] for v in variants])
    posteriors = len({posterior for _, posterior in variants}) > 1
    names = [f"{name}, {posterior}" if posteriors else name for name, posterior in variants]
    figure = Figure(figsize=(0.07 * max(map(len, names)) + 0.75 * len(study.conditions) + 1.5, 2.2 + 0.24 * len(names)),
                    layout="constrained")  # fmt: skip
    ax = figure.subplots()
    texts = np.array([[_cell(drop) for drop in row] for row in table])
    seaborn.heatmap(
        np.minimum(table, WORST), ax=ax, vmin=0, vmax=WORST, cmap="mako_r", annot=texts, fmt="",
        annot_kws={"fontsize": 7}, linewidths=0.5, yticklabels=names, xticklabels=study.conditions,
        cbar_kws={"label": "PSNR below the best of the condition [dB]", "shrink": 0.6},
    )  # fmt: skip
    ax.tick_params(axis="x", labelrotation=45, length=0)
    for tick in ax.get_xticklabels():
        tick.set_horizontalalignment("right")
    ax.tick_params(axis="y", labelrotation=0, length=0)
    entitle(figure, f"{study.name}, {', preset '.join(study.settings[0].place)}")
    return figure


def _cell(drop: float) -> str:
    if math.isnan(drop):
        return ""
    return "lost" if math.isinf(drop) else f"{drop:.1f}"


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
    devices = ", ".join(sorted(set(study.frame["device"].astype(str))))
    for place, axis in enumerate(axes):
        column = [ax for ax in grid[:, place] if ax.get_visible()]
        low, high = column[-1].dataLim.intervalx
        if low > 0 and high / low > LOG_FROM:
            column[-1].set_xscale("log")
            log_axis(column[-1].xaxis)
        else:
            column[-1].xaxis.set_major_locator(MaxNLocator(4))
            column[-1].xaxis.set_major_formatter(FuncFormatter(compact))
        for ax in column:
            _name(ax, study, fronts[ax])
        column[-1].set_xlabel(COSTS[axis].replace("[s]", f"[s, {devices}]"))
        column[-1].tick_params(labelbottom=True)
    legend(figure, study, study.families)
    entitle(figure, f"Frontier: {title(study, condition)}")
    return figure


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
