"""The charts, as Vega-Lite specifications made with Altair. The page feeds them rows named as in the docstrings.

Colours are CSS variables, so that light, dark and print need one drawing.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt

from bench.pages._theme import Look

MARKERS = {
    "o": "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "s": "M-.85,-.85H.85V.85H-.85Z",
    "^": "M0,-1L.95,.8H-.95Z",
    "D": "M0,-1.15L1.15,0L0,1.15L-1.15,0Z",
    "v": "M0,1L.95,-.8H-.95Z",
    "P": "M-.35,-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "X": "M-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0L-1,-.5Z",
    "*": "M0,-1.3L.29,-.4L1.24,-.4L.48,.15L.77,1.05L0,.5L-.77,1.05L-.48,.15L-1.24,-.4L-.29,-.4Z",
    "<": "M-1,0L.8,-.95V.95Z",
    "d": "M0,-1.2L.65,0L0,1.2L-.65,0Z",
    "p": "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
    ">": "M1,0L-.8,-.95V.95Z",
}
"""SVG paths of about one unit around 0 for matplotlib's markers, so that an estimator looks as in the figures."""

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


def learning_curves(looks: Mapping[int, Look]) -> Spec:
    """`looks` by method. Datasets `points` (m, x, y, lo, hi, tip), `lost` (m, run, label, x, y), `crosses` (as lost)
    and `level` (y)."""
    scales = _Scales(looks)
    faded = alt.condition("highlight === null || highlight === datum.m", alt.value(1), alt.value(0.15))
    x = alt.X("x:Q", scale=_between("left", "right"), axis=alt.Axis(tickCount=5, labelExpr=_COMPACT, title=None))
    y = alt.Y("y:Q", scale=_between("low", "high"), axis=alt.Axis(tickCount=5, labelExpr=_COMPACT, title=None))
    hover = alt.selection_point("hover", on="pointerover", clear="pointerout", nearest=True, fields=["m"])
    points = alt.Chart(alt.NamedData("points")).encode(x=x, color=scales.colour, detail="m:N")
    level = alt.Chart(alt.NamedData("level")).mark_rule(strokeDash=[4, 3], color="var(--muted)")
    band = points.mark_area(opacity=0.14, clip=True).encode(y=alt.Y("lo:Q", scale=_between("low", "high")), y2="hi:Q")
    line = points.mark_line(strokeWidth=1.8, clip=True).encode(y=y, strokeDash=scales.dash, opacity=faded)
    marks = points.mark_point(filled=True, size=34, clip=True).encode(
        y=y, shape=scales.shape, opacity=faded, tooltip=alt.value({"expr": _POINT})
    )
    lost = alt.Chart(alt.NamedData("lost")).mark_line(strokeWidth=0.9, clip=True)
    lost = lost.encode(x=x, y=y, color=scales.colour, detail="run:N", opacity=faded)
    crosses = alt.Chart(alt.NamedData("crosses")).mark_text(text="✕", fontSize=12, clip=True, color="var(--ink)")
    crosses = crosses.encode(x=x, y=y, tooltip=[alt.Tooltip("label:N", title="ended early")])
    chart = alt.layer(
        band.transform_filter("datum.hi > datum.lo"),
        level.encode(y=y),
        lost,
        line,
        marks.add_params(hover),
        crosses.encode(opacity=faded),
    ).add_params(
        alt.param("highlight", value=None),
        *(alt.param(name, value=value) for name, value in {"left": 0, "right": 1, "low": 0, "high": 1}.items()),
    )
    return _finished(chart)


def final_values(looks: Mapping[int, Look]) -> Spec:
    """`looks` by method. Datasets `means` (place, name, m, mean, low, high, interval, n) and `seeds` (place, name, m,
    value, seed); parameter `labels`, the names from the top."""
    scales = _Scales(looks)
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
    means = alt.Chart(alt.NamedData("means")).encode(y=row, color=scales.colour)
    seeds = alt.Chart(alt.NamedData("seeds")).mark_point(filled=True, size=16, opacity=0.55, yOffset=7)
    seeds = seeds.encode(
        y=row,
        x=alt.X("value:Q"),
        color=scales.colour,
        tooltip=[
            alt.Tooltip("name:N", title="method"),
            alt.Tooltip("seed:N"),
            alt.Tooltip("value:Q", format=".5~g"),
        ],
    )
    bars = means.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    dots = means.mark_point(filled=True, size=70, opacity=1).encode(
        x=x,
        shape=scales.shape,
        tooltip=[
            alt.Tooltip("name:N", title="method"),
            alt.Tooltip("mean:Q", format=".5~g"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("n:Q", title="seeds"),
        ],
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
    chart = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect()
        .encode(
            x=alt.X(
                "column:O",
                axis=alt.Axis(
                    title="latent position", labelAngle=0, labelOverlap="greedy", labelSeparation=6, ticks=False
                ),
            ),
            y=alt.Y(
                "row:N",
                sort=None,
                scale=alt.Scale(paddingInner=0.12),
                axis=alt.Axis(labelExpr=_ROW_LABEL, labelOffset={"expr": "narrow ? -6 : 0"}, **_ROW_AXIS),
            ),
            color=value,
            tooltip=[
                alt.Tooltip("name:N", title="method"),
                alt.Tooltip("position:N"),
                alt.Tooltip("value:Q", format=".4~g"),
            ],
        )
        .add_params(alt.param("top", value=1), alt.param("narrow", value=False))
    )
    return _finished(chart)


class _Scales:
    """One look per method: both posteriors of an estimator share it."""

    def __init__(self, looks: Mapping[int, Look]) -> None:
        domain = [str(index) for index in looks]
        dashes = [[float(length) for length in look.style.dash] or [1, 0] for look in looks.values()]

        def scale(values: list) -> alt.Scale:
            return alt.Scale(domain=domain, range=values)

        self.colour = alt.Color("m:N", legend=None, scale=scale([f"var(--m{look.place})" for look in looks.values()]))
        self.shape = alt.Shape("m:N", legend=None, scale=scale([MARKERS[look.style.marker] for look in looks.values()]))
        self.dash = alt.StrokeDash("m:N", legend=None, scale=scale(dashes))


def _between(low: str, high: str) -> alt.Scale:
    return alt.Scale(domain=[{"expr": low}, {"expr": high}], zero=False, nice=False)


def _finished(chart: Any) -> Spec:
    axis = alt.AxisConfig(
        labelColor="var(--ink)",
        titleColor="var(--ink)",
        gridColor="var(--line)",
        domainColor="var(--line)",
        tickColor="var(--line)",
        labelFontSize=12,
        titleFontSize=12,
        titleFontWeight="normal",
    )
    return (
        chart.properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(background="transparent", font=_FONT, axis=axis, view=alt.ViewConfig(stroke=None))
        .configure_legend(labelColor="var(--ink)", titleColor="var(--ink)")
        .to_dict()
    )
