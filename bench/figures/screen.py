"""The figures themselves: each takes a View and returns a Figure, or None when there is nothing to draw."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.figures.styles import TALLEST, Style
from bench.figures.view import Table, View, measured

LABELS = {
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "elbo": "ELBO [nats per image]",
    "lpips": "LPIPS",
    "rfid": "rFID",
    "usage": "codes used [fraction]",
    "perplexity": "perplexity [codes]",
}
_LOWER_IS_BETTER = ("lpips", "rfid")
_HOLLOW = ("causal",)
_SEED: dict[str, Any] = {"marker": "o", "markersize": 2.5, "markeredgewidth": 0.7}
_REFERENCE: dict[str, Any] = {"color": "0.35", "linestyle": (0, (4, 3)), "linewidth": 1.0, "zorder": 1}


def final(view: View) -> Figure | None:
    """Final test metrics, one panel each: the mean over seeds, and below it a small point per seed."""
    metrics = [m for m in ("psnr", "ssim", "elbo", "lpips", "rfid") if measured(view.finals, m)]
    if not metrics:
        return None
    figure, panels = _panels(view, "Final test metrics", [1.0] * len(metrics))
    for ax, metric in zip(panels, metrics, strict=True):
        _dots(ax, view, metric)
        _mark_baseline(ax, view.baseline(metric))
        better = "lower" if metric in _LOWER_IS_BETTER else "higher"
        ax.set_xlabel(f"{ax.get_xlabel()}\n{better} is better")
    return figure


def codebook(view: View) -> Figure | None:
    """Share of the vocabulary used and perplexity on the test split, and the share used at each position."""
    metrics = [m for m in ("usage", "perplexity") if measured(view.finals, m)]
    widths = [1.0] * len(metrics) + [2.0] * bool(view.usage_by_position.size)
    if not widths:
        return None
    figure, panels = _panels(view, "Codebook use on the test split", widths)
    for ax, metric in zip(panels, metrics, strict=False):
        _dots(ax, view, metric)
        ax.set_xlim(0, 1.08 * ax.dataLim.xmax)
    if len(widths) > len(metrics):
        _heat(figure, panels[-1], view)
    return figure


def curves(view: View, against: str) -> Figure | None:
    """Test PSNR and ELBO over training: mean over seeds, band from the lowest to the highest seed.

    `against` is the column on the x axis, "step" or "seconds". A diverged run is a thin line of its own that
    ends in a cross, outside mean and band.
    """
    metrics = [m for m in ("psnr", "elbo") if measured(view.tests, m)]
    if not metrics:
        return None
    columns = view.posteriors
    figure = Figure(
        figsize=(1.5 + 0.07 * view.longest_label + 3.0 * len(columns), 1.0 + 2.5 * len(metrics)),
        layout="constrained",
    )
    grid = figure.subplots(len(metrics), len(columns), squeeze=False, sharex="col", sharey="row")
    for axes, metric in zip(grid, metrics, strict=True):
        rows = _on_scale(view.tests[view.tests["metric"] == metric].dropna(subset="value"))
        for ax, posterior in zip(axes, columns, strict=True):
            _learning_curves(ax, view, rows[rows["posterior"] == posterior], against)
        baseline = view.baseline(metric)
        axes[0].set_ylabel(f"test {LABELS[metric]}")
        axes[0].yaxis.set_major_formatter(_compact)
        if math.isfinite(baseline):
            for ax in axes:
                ax.axhline(baseline, **_REFERENCE)
            axes[-1].annotate("mean\nimage", (1.02, baseline), xycoords=("axes fraction", "data"), va="center")
    for ax, posterior in zip(grid[0], columns, strict=True):
        ax.set_title(f"{posterior} posterior")
    devices = ", ".join(sorted(set(view.tests["device"])))
    label = {"step": "optimiser steps", "seconds": f"training time [s, {devices}]"}[against]
    for ax in grid[-1]:
        ax.set_xlabel(label)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(_compact)
    figure.suptitle(view.title)
    _legend_of_curves(figure, view)
    return figure


def _panels(view: View, what: str, widths: list[float]) -> tuple[Figure, list[Axes]]:
    """Side by side, with a row per estimator in each."""
    names = list(view.styles)
    height = min(1.6 + (0.12 + 0.22 * len(view.posteriors)) * len(names), TALLEST)
    figure = Figure(figsize=(0.07 * view.longest_label + 1.7 * sum(widths), height), layout="constrained")
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    panels[0].set_yticks(range(len(names)), view.labels)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    for ax in panels:
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        for row in range(0, len(names), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="0.955", linewidth=0, zorder=0)
    figure.suptitle(f"{what} after {view.last_steps}: {view.title}")
    handles = [Line2D([], [], **_marker(p, "o", "0.3"), label=f"{p}, mean") for p in view.posteriors]
    handles.append(Line2D([], [], **(_marker("", "o", "0.3") | _SEED), label="one seed each"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure, list(panels)


def _dots(ax: Axes, view: View, metric: str) -> None:
    rows = view.finals[view.finals["metric"] == metric]
    for row, (estimator, style) in enumerate(view.styles.items()):
        for posterior, offset in zip(view.posteriors, view.offsets, strict=True):
            mine = (rows["estimator"] == estimator) & (rows["posterior"] == posterior)
            values = rows["value"][mine].dropna().to_numpy()
            if len(values):
                look = _marker(posterior, style.marker, style.colour)
                ax.plot(values.mean(), row + offset - 0.06, **look, gid="mean")
                ax.plot(values, np.full(len(values), row + offset + 0.13), **(look | _SEED), gid="seeds")
            elif mine.any():
                centre = {"ha": "center", "va": "center", "transform": ax.get_yaxis_transform()}
                ax.text(0.5, row + offset, "not defined", color="0.45", fontsize=8, **centre)
    ax.margins(x=0.08)
    images = int(rows["n"].max())
    ax.set_xlabel(LABELS[metric] + ("" if images == view.images else f", {images} images"))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(_compact)


def _mark_baseline(ax: Axes, value: float) -> None:
    if not math.isfinite(value):
        return
    ax.axvline(value, **_REFERENCE)
    ax.autoscale_view()
    low, high = ax.get_xlim()
    side = "left" if value < (low + high) / 2 else "right"
    ax.text(value, 1.01, "mean image", transform=ax.get_xaxis_transform(), ha=side, va="bottom", fontsize=8)


def _heat(figure: Figure, ax: Axes, view: View) -> None:
    """One strip per estimator and posterior, level with their dots."""
    values = view.usage_by_position
    extent = (-0.5, values.shape[1] - 0.5, len(view.styles) - 0.5, -0.5)
    image = ax.imshow(values, aspect="auto", interpolation="nearest", cmap="cividis", vmin=0, extent=extent)
    for row in range(1, len(view.styles)):
        ax.axhline(row - 0.5, color="white", linewidth=2)
    ax.set_xlabel("latent position\nshade: codes used there [fraction]")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.colorbar(image, ax=ax, pad=0.02, aspect=30)


def _learning_curves(ax: Axes, view: View, rows: Table, against: str) -> None:
    for place, (estimator, style) in enumerate(view.styles.items()):
        mine = rows[rows["estimator"] == estimator]
        lost = mine["run"].isin(view.diverged)
        by_step = mine[~lost].groupby("step")
        value, x = by_step["value"], by_step[against].mean()
        every = math.ceil(len(x) / 7)
        # Markers start at different points, so that curves close together do not hide each other's.
        spread: dict[str, Any] = {"markevery": (place % every, every)} if every else {}
        ax.fill_between(x, value.min(), value.max(), color=style.colour, alpha=0.13, linewidth=0)
        ax.plot(x, value.mean(), **_line(style), **spread, gid=estimator)
        for _, run in mine[lost].groupby("run"):
            ax.plot(run[against], run["value"], **(_line(style) | {"linewidth": 0.7, "marker": ""}))
            ax.plot(run[against].iloc[-1], run["value"].iloc[-1], "x", color="black", markersize=6, gid="diverged")
    ax.grid(axis="y", color="0.92")


def _on_scale(rows: Table) -> Table:
    """Without the untrained networks of step 0, if they would squeeze the curves into a quarter of it."""
    trained = rows[rows["step"] > 0]
    low, high = trained["value"].min(), trained["value"].max()
    squeezed = low - rows["value"].min() > 3 * (high - low)
    return trained if squeezed and trained["step"].nunique() > 1 else rows


def _legend_of_curves(figure: Figure, view: View) -> None:
    looks = zip(view.styles.values(), view.labels, strict=True)
    handles = [Line2D([], [], **_line(style), label=label) for style, label in looks]
    if view.diverged:
        handles.append(Line2D([], [], marker="x", color="black", linewidth=0.7, label="diverged after this"))
    rows = int(figure.get_figheight() / 0.2)
    figure.legend(handles=handles, loc="outside right center", ncols=math.ceil(len(handles) / rows), handlelength=4)


def _line(style: Style) -> dict[str, Any]:
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": _size(style.marker),
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "linestyle": (0, style.dash) if style.dash else "-",
        "linewidth": 1.4,
    }


def _marker(posterior: str, marker: str, colour: Any) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": marker,
        "color": colour,
        "markersize": _size(marker),
        "markeredgewidth": 1.0,
        "markerfacecolor": "white" if posterior in _HOLLOW else colour,
        "zorder": 3,
    }


def _size(marker: str) -> float:
    """In points; a star has thin arms and would look smaller than the rest."""
    return 7.5 if marker == "*" else 5.5


def _compact(value: float, _: float | None = None) -> str:
    """Tick labels short enough to lie side by side: -0.5, 40, -120k."""
    text = f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
    return text.replace("-", "\N{MINUS SIGN}")
