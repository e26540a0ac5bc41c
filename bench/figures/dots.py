"""Final values, a row per method: `final`, `codebook`, and the `settings` of an ablation."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.figures.axes import beyond, limits, number_axis
from bench.figures.sheet import HOLLOW, ConditionSheet, Drawing, Sheet, estimates, listed
from bench.figures.themes import CHARACTER, MUTED
from bench.metrics import catalogue
from bench.metrics.catalogue import describe
from bench.records.sweep import Table

CODEBOOK = ("fraction", "codes")
"""Units of what says how the codebook is used."""
AXIS = 0.42
"""Inches of height for its numbers and label."""
SINGLE, DOUBLE = 0.15, 0.22
"""Inches per name with one posterior, and with two."""
NARROW = 28
"""Characters of a name that leave room for dots in one column."""
SEEDS_BELOW = 0.28
"""Of the height of a line of dots; on the line the mean would hide them."""
NO_VALUE = "–"
MOST_SETTINGS = 80
"""Of an ablation, the best; its table has all."""


def final(sheet: Sheet) -> Drawing | None:
    """Test metrics after training, a panel each: all that rank or stand in tables, but for the rate, which has a figure
    of its own, and the codebook's."""
    known = {name for name in (*catalogue.ranked(), *catalogue.columns()) if describe(name).kind != "cost"}
    others = {name for name in known if describe(name).unit in (*CODEBOOK, "bits")}
    return _dots(sheet, sheet.measured(catalogue.in_order(known - others)))


def settings(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """The same of the settings of an ablation, of a single condition."""
    scored = len(sheets[0].comparison.means.get(sheets[0].comparison.metric or "", {}))
    return final(sheets[0]) if len(sheets) == 1 and scored > 1 else None


def codebook(sheet: Sheet) -> Drawing | None:
    """How much of the codebook is used, and how evenly; on a screen also where."""
    uses = sheet.comparison.by_position
    uses = uses[(uses["measure"] == "usage") & sheet.theme.stands_alone]
    names = [name for name in catalogue.columns() if describe(name).unit in CODEBOOK]
    return _dots(sheet, sheet.measured(names), floor=0.0, uses=uses if len(uses) else None)


def _dots(sheet: Sheet, metrics: list[str], floor: float | None = None, uses: Table | None = None) -> Drawing | None:
    mapped = uses is not None
    if not (metrics or mapped) or sheet.comparison.metric is None:
        return None
    each = SINGLE if len(sheet.posteriors) == 1 else DOUBLE
    most = int((sheet.theme.tallest / sheet.theme.scale - AXIS) / each)
    names = sheet.names[: min(most, MOST_SETTINGS) if sheet.cut else most]
    longest = max(map(len, sheet.labels.values()))
    narrow = len(metrics) + 2 * mapped < 3 and longest <= NARROW
    # on a screen no page prescribes the width
    room = sheet.theme.stands_alone * max(0, longest - NARROW) * CHARACTER * sheet.theme.tick_size / 72
    figure = sheet.theme.sheet((sheet.theme.narrow if narrow else sheet.theme.wide) + room, AXIS + each * len(names))
    rows, heights = sheet.summary(metrics), _heights(sheet, names)
    rows = rows[rows["name"].isin(names)]
    metrics = [metric for metric in metrics if metric in set(rows["metric"])]
    ratios = [1.0] * len(metrics) + [2.0] * mapped
    panels = figure.subplots(1, len(ratios), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for ax, metric in zip(panels, metrics, strict=False):
        _panel(ax, sheet, metric, rows[rows["metric"] == metric], heights, floor)
    if uses is not None:
        _map(figure, panels[-1], sheet, uses, heights)
    for ax in panels:
        seaborn.despine(ax=ax, left=True)
        ax.tick_params(axis="y", length=0, pad=4)
    marks = {one.get_gid() for ax in panels for one in (*ax.lines, *ax.texts)}
    panels[0].set_yticks(range(len(names)), [sheet.marked(sheet.labels[name], [name]) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    sheet.theme.add_legend(figure, _legend(sheet, rows, "reference" in marks), sheet.noun if sheet.cut else "")
    return Drawing(figure, _caption(sheet, metrics, rows, names, marks, mapped), sheet.about)


def _heights(sheet: Sheet, names: Sequence[str]) -> dict[int, float]:
    """Where each method lies: the posteriors of one name below each other in its row."""
    found: dict[int, float] = {}
    for row, name in enumerate(names):
        mine = sheet.named([name])
        found |= {index: row + (place + 0.5) / len(mine) - 0.5 for place, index in enumerate(mine)}
    return found


def _panel(ax: Axes, sheet: Sheet, metric: str, rows: Table, heights: dict[int, float], floor: float | None) -> None:
    theme, sign, baseline = sheet.theme, describe(metric).sign, sheet.comparison.baseline(metric)
    means = rows.assign(y=rows["method"].map(heights), beyond=beyond(rows["estimate"], sign) & sheet.cut)
    shown = means[~means["beyond"]]
    seeds = sheet.seeds(metric).assign(y=lambda one: one["method"].map(heights) + SEEDS_BELOW / len(sheet.posteriors))
    seeds = seeds[seeds["method"].isin(shown["method"][shown["n"] > 1])]
    near = np.nan if means["beyond"].any() else baseline
    low, high = limits([*shown["estimate"], *seeds["value"]], shown["low"], shown["high"], near)
    low = low if floor is None else floor
    ax.set_xlim(low, high)
    for row in range(1, 1 + round(max(heights.values())), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.955", linewidth=0, zorder=0)
    colours = {name: style.colour for name, style in sheet.styles.items()}
    style: dict[str, Any] = {"y": "y", "hue": "name", "palette": colours, "legend": False, "ax": ax, "gid": "seeds"}
    if len(seeds):
        seaborn.scatterplot(seeds, x="value", **style, s=5 * theme.scale**2, alpha=0.55, linewidth=0, zorder=2)
    for one in means.to_dict("records"):
        _interval(ax, one, colours[one["name"]], theme.scale, sign)
    for (name, posterior), mine in shown.groupby(["name", "posterior"], sort=False):
        shape = sheet.styles[name].marker
        look = {**style, "gid": "mean", "marker": shape, "linewidth": 0.8 * theme.scale, "zorder": 4}
        seaborn.scatterplot(mine, x="estimate", **look, s=theme.marker_size(shape) ** 2)
        ax.collections[-1].set(edgecolor=colours[name], facecolor="white" if posterior == HOLLOW else colours[name])
    for index in heights.keys() - set(means["method"]):
        lost, all_ = sheet.diverged(index)
        text, gid = ("diverged", "diverged") if lost == all_ else (NO_VALUE, "missing")
        place = {"transform": ax.get_yaxis_transform(), "ha": "center", "va": "center", "gid": gid}
        ax.text(0.5, heights[index], text, color=MUTED, fontsize=theme.tick_size, **place)
    if low <= baseline <= high:
        ax.axvline(baseline, **theme.reference, gid="reference")
    ax.set(xlabel=describe(metric).with_arrow, ylabel="")
    number_axis(ax.xaxis, 3)


def _interval(ax: Axes, one: dict[Any, Any], colour: Any, scale: float, sign: int) -> None:
    """A line; where it goes on past the axis, or the mean itself lies there, an arrow head."""
    left, right = ax.get_xlim()
    if not one["beyond"] and np.isfinite(one["low"]):
        ends = (max(one["low"], left), min(one["high"], right))
        ax.plot(ends, (one["y"], one["y"]), color=colour, linewidth=scale, zorder=3, gid="interval")
    look: dict[str, Any] = {"color": colour, "markersize": 2.8 * scale, "clip_on": False, "gid": "beyond"}
    if one["low"] < left or (one["beyond"] and sign > 0):
        ax.plot(left, one["y"], "<", **look)
    if one["high"] > right or (one["beyond"] and sign < 0):
        ax.plot(right, one["y"], ">", **look)


def _map(figure: Figure, ax: Axes, sheet: Sheet, uses: Table, heights: dict[int, float]) -> None:
    """The share of the codebook used at each position: a strip per method, level with its dots."""
    last, scale = int(uses["position"].max()), Normalize(0, uses["value"].max())
    for index, y in heights.items():
        strip = uses[uses["method"] == index].set_index("position")["value"].reindex(range(last + 1))
        half = 0.46 / len(sheet.named([sheet.comparison.methods[index].name]))
        ax.imshow(
            strip.to_numpy(float)[None], aspect="auto", interpolation="nearest", cmap="cividis", norm=scale,
            extent=(-0.5, last + 0.5, y + half, y - half), gid=sheet.comparison.label(index),
        )  # fmt: skip
    ax.set_xlim(-0.5, last + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel("latent position; shade: codes used there")
    figure.colorbar(ScalarMappable(scale, "cividis"), ax=ax, pad=0.02, aspect=30)


def _legend(sheet: Sheet, rows: Table, referred: bool) -> list[Line2D]:
    theme, several = sheet.theme, len(rows) > 0 and rows["n"].max() > 1
    families = list(dict.fromkeys(sheet.families.values())) if sheet.cut else []
    looks = sheet.family_styles(families) if len(families) > 1 else {}
    handles = [Line2D([], [], **theme.marker(style), linestyle="", label=name) for name, style in looks.items()]
    handles += sheet.posterior_lines("mean" if several else "value")
    if rows["low"].notna().any():
        handles.append(Line2D([], [], color=MUTED, linewidth=theme.scale, label="95 % interval"))
    if several:
        small: dict[str, Any] = {"marker": "o", "markersize": 2.2 * theme.scale, "markeredgewidth": 0, "alpha": 0.6}
        handles.append(Line2D([], [], color=MUTED, linestyle="", **small, label="one seed"))
    return handles + [theme.reference_line()] * referred


def _caption(
    sheet: Sheet, metrics: Sequence[str], rows: Table, names: Sequence[str], marks: Collection[str], mapped: bool
) -> str:
    """`marks` are what panels hold: beyond, missing."""
    what = f"Final {listed(metrics)}" if metrics else "Use of the codebook"
    how = f": {estimates(rows, 'lines', dots=True)}" if metrics else ""
    return sheet.caption(
        f"{what} {sheet.place}{how}.",
        "At an arrow head the interval goes on, or a value lies beyond." if "beyond" in marks else "",
        "Shaded: the fraction of the codebook used at each position of the latent, mean over seeds." if mapped else "",
        f"In the order of the best {sheet.ranking}.",
        sheet.not_shown(len(sheet.names) - len(names)),
        f"{NO_VALUE}: not defined or not measured." if "missing" in marks else "",
        metrics=[*metrics, *["usage"] * mapped],
        names=names,
    )
