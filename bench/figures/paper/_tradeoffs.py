"""Quality against a cost, a point per method: `rate_distortion` and `pareto`."""

from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench import stats
from bench.figures.paper import _captions
from bench.figures.paper._dots import HOLLOW, heading
from bench.figures.paper._page import (
    GREY,
    MUTED,
    ONE_COLUMN,
    TWO_COLUMNS,
    Drawn,
    far_apart,
    legend_below,
    limits,
    line,
    log_axis,
    marker,
    marker_size,
    number_axis,
    sheet_of_paper,
)
from bench.figures.paper._sheet import FOLLOWED, Sheet, Table, shortened
from bench.figures.styles import Style, told_apart
from bench.metrics.catalogue import METRICS

PLOTTED = ("psnr", "rfid")
HEIGHT = 2.2
"""Inches, legend aside."""
FRONT: dict[str, Any] = {"color": MUTED, "linewidth": 0.7, "zorder": 1}
RESOLVED = 0.01
"""Of a rate or a time: if all differ by less, there is nothing to trade."""


def rate_distortion(sheet: Sheet) -> Drawn | None:
    """PSNR and rFID against bits per image, if the rates differ; lines join the settings of one estimator."""
    tables = {metric: stats.rate_distortion(sheet.values, metric) for metric in _metrics(sheet)}
    return _draw(sheet, tables, "rate [bits per image]", by_rate=True)


def pareto(sheet: Sheet) -> Drawn | None:
    """PSNR and rFID against seconds of training, with the front that no method is beaten on."""
    tables = {metric: stats.pareto(sheet.values, metric, "seconds") for metric in _metrics(sheet)}
    return _draw(sheet, tables, "training time [s] ↓", by_rate=False)


def _metrics(sheet: Sheet) -> list[str]:
    measured = [metric for metric in PLOTTED if sheet.measured(metric)]
    return measured or [metric for metric in (sheet.metric,) if metric]


def _draw(sheet: Sheet, tables: dict[str, Table], words: str, by_rate: bool) -> Drawn | None:
    tables = {metric: table for metric, table in tables.items() if _differ(table["cost"])}
    if not tables:
        return None
    figure = sheet_of_paper(TWO_COLUMNS if len(tables) > 1 else ONE_COLUMN, HEIGHT)
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    tables = {metric: table.assign(family=table["estimator"].map(sheet.families)) for metric, table in tables.items()}
    looks = _looks(sheet, tables, by_rate)
    for ax, (metric, table) in zip(panels, tables.items(), strict=True):
        _points(ax, table, looks)
        if by_rate:
            _join(ax, table, looks, METRICS[metric].better)
        else:
            _front(ax, table)
        _axes(ax, table)
        ax.set(xlabel=words, ylabel=f"test {heading(metric)}")
    legend_below(figure, _legend(sheet, tables, looks, by_rate))
    return Drawn(figure, _captions.tradeoff(sheet, tables, by_rate))


def _differ(costs: Table) -> bool:
    return bool(costs.max() - costs.min() > RESOLVED * costs.max())


def _looks(sheet: Sheet, tables: dict[str, Table], by_rate: bool) -> dict[str, Style]:
    """Of the estimators that are told apart: the best, of a Pareto front its own before others. The rest is grey."""
    drawn = {family for table in tables.values() for family in table["family"]}
    ahead = {family for table in tables.values() for family in table["family"][table["on_front"]]}
    ranked = [family for family in dict.fromkeys(map(sheet.families.__getitem__, sheet.names)) if family in drawn]
    wanted = ranked if by_rate else sorted(ranked, key=lambda family: family not in ahead)
    kept = wanted[:FOLLOWED]
    return told_apart({family: family for family in ranked if family in kept})


def _points(ax: Axes, table: Table, looks: dict[str, Style]) -> None:
    """Means, those of the best on top; bars of intervals both ways."""
    others = table[~table["family"].isin(looks)]
    seaborn.scatterplot(others, x="cost", y="quality", ax=ax, s=8, color=GREY, linewidth=0, legend=False, gid="others")
    for place, (family, style) in enumerate(reversed(looks.items())):
        for posterior, mine in table[table["family"] == family].groupby("posterior"):
            order = 3 + place / 100
            bars: dict[str, Any] = {"color": style.colour, "linewidth": 0.7, "alpha": 0.7, "zorder": order - 0.5}
            ax.vlines(mine["cost"], mine["quality_low"], mine["quality_high"], **bars, gid="interval")
            ax.hlines(mine["quality"], mine["cost_low"], mine["cost_high"], **bars, gid="interval")
            size = marker_size(style.marker) ** 2
            seaborn.scatterplot(
                mine, x="cost", y="quality", ax=ax, s=size, marker=style.marker, linewidth=0.8, zorder=order, gid=family
            )
            hollow = posterior == HOLLOW
            ax.collections[-1].set(edgecolor=style.colour, facecolor="white" if hollow else style.colour)


def _join(ax: Axes, table: Table, looks: dict[str, Style], better: str) -> None:
    """The settings of one estimator that no other one of its settings beats at a lower rate."""
    sign = -1 if better == "higher" else 1
    for (family, _), mine in table.groupby(["family", "posterior"]):
        ahead = mine[stats.pareto_front(np.stack([mine["cost"], sign * mine["quality"]], axis=1))].sort_values("cost")
        if family in looks and len(ahead) > 1:
            seaborn.lineplot(
                ahead, x="cost", y="quality", ax=ax, **line(looks[family]), zorder=2, gid="joined",
                estimator=None, errorbar=None, legend=False,
            )  # fmt: skip


def _front(ax: Axes, table: Table) -> None:
    """A step where the next method begins; to the right it stays."""
    ahead = table[table["on_front"]].sort_values("cost")
    x, y = ahead["cost"].to_numpy(), ahead["quality"].to_numpy()
    ax.plot([*x, 1e3 * x[-1]], [*y, y[-1]], drawstyle="steps-post", **FRONT, gid="front")


def _axes(ax: Axes, table: Table) -> None:
    ax.set_ylim(limits(table["quality"], table["quality_low"], table["quality_high"]))
    number_axis(ax.yaxis, 5)
    if far_apart(table["cost"]):
        log_axis(ax, table["cost"])
    else:
        ax.set_xlim(limits(table["cost"], table["cost_low"], table["cost_high"]))
        number_axis(ax.xaxis, 4)
    seaborn.despine(ax=ax)
    ax.grid(color="0.92", linewidth=0.5)


def _legend(sheet: Sheet, tables: dict[str, Table], looks: dict[str, Style], by_rate: bool) -> list[Line2D]:
    several = set().union(*(table["posterior"] for table in tables.values()))
    filled = HOLLOW not in several or len(several) > 1
    handles = []
    for family, style in looks.items():
        names = [name for name in sheet.names if sheet.families[name] == family]
        label = sheet.marked(shortened(family), names)
        handles.append(Line2D([], [], linestyle="", **marker(style, hollow=not filled), label=label))
    others = {family for table in tables.values() for family in table["family"]} - set(looks)
    if others:
        handles.append(
            Line2D([], [], color=GREY, marker="o", markersize=2.8, linestyle="", label=f"{len(others)} others")
        )
    if len(several) > 1:
        grey: dict[str, Any] = {"color": MUTED, "linestyle": "", "marker": "o", "markersize": 4}
        handles.append(Line2D([], [], **grey, label="factorised"))
        handles.append(Line2D([], [], **grey, markerfacecolor="white", label="causal"))
    return handles if by_rate else [*handles, Line2D([], [], **FRONT, label="Pareto front")]
