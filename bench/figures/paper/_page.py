"""What all figures of a paper share: their widths and type, legends that fit, axes, and files that do not change."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.figures.styles import Style
from bench.machine.files import write_atomically

ONE_COLUMN = 3.25
"""Inches. ICML and CVPR; it also stands in the single column of NeurIPS and ICLR, which is 5.5 wide."""
TWO_COLUMNS = 6.75
"""Inches. ICML's two columns with the gap between them; CVPR has 6.875."""
TALLEST = 8.2
"""Inches. The text of these is 8.9 to 9 high, and a caption must fit below."""
DPI = 300
LABEL_SIZE, TICK_SIZE = 8, 7
"""Points, as printed: captions are set in 9 or 10."""
GREY = "0.72"
"""Of what is not followed."""
MUTED = "0.35"
"""Of text and lines that explain."""
LOG_FROM = 5.0
"""A cost whose values span such a factor has a logarithmic axis."""
SPILL = 0.5
"""Of the span of the points: as far as an interval may widen an axis. Of three seeds it can be many times as wide."""
REACH = 3.0
"""The same of the reference in a row of dots; curves need their height for themselves."""

RC: dict[str, Any] = {
    # ships with matplotlib, so is the same everywhere; cut like the Times of the text around it
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "font.size": LABEL_SIZE,
    "axes.labelsize": LABEL_SIZE,
    "axes.titlesize": LABEL_SIZE,
    "xtick.labelsize": TICK_SIZE,
    "ytick.labelsize": TICK_SIZE,
    "legend.fontsize": TICK_SIZE,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "legend.frameon": False,
    "legend.borderaxespad": 0.2,
    "legend.borderpad": 0.2,
    "legend.columnspacing": 1.4,
    "legend.labelspacing": 0.25,
    "legend.handletextpad": 0.5,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    # TrueType: conferences refuse Type 3
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "lines.scale_dashes": False,
    # names are the user's and may hold a dollar sign
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "savefig.dpi": DPI,
    "figure.dpi": DPI,
}


@dataclass(frozen=True)
class Drawn:
    figure: Figure
    caption: str
    """What was drawn, of how many seeds, and how its intervals were made: sentences."""


def sheet_of_paper(width: float, height: float) -> Figure:
    """Inches. The width is never changed again, so that sizes of type are those that are printed."""
    return Figure(figsize=(width, min(height, TALLEST)), layout="constrained")


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """As PDF and PNG, without a date; replaced in one step each."""
    paths = []
    for kind in ("pdf", "png"):
        content = io.BytesIO()
        metadata = {"CreationDate": None} if kind == "pdf" else None
        figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
        paths.append(out / f"{name}.{kind}")
        write_atomically(paths[-1], content.getvalue(), durable=False)
    return paths


def legend_below(figure: Figure, handles: list[Line2D]) -> None:
    """In as many columns as fit into the width. The figure grows by its height."""
    both = any(handle.get_marker() != "None" and handle.get_linestyle() != "None" for handle in handles)
    length = 2.8 if both else 1.8
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=length)
        box = legend.get_window_extent()
        if columns == 1 or box.width <= 0.99 * figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
            return
        legend.remove()


def line(style: Style) -> dict[str, Any]:
    return {"color": style.colour, "linestyle": (0, style.dash) if style.dash else "-", "linewidth": 1.1}


def marker(style: Style, hollow: bool = False) -> dict[str, Any]:
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": marker_size(style.marker),
        "markeredgewidth": 0.8,
        "markerfacecolor": "white" if hollow else style.colour,
    }


def marker_size(shape: str) -> float:
    """Points; a star has thin arms and would look smaller than the rest."""
    return 5.6 if shape == "*" else 4.0


def reference_line() -> Line2D:
    return Line2D([], [], **REFERENCE, label="mean training image")


REFERENCE: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 2)), "linewidth": 0.7, "zorder": 1}


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


def number_axis(axis: Axis, most: int) -> None:
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(compact))


def far_apart(costs: Any) -> bool:
    """Whether an axis that shows them is logarithmic."""
    known = np.asarray(costs, dtype=float)
    known = known[known > 0]
    return len(known) > 0 and known.max() >= LOG_FROM * known.min()


_BETWEEN = (
    (15, (1.0, 2.0, 3.0, 5.0, 7.0)),
    (40, (1.0, 2.0, 5.0)),
    (300, (1.0, 3.0)),
    (math.inf, (1.0,)),
)
"""Numbers at an axis that spans less than such a factor."""


def log_axis(ax: Axes, costs: Any) -> None:
    """The x axis, logarithmic around the costs; plain numbers, between the powers of ten as many as there is room."""
    known = np.asarray(costs, dtype=float)
    known = known[known > 0]
    low, high = known.min() / 1.2, known.max() * 1.2
    # without mask the first point of a curve, at no cost, would be drawn at the left edge
    ax.set_xscale("log", nonpositive="mask")
    ax.set_xlim(low, high)
    subs = next(subs for most, subs in _BETWEEN if high < most * low)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(compact))


_SUFFIXES = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def compact(value: float, _: float | None = None) -> str:
    """Tick labels short enough to lie side by side: -0.5, 40, -120k, 2M."""
    scale, suffix = next(((scale, suffix) for least, scale, suffix in _SUFFIXES if abs(value) >= least), (1.0, ""))
    return f"{value / scale:g}{suffix}".replace("-", "\N{MINUS SIGN}")
