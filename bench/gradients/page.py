"""What the gradient lab leaves: a table, the bias-variance plane, and error against decoder evaluations."""

from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.console import Group

from bench import records
from bench.figures.styles import RC, Style, styles
from bench.records.sweep import tidy
from bench.tables import Grid
from bench.text import typed

Table = Any
"""A pd.DataFrame, whose columns type checkers cannot know."""
FLOOR = 1e-4
"""Squared biases below this, and those that sampling error made negative, are drawn on the axis."""


def report(folder: Path) -> tuple[Group, list[Path]]:
    """Write the table of a lab's sweep and draw it; returns the table to print and the files that were written."""
    table = records.load(folder)
    records.write_table(table, folder)
    frame = tidy(table)
    figures = draw_figures(frame, folder / "figures") if "bias_squared" in set(frame["metric"]) else []
    left_out = [{**run, "readout": run.get("reason", ""), "metric": "skipped"} for run in records.states(folder)
                if run["state"] == "skipped"]  # fmt: skip
    frame = pd.concat([frame, pd.DataFrame(left_out, columns=list(records.COLUMNS))], ignore_index=True)
    return _summary(frame).rich(), [folder / "results.parquet", folder / "results.csv", *figures]


def _summary(frame: Table) -> Grid:
    """One line per posterior, step and estimator, and one per estimator that was left out, with its reason."""
    measured = frame[frame["metric"] != "skipped"]
    metrics = list(dict.fromkeys(measured["metric"]))
    rows = []
    for (posterior, step, estimator), group in measured.groupby(["posterior", "step", "estimator"], sort=False):
        values = dict(zip(group["metric"], map(typed, group["value"]), strict=True))
        cells = (values.get(metric, "") for metric in metrics)
        rows.append([posterior, typed(step), estimator, typed(group["decodes"].max()), *cells])
    left_out = frame[frame["metric"] == "skipped"].drop_duplicates(["estimator", "posterior", "readout"])
    reasons = [f"without {row.estimator} ({row.posterior}): {row.readout}" for row in left_out.itertuples()]
    head = ["posterior", "step", "estimator", "decodes", *metrics]
    return Grid(head, rows, "lrlr" + "r" * len(metrics), note="\n".join(reasons))


def draw_figures(frame: Table, out: Path) -> list[Path]:
    """Draw what the table of `bench.gradients.measure` has data for into `out`, as PNG; returns the paths."""
    out.mkdir(parents=True, exist_ok=True)
    wide = frame.pivot_table("value", ["posterior", "step", "estimator", "decodes"], "metric").reset_index()
    paths = []
    with matplotlib.style.context(["default", RC]):
        for name, build in {"bias_variance": _plane, "error_against_decodes": _error}.items():
            paths.append(out / f"{name}.png")
            build(wide).savefig(paths[-1], dpi=200)
    return paths


def _grid(wide: Table, title: str) -> tuple[Figure, list[tuple[Axes, Table]]]:
    posteriors, steps = sorted(set(wide["posterior"]), reverse=True), sorted(set(wide["step"]))
    figure = Figure(figsize=(3.1 * len(steps) + 2.2, 2.9 * len(posteriors) + 0.6), layout="constrained")
    axes = figure.subplots(len(posteriors), len(steps), sharex=True, sharey=True, squeeze=False)
    panels = []
    for row, posterior in zip(axes, posteriors, strict=True):
        for ax, step in zip(row, steps, strict=True):
            ax.set_title(f"{posterior}, after {step} steps")
            panels.append((ax, wide[(wide["posterior"] == posterior) & (wide["step"] == step)]))
    figure.suptitle(title)
    return figure, panels


def _plane(wide: Table) -> Figure:
    figure, panels = _grid(wide, "Gradient estimators: squared bias and variance, relative to the exact gradient")
    looks = styles(wide["estimator"])
    for ax, rows in panels:
        for row in rows.itertuples():
            look = looks[row.estimator]
            bias = max(row.bias_squared, FLOOR)
            filled = row.bias_squared > 2 * row.bias_error
            colour = look.colour if filled else "white"
            ax.plot(row.variance, bias, look.marker, color=colour, markeredgecolor=look.colour, markersize=6)
        _logarithmic(ax, "variance of one draw", "squared bias")
    # all panels share the axis; set before the last point is drawn, it would stop growing
    panels[0][0].set_ylim(bottom=FLOOR / 1.5)
    title = "hollow: bias within\n2 standard errors of 0"
    figure.legend(handles=_legend(looks), loc="outside right center", title=title)
    return figure


def _error(wide: Table) -> Figure:
    figure, panels = _grid(wide, "Mean squared error of the gradient against decoder evaluations per image")
    families = wide["estimator"].map(_without_k)
    looks = styles(families)
    for ax, rows in panels:
        for family, group in rows.groupby(families[rows.index]):
            look, ordered = looks[str(family)], group.sort_values("decodes")
            line = {"color": look.colour, "marker": look.marker, "dashes": look.dash or (None, None)}
            ax.plot(ordered["decodes"], ordered["mse"], markersize=5, linewidth=1.2, **line)
        _logarithmic(ax, "decodes per image", "mean squared error")
    figure.legend(handles=_legend(looks), loc="outside right center")
    return figure


def _logarithmic(ax: Axes, x: str, y: str) -> None:
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.label_outer()
    ax.grid(color="0.92")


def _without_k(name: str) -> str:
    head, _, arguments = name.partition(":")
    kept = [pair for pair in arguments.split(",") if pair and not pair.startswith("k=")]
    return f"{head}:{','.join(kept)}" if kept else head


def _legend(looks: dict[str, Style]) -> list[Line2D]:
    return [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=name)
        for name, look in looks.items()
    ]
