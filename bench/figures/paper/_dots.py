"""Final values, a row per estimator: `final` and `codebook`."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.figures.paper import _captions
from bench.figures.paper._page import (
    MUTED,
    ONE_COLUMN,
    REFERENCE,
    TALLEST,
    TICK_SIZE,
    TWO_COLUMNS,
    Drawn,
    legend_below,
    limits,
    marker_size,
    number_axis,
    reference_line,
    sheet_of_paper,
)
from bench.figures.paper._sheet import CODEBOOK, QUALITY, Sheet, Table
from bench.figures.screen import LABELS
from bench.metrics.catalogue import METRICS

HOLLOW = "causal"
AXIS = 0.42
"""Inches of height for its numbers and label."""
SINGLE, DOUBLE = 0.15, 0.22
"""Inches per estimator with one posterior, and with two."""
NARROW = 28
"""Characters of a name that leave room for dots in one column."""
SEEDS_BELOW = 0.28
"""Of the height of a line of dots; on the line the mean would hide them."""
NO_VALUE = "–"


def final(sheet: Sheet) -> Drawn | None:
    """Test metrics after training, a panel each."""
    metrics = [metric for metric in QUALITY if sheet.measured(metric)]
    return _dots(sheet, metrics)


def codebook(sheet: Sheet) -> Drawn | None:
    """How much of the codebook is used, and how evenly."""
    return _dots(sheet, [metric for metric in CODEBOOK if sheet.measured(metric)], floor=0.0)


def _dots(sheet: Sheet, metrics: list[str], floor: float | None = None) -> Drawn | None:
    if not metrics:
        return None
    each = SINGLE if len(sheet.posteriors) == 1 else DOUBLE
    names = sheet.names[: int((TALLEST - AXIS) / each)]
    narrow = len(metrics) < 3 and max(map(len, sheet.labels.values())) <= NARROW
    figure = sheet_of_paper(ONE_COLUMN if narrow else TWO_COLUMNS, AXIS + each * len(names))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(panels, metrics, strict=True):
        _panel(ax, sheet, metric, names, floor)
    marks = {one.get_gid() for ax in panels for one in (*ax.lines, *ax.texts)}
    panels[0].set_yticks(range(len(names)), [sheet.marked(sheet.labels[name], [name]) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    legend_below(figure, _legend(sheet, "reference" in marks))
    return Drawn(figure, _captions.dots(sheet, metrics, names, marks))


def _panel(ax: Axes, sheet: Sheet, metric: str, names: Sequence[str], floor: float | None) -> None:
    means, seeds, missing = _placed(sheet, metric, names)
    baseline = sheet.baseline(metric)
    low, high = limits([*seeds["x"], *means["x"]], means["low"], means["high"], baseline)
    low = low if floor is None else floor
    ax.set_xlim(low, high)
    for row in range(1, len(names), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.955", linewidth=0, zorder=0)
    colours = {name: sheet.styles[name].colour for name in names}
    style: dict[str, Any] = {"x": "x", "y": "y", "hue": "name", "palette": colours, "legend": False, "ax": ax}
    if len(seeds):
        seaborn.scatterplot(seeds, **style, s=5, alpha=0.55, linewidth=0, zorder=2, gid="seeds")
    _intervals(ax, means, colours, low, high)
    for (name, posterior), mine in means.groupby(["name", "posterior"], sort=False):
        shape = sheet.styles[name].marker
        seaborn.scatterplot(mine, **style, s=marker_size(shape) ** 2, marker=shape, linewidth=0.8, zorder=4, gid="mean")
        ax.collections[-1].set(edgecolor=colours[name], facecolor="white" if posterior == HOLLOW else colours[name])
    for y, text in missing:
        place = {"transform": ax.get_yaxis_transform(), "ha": "center", "va": "center"}
        gid = "missing" if text == NO_VALUE else "diverged"
        ax.text(0.5, y, text, color=MUTED, fontsize=TICK_SIZE, gid=gid, **place)
    if low <= baseline <= high:
        ax.axvline(baseline, **REFERENCE, gid="reference")
    seaborn.despine(ax=ax, left=True)
    ax.tick_params(axis="y", length=0, pad=4)
    ax.set(xlabel=heading(metric), ylabel="")
    number_axis(ax.xaxis, 3)


def _placed(sheet: Sheet, metric: str, names: Sequence[str]) -> tuple[Table, Table, list[tuple[float, str]]]:
    """Means with intervals, seeds, and what is said where there are none; all with their height."""
    means, seeds, missing = [], [], []
    for row, name in enumerate(names):
        posteriors = [posterior for posterior in sheet.posteriors if sheet.diverged(name, posterior)[1]]
        for place, posterior in enumerate(posteriors):
            y = row + (place + 0.5) / len(posteriors) - 0.5
            shared = {"name": name, "posterior": posterior}
            found = sheet.of(sheet.summary, name, posterior, metric)
            values = sheet.of(sheet.values, name, posterior, metric)["value"].dropna()
            lost, all_ = sheet.diverged(name, posterior)
            for one in found.to_dict("records"):
                means.append({**shared, "x": one["estimate"], "low": one["low"], "high": one["high"], "y": y})
                below = y + SEEDS_BELOW / len(sheet.posteriors)
                seeds += [{**shared, "x": value, "y": below} for value in values if len(values) > 1]
            if found.empty:
                missing.append((y, "diverged" if lost == all_ else NO_VALUE))
    return pd.DataFrame(means), pd.DataFrame(seeds, columns=["name", "posterior", "x", "y"]), missing


def _intervals(ax: Axes, means: Table, colours: dict[str, Any], low: float, high: float) -> None:
    """A line each; where it goes on past the axis, an arrow head."""
    for one in means.dropna(subset=["low"]).to_dict("records"):
        colour = colours[one["name"]]
        ends = (max(one["low"], low), min(one["high"], high))
        ax.plot(ends, (one["y"], one["y"]), color=colour, linewidth=1.0, zorder=3, gid="interval")
        for end, beyond, shape in ((low, one["low"] < low, "<"), (high, one["high"] > high, ">")):
            if beyond:
                ax.plot(end, one["y"], marker=shape, color=colour, markersize=2.8, clip_on=False, gid="beyond")


def _legend(sheet: Sheet, referred: bool) -> list[Line2D]:
    grey: dict[str, Any] = {"color": MUTED, "linestyle": "", "marker": "o"}
    several = sheet.summary["n"].max() > 1
    what = "mean" if several else "value"
    handles = []
    for posterior in sheet.posteriors:
        face = "white" if posterior == HOLLOW else MUTED
        label = f"{what}, {posterior}" if len(sheet.posteriors) > 1 else what
        handles.append(Line2D([], [], **grey, markersize=4, markerfacecolor=face, label=label))
    if sheet.summary["low"].notna().any():
        handles.append(Line2D([], [], color=MUTED, linewidth=1.0, label="95 % interval"))
    if several:
        handles.append(Line2D([], [], **grey, markersize=2.2, markeredgewidth=0, alpha=0.6, label="one seed"))
    return handles + [reference_line()] * referred


def heading(metric: str) -> str:
    arrow = "" if metric in CODEBOOK else {"higher": " ↑", "lower": " ↓"}[METRICS[metric].better]
    return f"{LABELS[metric].replace(' per image', '')}{arrow}"
