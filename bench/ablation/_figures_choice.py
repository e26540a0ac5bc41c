"""What a choice costs: sensitivity to the knob, and robustness over conditions."""

import math

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.ablation._bands import TOLERANCE, Band, bands
from bench.ablation._look import entitle, looks, title
from bench.ablation._settings import shown
from bench.ablation._study import Study

WORST = 3.0
"""dB. What has lost more is drawn there."""
TILES = 10
GOOD, FAIR = "#bfe3c6", "#e9f3df"


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
