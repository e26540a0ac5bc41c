"""What axes show and how they are numbered."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.text import compact, typed

SPILL = 0.5
"""Of the span of the points: as far as an interval may widen an axis. Of three seeds it can be many times as wide."""
REACH = 3.0
"""The same of the reference in a row of dots; curves need their height for themselves."""
OUTLIER = 4.0
"""What lies as many times further from the best than the lower quartile is drawn at the end of the axis."""
LOG_FROM = 5.0
"""Costs whose values span such a factor have a logarithmic axis."""
KNOB_LOG_FROM = 4.0
"""The same of a knob: 2, 4, 8."""
MOST_TICKS = 12
"""Values of a knob that are written at its axis, if there are no more."""
_BETWEEN = ((15, (1.0, 2.0, 3.0, 5.0, 7.0)), (40, (1.0, 2.0, 5.0)), (300, (1.0, 3.0)), (math.inf, (1.0,)))
"""Numbers at a logarithmic axis that spans less than such a factor."""
_EVEN_BELOW = 3.0
"""A logarithmic axis that spans less than such a factor has evenly spread numbers: there may be no power in it."""


def limits(
    points: Any, lows: Any = (), highs: Any = (), reference: float = math.nan, reach: float = REACH
) -> tuple[float, float]:
    """Of an axis that shows all points, and as much of intervals and reference as leaves the points apart."""
    known = np.asarray(points, dtype=float)
    known = known[np.isfinite(known)]
    low, high = float(known.min()), float(known.max())
    room = high - low or 0.02 * abs(high) or 1.0
    wide_low, wide_high = low - SPILL * room, high + SPILL * room
    low = min(low, max(np.nanmin([*lows, low]), wide_low))
    high = max(high, min(np.nanmax([*highs, high]), wide_high))
    if known.min() - reach * room <= reference <= known.max() + reach * room:
        low, high = min(low, reference), max(high, reference)
    margin = 0.06 * (high - low or room)
    return low - margin, high + margin


def beyond(values: Any, sign: int) -> Bool[np.ndarray, " n"]:
    """Which of the values are few and so bad that they would squeeze the rest. `sign` is 1 where more is better, -1
    where less is."""
    good = sign * np.asarray(values, dtype=float)
    known = good[np.isfinite(good)]
    if len(known) < 4:
        return np.zeros(len(good), bool)
    best, quartile = known.max(), np.quantile(known, 0.25)
    return good < best - OUTLIER * (best - quartile)


def number_axis(axis: Axis, most: int) -> None:
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(compact))


def far_apart(costs: Any) -> bool:
    """Whether an axis that shows them is logarithmic."""
    known = np.asarray(costs, dtype=float)
    known = known[known > 0]
    return len(known) > 0 and known.max() >= LOG_FROM * known.min()


def log_axis(ax: Axes, which: Literal["x", "y"], values: Any) -> None:
    """Make it logarithmic around the positive values, numbered plainly, between powers of ten as far as there is
    room."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    low, high = (known.min() / 1.2, known.max() * 1.2) if len(known) else (1.0, 10.0)
    # without mask the first point of a curve, at no cost, would be drawn at the edge
    {"x": ax.set_xscale, "y": ax.set_yscale}[which]("log", nonpositive="mask")
    ax.set(**{f"{which}lim": (low, high)})
    axis: Axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
    number_axis(axis, 4)
    if high >= _EVEN_BELOW * low:
        axis.set_major_locator(LogLocator(subs=next(subs for most, subs in _BETWEEN if high < most * low)))
    axis.set_minor_locator(NullLocator())


def knob_axis(ax: Axes, knob: str, values: Sequence[float]) -> None:
    """Scale and ticks of the x axis for the values of a knob."""
    known = sorted(set(values))
    ax.set_xlabel(knob)
    logarithmic = known[0] > 0 and known[-1] / known[0] >= KNOB_LOG_FROM
    if logarithmic:
        log_axis(ax, "x", known)
    if len(known) <= MOST_TICKS:
        ticks = _apart(known, logarithmic)
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: typed(float(value))))
        ax.tick_params(axis="x", labelrotation=60 if sum(len(typed(tick)) + 1 for tick in ticks) > 16 else 0)
    elif not logarithmic:
        number_axis(ax.xaxis, 5)


def _apart(known: Sequence[float], logarithmic: bool) -> list[float]:
    """Those that leave room for their labels."""
    places = np.log(known) if logarithmic else np.asarray(known)
    kept = [0]
    for place in range(1, len(known)):
        if places[place] - places[kept[-1]] >= 0.07 * (places[-1] - places[0]):
            kept.append(place)
    return [known[place] for place in kept]
