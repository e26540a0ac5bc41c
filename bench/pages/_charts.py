"""The charts: Vega-Lite specifications made with Altair, and the columns of numbers that the page makes their rows of.

Colours are CSS variables, so that light, dark and print need one drawing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from bench.metrics.catalogue import describe, in_order
from bench.pages._page import MARKERS, Look
from bench.records import Comparison
from bench.records.sweep import ENDED_EARLY, Table
from bench.tables.model import Cell, Model
from bench.text import typeset

COSTS = {
    "step": "optimiser steps",
    "images": "images seen",
    "decodes": "decoder evaluations",
    "seconds": "training time [s]",
}
POINTS = 40_000
"""Points of all curves together: 3 MB of the page."""
LOST = 20
"""Lines of runs that ended early."""
MEASURES = ("usage", "perplexity")
COLUMNS = 64
"""Of the map of the codebook. More positions than this share columns."""
ROWS = 60
"""Methods in that map."""

Spec = dict[str, Any]

_COMPACT = "format(datum.value, abs(datum.value) >= 10000 ? '~s' : '.6~g')"
"""Labels of an axis: 0.5, 200, 20k."""
_POINT = "isValid(datum.datum) ? datum.datum.tip : datum.tip"
"""Tooltip of the point nearest to the pointer. Not an encoding: Vega-Lite loses the text fields of nearest points."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
"""As in `page.css`; Vega measures labels and must know it."""
_ROW_LABEL = "narrow ? split(datum.label, '\\n') : replace(datum.label, '\\n', ', ')"
"""Name and posterior, under each other where there is little room."""
_ROW_AXIS: dict[str, Any] = {"title": None, "labelLimit": 340, "ticks": False, "domain": False, "labelPadding": 8}


def data(comparison: Comparison, table: Model, looks: Mapping[int, Look], measured: Sequence[int]) -> dict[str, Any]:
    """All that `page.js` draws of a comparison: of the methods `measured`, best first, and in curves of those that have
    `looks`."""
    lines = curves(comparison, list(looks))
    return {
        "methods": [
            {"name": method.name, "posterior": method.posterior, "label": comparison.label(index)}
            for index, method in enumerate(comparison.methods)
        ],
        "costs": COSTS,
        "headings": {m.name: m.heading for m in (*map(describe, lines["metrics"]), *table.columns)},
        "curves": lines,
        "finals": finals(comparison, table, list(looks)),
        "codebook": codebook(comparison, measured),
        "specs": {"curves": learning_curves(looks), "finals": final_values(looks), "usage": usage_map()},
    }


def curves(comparison: Comparison, methods: Sequence[int]) -> dict[str, Any]:
    """By metric: columns of the points of these methods, lines of runs that diverged or failed, and as `level` what the
    mean training image scores."""
    points = comparison.shown_curves
    points = _thinned(points[points["method"].isin(methods)])
    early = [run.name for index in methods for run in comparison.runs[index] if run.state in ENDED_EARLY][:LOST]
    lost = comparison.lost_curves
    lost = lost[lost["run"].isin(early)]
    metrics = in_order(set(points["metric"]) | set(lost["metric"]))
    levels = {metric: comparison.baseline(metric, comparison.curve_split) for metric in metrics}
    return {
        "metrics": metrics,
        "points": {metric: _columns(rows) for metric, rows in points.groupby("metric")},
        "lost": {metric: _lines(rows) for metric, rows in lost.groupby("metric")},
        "level": {metric: level for metric, level in levels.items() if not math.isnan(level)},
    }


def _thinned(points: Table) -> Table:
    """At most POINTS in all, evenly spread over each curve, ends kept."""
    grouped = points.groupby(["metric", "method"])
    place, size = grouped.cumcount(), grouped["step"].transform("size")
    every = np.ceil(size / max(10, POINTS // max(1, grouped.ngroups)))
    return points[(place % every == 0) | (place == size - 1)]


def _columns(rows: Table) -> dict[str, list]:
    whole = {"m": "method", "step": "step", "n": "seeds"}
    others = {"y": "mean", "lo": "low", "hi": "high", **{cost: cost for cost in COSTS if cost != "step"}}
    counts = {key: rows[column].astype(int).tolist() for key, column in whole.items()}
    return counts | {key: significant(rows[column]) for key, column in others.items()}


def _lines(rows: Table) -> list[dict[str, Any]]:
    return [
        {"m": int(method), "seed": str(seed), "y": significant(mine["value"])}
        | {cost: significant(mine[cost]) for cost in COSTS}
        for (method, _, seed), mine in rows.groupby(["method", "run", "seed"])
    ]


def significant(values: Any) -> list[float | None]:
    """Six significant digits, to save space; None for what JSON cannot hold."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in map(float, values)]


def finals(comparison: Comparison, table: Model, methods: Sequence[int]) -> dict[str, Any]:
    """By metric, the datasets of `final_values`: these methods, best first as in the table, and their seeds."""
    values = comparison.finals.dropna(subset="value")
    found: dict[str, Any] = {}
    for metric in table.columns:
        cells = table.cells[metric.name]
        order = [row.method for row in table.rows if row.method in cells and row.method in methods]
        rows = {m: {"m": str(m), "place": place, "name": comparison.label(m)} for place, m in enumerate(order)}
        mine = values[(values["metric"] == metric.name) & values["method"].isin(order)]
        seeds = zip(mine["method"], mine["seed"], significant(mine["value"]), strict=True)
        found[metric.name] = {
            "means": [row | _bar(cells[m]) for m, row in rows.items()],
            "seeds": [rows[m] | {"seed": int(seed), "value": value} for m, seed, value in seeds],
        }
    return found


def _bar(cell: Cell) -> dict[str, Any]:
    """Without an interval it has no length."""
    low, high = (cell.mean, cell.mean) if math.isnan(cell.low) else (cell.low, cell.high)
    words = f"{typeset(low, cell.places)} … {typeset(high, cell.places)}" if cell.interval else "none"
    return {"mean": cell.mean, "low": low, "high": high, "n": cell.n, "interval": words}


def codebook(comparison: Comparison, methods: Sequence[int]) -> dict[str, Any] | None:
    """Codebook use per method and position; None where nothing was measured.

    `values` holds, by measure and method, a value per column of the map; a column stands for `per_column` positions.
    """
    rows = comparison.by_position
    rows = rows[rows["method"].isin(methods) & rows["measure"].isin(MEASURES)]
    if rows.empty:
        return None
    positions = int(rows["position"].max()) + 1
    per_column = math.ceil(positions / COLUMNS)
    table = rows.groupby(["measure", "method", rows["position"] // per_column])["value"].mean().unstack()
    shown = [method for method in methods if method in table.index.get_level_values("method")][:ROWS]
    sizes = [run.config.get("vocab") for run in comparison.compared]
    return {
        "positions": positions,
        "per_column": per_column,
        "methods": shown,
        # where perplexity ends
        "vocab": max((size for size in sizes if isinstance(size, int)), default=None),
        "values": {
            measure: {m: significant(table.loc[measure, m]) for m in shown if (measure, m) in table.index}
            for measure in MEASURES
            if measure in table.index
        },
    }


def learning_curves(looks: Mapping[int, Look]) -> Spec:
    """`looks` by method. Datasets `points` (m, x, y, lo, hi, tip), `lost` (m, run, label, x, y), `crosses` (as lost)
    and `level` (y)."""
    colour, shape, dash = _scales(looks)
    faded = alt.condition("highlight === null || highlight === datum.m", alt.value(1), alt.value(0.15))
    x = alt.X("x:Q", scale=_between("left", "right"), axis=alt.Axis(tickCount=5, labelExpr=_COMPACT, title=None))
    y = alt.Y("y:Q", scale=_between("low", "high"), axis=alt.Axis(tickCount=5, labelExpr=_COMPACT, title=None))
    hover = alt.selection_point("hover", on="pointerover", clear="pointerout", nearest=True, fields=["m"])
    points = alt.Chart(alt.NamedData("points")).encode(x=x, color=colour, detail="m:N")
    level = alt.Chart(alt.NamedData("level")).mark_rule(strokeDash=[4, 3], color="var(--muted)")
    band = points.mark_area(opacity=0.14, clip=True).encode(y=alt.Y("lo:Q", scale=_between("low", "high")), y2="hi:Q")
    line = points.mark_line(strokeWidth=1.8, clip=True).encode(y=y, strokeDash=dash, opacity=faded)
    marks = points.mark_point(filled=True, size=34, clip=True).encode(
        y=y, shape=shape, opacity=faded, tooltip=alt.value({"expr": _POINT})
    )
    lost = alt.Chart(alt.NamedData("lost")).mark_line(strokeWidth=0.9, clip=True)
    lost = lost.encode(x=x, y=y, color=colour, detail="run:N", opacity=faded)
    crosses = alt.Chart(alt.NamedData("crosses")).mark_text(text="✕", fontSize=12, clip=True, color="var(--ink)")
    crosses = crosses.encode(x=x, y=y, tooltip=_tips(label="ended early"))
    shown = band.transform_filter("datum.hi > datum.lo"), level.encode(y=y), lost, line, marks.add_params(hover)
    chart = alt.layer(*shown, crosses.encode(opacity=faded)).add_params(
        alt.param("highlight", value=None),
        *(alt.param(name, value=value) for name, value in {"left": 0, "right": 1, "low": 0, "high": 1}.items()),
    )
    return _finished(chart)


def final_values(looks: Mapping[int, Look]) -> Spec:
    """`looks` by method. Datasets `means` (place, name, m, mean, low, high, interval, n) and `seeds` (place, name, m,
    value, seed); parameter `labels`, the names from the top."""
    colour, shape, _ = _scales(looks)
    row = alt.Y(
        "place:Q",
        scale=alt.Scale(domain=[{"expr": "length(labels) - 0.5"}, -0.5], reverse=False, zero=False, nice=False),
        axis=alt.Axis(
            values={"expr": "sequence(length(labels))"},
            labelExpr="labels[datum.value]",
            grid=False,
            labelOffset={"expr": "isArray(labels[0]) ? -6 : 0"},
            **_ROW_AXIS,
        ),
    )
    axis = alt.Axis(tickCount=5, title=None, labelExpr=_COMPACT)
    x = alt.X("mean:Q", scale=alt.Scale(zero=False, nice=True), axis=axis)
    means = alt.Chart(alt.NamedData("means")).encode(y=row, color=colour)
    seeds = alt.Chart(alt.NamedData("seeds")).mark_point(filled=True, size=16, opacity=0.55, yOffset=7)
    seeds = seeds.encode(
        y=row, x=alt.X("value:Q"), color=colour, tooltip=_tips(name="method", seed="seed", value="value")
    )
    bars = means.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    dots = means.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, shape=shape, tooltip=_tips(name="method", mean="mean", interval="95 % interval", n="seeds")
    )
    chart = alt.layer(seeds, bars, dots).add_params(alt.param("labels", value=[]))
    return _finished(chart)


def usage_map() -> Spec:
    """Dataset `cells` (row, name, column, value, position); parameters `top`, where the colours end, and `narrow`."""
    value = alt.Color(
        "value:Q",
        scale=alt.Scale(scheme="cividis", domainMin=0, domainMax={"expr": "top"}),
        legend=alt.Legend(orient="bottom", direction="horizontal", gradientLength=180, title=None, tickCount=3),
    )
    columns = alt.Axis(title="latent position", labelAngle=0, labelOverlap="greedy", labelSeparation=6, ticks=False)
    rows = alt.Axis(labelExpr=_ROW_LABEL, labelOffset={"expr": "narrow ? -6 : 0"}, **_ROW_AXIS)
    chart = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect()
        .encode(
            x=alt.X("column:O", axis=columns),
            y=alt.Y("row:N", sort=None, scale=alt.Scale(paddingInner=0.12), axis=rows),
            color=value,
            tooltip=_tips(name="method", position="position", value="value"),
        )
        .add_params(alt.param("top", value=1), alt.param("narrow", value=False))
    )
    return _finished(chart)


def _scales(looks: Mapping[int, Look]) -> Iterator[Any]:
    """Colour, shape and dash of each method: both posteriors of an estimator look alike."""
    ranges = {
        alt.Color: [f"var(--m{look.place})" for look in looks.values()],
        alt.Shape: [MARKERS[look.style.marker] for look in looks.values()],
        alt.StrokeDash: [[float(length) for length in look.style.dash] or [1, 0] for look in looks.values()],
    }
    for channel, values in ranges.items():
        yield channel("m:N", legend=None, scale=alt.Scale(domain=list(map(str, looks)), range=values))


def _tips(**titles: str) -> list[alt.Tooltip]:
    formats = {"mean": ".5~g", "value": ".5~g"}
    return [
        alt.Tooltip(f"{name}:{'Q' if name in formats else 'N'}", title=title, format=formats.get(name, alt.Undefined))
        for name, title in titles.items()
    ]


def _between(low: str, high: str) -> alt.Scale:
    return alt.Scale(domain=[{"expr": low}, {"expr": high}], zero=False, nice=False)


def _finished(chart: Any) -> Spec:
    ink = dict.fromkeys(("labelColor", "titleColor"), "var(--ink)")
    lines = dict.fromkeys(("gridColor", "domainColor", "tickColor"), "var(--line)")
    axis = alt.AxisConfig(**ink, **lines, labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
    return (
        chart.properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(background="transparent", font=_FONT, axis=axis, view=alt.ViewConfig(stroke=None))
        .configure_legend(**ink)
        .to_dict()
    )
