"""What figures are drawn under, `screen` and `paper`: widths, type, files, how much is told apart, legends, marks."""

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import seaborn
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.figures.styles import Style

GREY = "0.72"
"""Of what is not followed."""
MUTED = "0.35"
"""Of text and lines that explain."""
CHARACTER = 0.52
"""Width of a letter, of the size of type."""


@dataclass(frozen=True)
class Theme:
    narrow: float
    """Inches, and so is `wide`. Figures have one of these widths; a legend on the right is added to it."""
    wide: float
    tallest: float
    """Inches."""
    scale: float
    """Of lengths and marks, against print."""
    label_size: int
    """Points, and so is `tick_size`; there is no other size of type."""
    tick_size: int
    font: tuple[str, ...]
    kinds: tuple[str, ...]
    """Of files."""
    dpi: int
    told_apart: int
    """Methods with a look of their own in figures that show them by their looks; the rest is grey."""
    longest_name: int
    """Characters of a name that are printed."""
    stands_alone: bool
    """On a screen there may be no caption: a title says what is drawn, names say how many runs diverged, and the legend
    is on the right. In print it is below, and markers alone must tell methods apart in grey."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """To build, and to save: matplotlib looks things up at both times. The defaults first, so that a user's own
        matplotlibrc changes nothing."""
        with matplotlib.style.context(["default", dict(seaborn.axes_style("ticks")), self._rc]):
            yield

    @property
    def _rc(self) -> dict[str, Any]:
        thin = 0.6 * self.scale
        return {
            "font.family": list(self.font),
            "font.size": self.label_size,
            **dict.fromkeys(("axes.labelsize", "axes.titlesize", "figure.titlesize"), self.label_size),
            **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), self.tick_size),
            "legend.title_fontsize": self.tick_size,
            **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), thin),
            **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5 * self.scale),
            **dict.fromkeys(("xtick.major.pad", "ytick.major.pad"), 2.0 * self.scale),
            "axes.labelpad": 2.5,
            **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
            "legend.borderaxespad": 0.2,
            "legend.borderpad": 0.2,
            "legend.columnspacing": 1.4,
            "legend.labelspacing": 0.25,
            "legend.handletextpad": 0.5,
            **dict.fromkeys(("figure.constrained_layout.h_pad", "figure.constrained_layout.w_pad"), 0.03 * self.scale),
            # TrueType: conferences refuse Type 3
            "pdf.fonttype": 42,
            # dashes in a style are lengths in points, whatever the line's width
            "lines.scale_dashes": False,
            # names are the user's and may hold a dollar sign
            "text.parse_math": False,
            "savefig.dpi": self.dpi,
            "figure.dpi": self.dpi,
        }

    @property
    def advice(self) -> str:
        """Above captions."""
        return (
            f"Every figure is exactly as wide as said here, with type of {self.tick_size} and {self.label_size} "
            "points: include it without scaling it. 3.25 in is a column of ICML and CVPR, 6.75 in are two of them; in "
            "text 5.5 in wide (NeurIPS, ICLR) the wide figures shrink to 81 %, their smallest type to 5.7 points."
        )

    def sheet(self, width: float, height: float) -> Figure:
        """Inches as printed; on a screen the height is scaled with the type."""
        return Figure(figsize=(width, min(height * self.scale, self.tallest)), layout="constrained")

    def add_legend(self, figure: Figure, handles: Sequence[Line2D], title: str = "") -> None:
        """Outside the panels, in as many columns as fit below them. The figure grows, so that they keep their size."""
        if not handles:
            return
        both = any(handle.get_marker() != "None" and handle.get_linestyle() != "None" for handle in handles)
        shared: dict[str, Any] = {"handles": handles, "title": title or None, "alignment": "left"}
        shared["handlelength"] = 2.8 if both else 1.8
        width, height = figure.get_size_inches()
        place: Any = "outside right upper" if self.stands_alone else "outside lower center"
        for columns in (1,) if self.stands_alone else range(len(handles), 0, -1):
            legend = figure.legend(**shared, loc=place, ncols=columns)
            wide, high = (pixels / figure.dpi for pixels in legend.get_window_extent().size)
            if self.stands_alone:
                figure.set_size_inches(width + wide, max(height, 0.3 + high))
            elif columns == 1 or wide <= 0.99 * width:
                figure.set_figheight(height + high)
                return
            else:
                legend.remove()

    def entitle(self, figure: Figure, text: str) -> None:
        """At the left above all. The figure grows by it."""
        width, height = figure.get_size_inches()
        # a legend on the right begins as high
        room = width - sum(one.get_window_extent().width for one in figure.legends) / figure.dpi
        lines = textwrap.wrap(text, max(20, int(room / (1.1 * CHARACTER * self.label_size / 72))))
        grown = height + 1.5 * len(lines) * self.label_size / 72
        figure.set_figheight(grown)
        free = figure.get_layout_engine() is None
        figure.suptitle("\n".join(lines), x=0.01, ha="left", **({"y": 1 - 0.03 / grown} if free else {}))
        for ax in figure.axes if free else ():
            box = ax.get_position()
            ax.set_position((box.x0, box.y0, box.width, box.height * height / grown))

    def save(self, figure: Figure, kind: str) -> bytes:
        """Without a date: the same figure gives the same bytes."""
        content = io.BytesIO()
        metadata = {"CreationDate": None} if kind == "pdf" else None
        with self.applied():
            figure.savefig(content, format=kind, dpi=self.dpi, metadata=metadata)
        return content.getvalue()

    def line(self, style: Style) -> dict[str, Any]:
        dash = (0, style.dash) if style.dash else "-"
        return {"color": style.colour, "linestyle": dash, "linewidth": 1.1 * self.scale}

    def marker(self, style: Style, hollow: bool = False) -> dict[str, Any]:
        return {
            "color": style.colour,
            "marker": style.marker,
            "markersize": self.marker_size(style.marker),
            "markeredgewidth": 0.8 * self.scale,
            "markerfacecolor": "white" if hollow else style.colour,
        }

    def marked_line(self, style: Style) -> dict[str, Any]:
        return {**self.line(style), **self.marker(style), "markeredgecolor": "white", "markeredgewidth": 0.3}

    def marker_size(self, shape: str) -> float:
        """Points; a star has thin arms and would look smaller than the rest."""
        return (5.6 if shape == "*" else 4.0) * self.scale

    @property
    def reference(self) -> dict[str, Any]:
        """The line of the mean training image."""
        return {"color": MUTED, "linestyle": (0, (4, 2)), "linewidth": 0.7 * self.scale, "zorder": 1}

    def reference_line(self) -> Line2D:
        return Line2D([], [], **self.reference, label="mean training image")


SCREEN = Theme(
    narrow=5.0,
    wide=9.0,
    # a picture of 2**16 pixels is the most that matplotlib draws
    tallest=300.0,
    scale=1.3,
    label_size=9,
    tick_size=8,
    font=("DejaVu Sans",),
    kinds=("png",),
    dpi=200,
    told_apart=40,
    longest_name=60,
    stands_alone=True,
)
PAPER = Theme(
    # ICML and CVPR; it also stands in the single column of NeurIPS and ICLR, which is 5.5 wide
    narrow=3.25,
    # ICML's two columns with the gap between them; CVPR has 6.875
    wide=6.75,
    # the text of these is 8.9 to 9 high, and a caption must fit below
    tallest=8.2,
    scale=1.0,
    # as printed: captions are set in 9 or 10
    label_size=8,
    tick_size=7,
    # ships with matplotlib, so is the same everywhere; cut like the Times of the text around it
    font=("STIXGeneral", "DejaVu Sans"),
    kinds=("pdf", "png"),
    dpi=300,
    # more nobody tells apart in print
    told_apart=12,
    longest_name=44,
    stands_alone=False,
)
THEMES = {"screen": SCREEN, "paper": PAPER}
