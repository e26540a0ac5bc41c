"""What the choice of a setting does: quality against each knob, how wide the band of good ones is, and conditions."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from bench.figures.axes import beyond, knob_axis, limits, number_axis
from bench.figures.sheet import ConditionSheet, Drawing, estimates, listed, sentences
from bench.figures.styles import Style
from bench.figures.themes import MUTED
from bench.metrics.catalogue import describe
from bench.records.sweep import Table
from bench.stats.bands import TOLERANCE, Band, Line, bands, lines, told_apart
from bench.stats.bands import knobs as knobs_of
from bench.text import typed

LINES = 12
"""In a panel. Of more only the best at each value of the knob is a line."""
CONDITIONS = 8
ENDS = (("low", "lowest"), ("high", "highest"))
WORST = 3.0
"""dB. What has lost more is drawn there."""
TILES = 10
"""Values of a knob that are drawn."""
GOOD, FAIR = "#bfe3c6", "#e9f3df"


def knobs(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """A column per numeric knob, a line per family: mean, interval and seeds. A row per metric, or per condition."""
    study, theme, several = sheets[0].study, sheets[0].theme, len(sheets) > 1
    found = {
        one: {knob: lines(study, knob, one.comparison) for knob in knobs_of(study, one.comparison)} for one in sheets
    }
    columns = list(dict.fromkeys(knob for mine in found.values() for knob in mine))
    metrics = sheets[0].quality_and_bound
    if not columns or not metrics:
        return None
    rows = [(one, metrics[0]) for one in sheets[:CONDITIONS] if one.measured(metrics[:1])]
    rows = rows if several else [(sheets[0], metric) for metric in metrics]
    figure = theme.sheet(theme.wide, 0.4 + 1.7 * len(rows))
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharey="row", sharex="col")
    looks = sheets[0].family_styles(study.families)
    drawn: dict[str, bool] = {}
    for axes, (sheet, metric) in zip(grid, rows, strict=True):
        points = sheet.summary([metric]).set_index("method")
        points["beyond"] = beyond(points["estimate"], describe(metric).sign)
        shown = points[~points["beyond"]]
        axes[0].set_ylim(limits(shown["estimate"], *(shown[end].fillna(shown[seed]) for end, seed in ENDS)))
        for ax, knob in zip(axes, columns, strict=True):
            drawn |= _panel(ax, sheet, metric, found[sheet], knob, points, looks)
        words = describe(metric).with_arrow
        axes[0].set_ylabel(f"{sheet.comparison.condition}\n{words}" if several else words)
        number_axis(axes[0].yaxis, 5)
    for ax, knob in zip(grid[-1], columns, strict=True):
        knob_axis(ax, knob, [value for one in found.values() for line in one.get(knob, ()) for value, _ in line.points])
    handles = [Line2D([], [], **theme.marked_line(looks[f]), label=f) for f in study.families if f in drawn]
    if not all(drawn.values()):
        handles.append(Line2D([], [], color=MUTED, linestyle=(0, (2, 2)), linewidth=1, label="no knob of its own here"))
    theme.add_legend(figure, handles, study.noun)
    points = sheets[0].summary(metrics[:1])
    caption = sheets[0].caption(
        f"Final {listed(metric for _, metric in rows)} {sheets[0].place} against each knob: "
        f"{estimates(points, 'bars', dots=True)}.",
        "Dotted: settings without a knob." if not all(drawn.values()) else "",
        "An arrow at the end of an axis: a value beyond it.",
        f"Where a panel has more than {LINES} lines, each is the best at every value of the knob.",
    )
    return Drawing(figure, caption, study.name if several else sheets[0].about)


def _panel(
    ax: Axes, sheet: ConditionSheet, metric: str, by_knob: Mapping[str, list[Line]], knob: str, points: Table,
    looks: Mapping[str, Style],
) -> dict[str, bool]:  # fmt: skip
    """Returns the families drawn, and whether they have a line."""
    found = by_knob.get(knob, [])
    drawn = found if len(found) <= LINES else _envelopes(found, points, metric)
    ends: dict[str, list[tuple[float, float]]] = {}
    for line, note in zip(drawn, told_apart(drawn), strict=True):
        _draw_line(ax, sheet, line, metric, points, looks[line.family])
        value, index = line.points[-1]
        if note and index in points.index and not points["beyond"][index]:
            ends.setdefault(note, []).append((value, points["estimate"][index]))
    for note, places in ends.items():
        # once for all families, which end close to each other
        where = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(note, tuple(np.mean(places, axis=0)), **where, fontsize=sheet.theme.tick_size, color=MUTED)
    families = {line.family: True for line in drawn}
    with_lines = {line.family for mine in by_knob.values() for line in mine}
    for index, value in points["estimate"][~points["beyond"]].items() if found else ():
        mine = sheet.comparison.settings[int(str(index))].families
        if not with_lines.intersection(mine):
            families[mine[0]] = False
            ax.axhline(value, color=looks[mine[0]].colour, linestyle=(0, (2, 2)), linewidth=1, zorder=1)
    ax.grid(axis="y", color="0.92", linewidth=0.5)
    return families


def _draw_line(ax: Axes, sheet: ConditionSheet, line: Line, metric: str, points: Table, look: Style) -> None:
    """Means on a line, with what each is the mean of; what lies beyond the axis is an arrow at its end."""
    scale, higher = sheet.theme.scale, describe(metric).sign > 0
    end, arrow = (ax.get_ylim()[0], "v") if higher else (ax.get_ylim()[1], "^")
    means, seeds_of = [], sheet.seeds(metric)
    for value, index in line.points:
        if index not in points.index:
            continue
        one = points.loc[index]
        if one["beyond"]:
            ax.plot(value, end, arrow, color=look.colour, markersize=3.5 * scale, clip_on=False)
            continue
        means.append((value, one["estimate"]))
        seeds = seeds_of["value"][seeds_of["method"] == index]
        dot = {"marker": "o", "markersize": 2.2 * scale, "markeredgewidth": 0, "alpha": 0.5, "linestyle": ""}
        ax.plot(np.full(len(seeds), value), seeds, color=look.colour, **dot, gid="seeds")
        if not math.isnan(one["low"]):
            ends = [one["low"], one["high"]]
            ax.plot([value, value], ends, color=look.colour, linewidth=0.9 * scale, zorder=2, gid="interval")
    ax.plot(*np.reshape(means, (-1, 2)).T, **sheet.theme.marked_line(look), gid="mean")


def _envelopes(found: list[Line], means: Table, metric: str) -> list[Line]:
    """Of each family the best setting at every value."""
    badness = (-describe(metric).sign * means["estimate"]).to_dict()
    merged = []
    for family in dict.fromkeys(line.family for line in found):
        points = [point for line in found if line.family == family for point in line.points]
        # of one value the last stays
        best_last = sorted(points, key=lambda point: badness.get(point[1], math.inf), reverse=True)
        merged.append(Line(family, {}, sorted(dict(best_last).items())))
    return merged


def sensitivity(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """Per family, which values of its knob are within 0.5 dB of the best, and how far below it every setting is."""
    study, theme, several = sheets[0].study, sheets[0].theme, len(sheets) > 1
    found = bands(study)
    if not found or all(len(band.drops) < 2 for band in found):
        return None
    tiled = any(band.knob for band in found)
    figure = theme.sheet(theme.wide if tiled else theme.narrow, 0.6 + 0.3 * len(found))
    panels = figure.subplots(1, 1 + tiled, squeeze=False, sharey=True, width_ratios=[1.1, 1] if tiled else [1])[0]
    looks = sheets[0].family_styles(study.families)
    for row, band in enumerate(found):
        if tiled and band.knob:
            _tiles(panels[0], band, row, theme.tick_size - 1)
        cells = np.minimum(band.cells, WORST)
        jitter, look = np.linspace(-0.2, 0.2, len(cells)) if len(cells) > 1 else np.zeros(1), looks[band.family]
        dot = {"linestyle": "", "marker": "o", "markersize": 3 * theme.scale, "alpha": 0.65, "markeredgewidth": 0}
        panels[-1].plot(cells, row + jitter, color=look.colour, **dot)
        panels[-1].vlines(np.median(cells), row - 0.32, row + 0.32, color=look.colour, linewidth=1.5 * theme.scale)
    ax, words = panels[-1], " of the condition" if several else ""
    ax.axvspan(0, TOLERANCE, color=GOOD, alpha=0.6, linewidth=0, zorder=0)
    ax.set_xlim(-0.08, WORST * 1.06)
    ax.set_xticks([0, 1, 2, WORST], ["0", "1", "2", f"{WORST:g}+"])
    ax.set_xlabel(f"PSNR below the best{words} [dB]")
    names = [f"{band.family}: {band.knob}" if band.knob else band.family for band in found]
    panels[0].set_yticks(range(len(found)), names)
    panels[0].set_ylim(len(found) - 0.5, -0.5)
    for one in panels:
        one.tick_params(axis="y", length=0)
        one.spines["left"].set_visible(False)
    everywhere = " under every condition" if several else ""
    if tiled:
        panels[0].set_xlim(-0.1, max(min(len(band.knob_values), TILES) for band in found))
        panels[0].set_xticks([])
        panels[0].spines["bottom"].set_visible(False)
        panels[0].set_xlabel(f"green: within {TOLERANCE:g} dB{everywhere}")
    tiles = f"Left: the values tried, green where the mean is within {TOLERANCE:g} dB of the best{everywhere}."
    caption = sentences(
        f"Sensitivity of PSNR to the choice of a setting, {study.name}.",
        tiles if tiled else "",
        f"{'Right: every' if tiled else 'Every'} setting by what it loses against the best{words}, at {WORST:g} dB "
        "where that is more or no run finished; the bar is the median.",
        f"{study.noun.capitalize()}s in the order of what their safest setting loses.",
    )
    return Drawing(figure, caption, study.name if several else sheets[0].about)


def _tiles(ax: Axes, band: Band, row: int, size: float) -> None:
    """The values of the knob in order, a tile each."""
    ordered = sorted(band.knob_values, key=band.knob_values.__getitem__)[:TILES]
    for place, variant in enumerate(ordered):
        drops = band.drops[variant].values()
        good = sum(drop <= TOLERANCE for drop in drops)
        colour = GOOD if band.is_good(variant) else FAIR if good else "white"
        ax.add_patch(Rectangle((place, row - 0.36), 0.92, 0.72, facecolor=colour, edgecolor="0.75", linewidth=0.6))
        text = typed(band.knob_values[variant])
        if len(band.conditions) > 1:
            text += f"\n{good}/{len(band.conditions)}"
        ax.text(place + 0.46, row, text, ha="center", va="center", fontsize=size, linespacing=0.95)


def conditions(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """Every setting under every condition: dB below the best there."""
    study, theme = sheets[0].study, sheets[0].theme
    found = bands(study)
    if not found or len(sheets) < 2:
        return None
    variants = list(dict.fromkeys(variant for band in found for variant in sorted(band.drops, key=band.worst)))
    drops = {variant: mine for band in found for variant, mine in band.drops.items()}
    named = [sheet.comparison.condition for sheet in sheets]
    table = np.array([[drops[variant].get(one, math.nan) for one in named] for variant in variants])
    several = len({posterior for _, posterior in variants}) > 1
    names = [f"{name}, {posterior}" if several else name for name, posterior in variants]
    figure = theme.sheet(theme.wide, 1.6 + 0.16 * len(names))
    ax = figure.subplots()
    texts = np.array([["" if math.isnan(d) else "lost" if math.isinf(d) else f"{d:.1f}" for d in row] for row in table])
    seaborn.heatmap(
        np.minimum(table, WORST), ax=ax, vmin=0, vmax=WORST, cmap="mako_r", annot=texts, fmt="",
        annot_kws={"fontsize": theme.tick_size - 1}, linewidths=0.5, yticklabels=names, xticklabels=named,
        cbar_kws={"label": "PSNR below the best [dB]", "shrink": 0.6},
    )  # fmt: skip
    ax.tick_params(length=0)
    ax.set_xticklabels(ax.get_xticklabels(), rotation=45, ha="right")
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)
    caption = sentences(
        f"Mean PSNR below the best of the same condition [dB], {study.name}; conditions are not compared.",
        "lost: all runs diverged. Empty: not finished." if not np.isfinite(table).all() else "",
    )
    return Drawing(figure, caption, study.name)
