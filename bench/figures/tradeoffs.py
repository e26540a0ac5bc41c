"""What is traded against what: quality against rate and cost, and of gradients bias against variance."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench import stats
from bench.figures.axes import beyond, far_apart, limits, log_axis, number_axis
from bench.figures.sheet import HOLLOW, ConditionSheet, Drawing, Sheet, estimates, listed
from bench.figures.styles import Style
from bench.figures.themes import GREY, MUTED, Theme
from bench.metrics.catalogue import describe
from bench.records.methods import reading_order
from bench.records.sweep import Table
from bench.text import shortened, typed

DISTORTION_AND_PERCEPTION = ("psnr", "rfid")
"""The two sides of the rate-distortion-perception trade-off."""
HEIGHT = 2.2
"""Inches of a panel."""
COSTS = {"decodes": "decoder evaluations ↓", "seconds": "training time [s] ↓", "bits": "rate [bits per image]"}
SPREAD = {"decodes": 1.05, "seconds": 1.2, "bits": 1.05}
"""Costs that differ by less than such a factor are the same: there is nothing to trade."""
CLOCK = 2.0
"""Seconds are drawn if they differ between methods so many times more than between seeds: else the clock measured what
else the machine did."""
CLOSE = 0.06
"""Of an axis: names of points closer to each other would overlap."""
NAMED = 8
"""Settings of a front that are named."""
FLOOR = 1e-4
"""Squared biases below this, and those that sampling error made negative, are drawn on the axis."""
Panels = dict[tuple[str, str], Table]
"""By metric and cost, what `stats.pareto` says of them."""


def rate_distortion(sheet: Sheet) -> Drawing | None:
    """PSNR and rFID against bits per image, if the rates differ; lines join the settings of one estimator."""
    return _draw(sheet, _metrics(sheet), ["bits"], joined=True)


def pareto(sheet: Sheet) -> Drawing | None:
    """PSNR and rFID against seconds of training, with the front that no method is beaten on."""
    return _draw(sheet, _metrics(sheet), ["seconds"])


def frontier(sheets: Sequence[ConditionSheet]) -> Drawing | None:
    """Quality against what it cost, and against the rate: a point per setting, the front as a line. The first
    condition's."""
    return _draw(sheets[0], sheets[0].quality_and_bound, list(COSTS)) if len(sheets[0].methods) > 2 else None


def _metrics(sheet: Sheet) -> list[str]:
    return sheet.measured(DISTORTION_AND_PERCEPTION) or sheet.measured([sheet.comparison.metric or ""])


def _draw(sheet: Sheet, metrics: Sequence[str], costs: Sequence[str], *, joined: bool = False) -> Drawing | None:
    values = sheet.comparison.finals
    tables = {
        (metric, cost): stats.pareto(values, metric, cost)
        for metric in metrics
        for cost in costs
        # the rate is a part of the ELBO
        if (metric, cost) != ("elbo", "bits") and _differ(values, metric, cost)
    }
    if not tables:
        return None
    families = {key: table["estimator"].map(sheet.families) for key, table in tables.items()}
    tables = {key: table.assign(family=families[key]).dropna(subset="family") for key, table in tables.items()}
    different = len({cost for _, cost in tables})
    columns = different if different > 1 else len(tables)
    rows = math.ceil(len(tables) / columns)
    figure = sheet.theme.sheet(sheet.theme.wide if columns > 1 else sheet.theme.narrow, HEIGHT * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    looks = _looks(sheet, tables, joined)
    for ax, ((metric, cost), table) in zip(grid.flat, tables.items(), strict=False):
        _panel(ax, sheet, table, looks, metric, joined)
        ax.set(xlabel=COSTS[cost], ylabel=f"{sheet.comparison.split} {describe(metric).with_arrow}")
    for ax in list(grid.flat)[len(tables) :]:
        ax.set_visible(False)
    sheet.theme.add_legend(figure, _legend(sheet, tables, looks, joined), sheet.noun if sheet.cut else "")
    return Drawing(figure, _caption(sheet, tables, joined), sheet.about)


def _differ(values: Table, metric: str, cost: str) -> bool:
    """Whether methods differ in a cost by more than such a factor, and in seconds by more than their own seeds do."""
    rows = values[(values["metric"] == ("bits" if cost == "bits" else metric)) & values["value"].notna()]
    costs = rows.assign(log=np.log(rows["value" if cost == "bits" else cost].where(lambda x: x > 0).astype(float)))
    by_method = costs.dropna(subset="log").groupby("method")["log"]
    means = by_method.mean()
    if len(means) < 2 or means.max() - means.min() < math.log(SPREAD[cost]):
        return False
    noise = math.sqrt(by_method.var().mean())
    return cost != "seconds" or not means.std() < CLOCK * noise


def _looks(sheet: Sheet, tables: Panels, joined: bool) -> dict[str, Style]:
    """Of the families that are told apart: the best, of a Pareto front its own before others. The rest is grey."""
    drawn = {family for table in tables.values() for family in table["family"]}
    ahead = {family for table in tables.values() for family in table["family"][table["on_front"]]}
    ranked = [family for family in dict.fromkeys(map(sheet.families.__getitem__, sheet.names)) if family in drawn]
    wanted = ranked if joined else sorted(ranked, key=lambda family: family not in ahead)
    kept = wanted[: sheet.theme.told_apart]
    return sheet.family_styles([family for family in ranked if family in kept])


def _panel(ax: Axes, sheet: Sheet, table: Table, looks: Mapping[str, Style], metric: str, joined: bool) -> None:
    """Means, those of the best on top, and bars of intervals both ways; what lies beyond is an arrow."""
    theme, sign = sheet.theme, describe(metric).sign
    lost = beyond(table["quality"], sign) & sheet.cut
    shown = table[~lost]
    low, high = limits(shown["quality"], shown["quality_low"], shown["quality_high"])
    ax.set_ylim(low, high)
    for one in table[lost].to_dict("records"):
        end, shape = (low, "v") if sign > 0 else (high, "^")
        arrow: dict[str, Any] = {"color": looks[one["family"]].colour, "markersize": 3 * theme.scale, "clip_on": False}
        ax.plot(one["cost"], end, shape, **arrow, gid="beyond")
    others = shown[~shown["family"].isin(looks)]
    shared: dict[str, Any] = {"x": "cost", "y": "quality", "ax": ax, "legend": False}
    seaborn.scatterplot(others, **shared, s=8 * theme.scale, color=GREY, linewidth=0, gid="others")
    for place, (family, style) in enumerate(reversed(list(looks.items()))):
        for posterior, mine in shown[shown["family"] == family].groupby("posterior"):
            order = 3 + place / 100
            bars = {"color": style.colour, "linewidth": 0.7 * theme.scale, "alpha": 0.7, "zorder": order - 0.5}
            ax.vlines(mine["cost"], mine["quality_low"], mine["quality_high"], **bars, gid="interval")
            ax.hlines(mine["quality"], mine["cost_low"], mine["cost_high"], **bars, gid="interval")
            look = {"s": theme.marker_size(style.marker) ** 2, "marker": style.marker, "linewidth": 0.8 * theme.scale}
            seaborn.scatterplot(mine, **shared, **look, zorder=order, gid=family)
            face = "white" if posterior == HOLLOW else style.colour
            ax.collections[-1].set(edgecolor=style.colour, facecolor=face)
    if joined:
        _join(ax, theme, shown, looks, sign)
    else:
        _front(ax, sheet, shown)
    number_axis(ax.yaxis, 5)
    if far_apart(table["cost"]):
        log_axis(ax, "x", table["cost"])
    else:
        ax.set_xlim(limits(table["cost"], table["cost_low"], table["cost_high"]))
        number_axis(ax.xaxis, 4)
    if isinstance(sheet, ConditionSheet):
        _name(ax, sheet, shown[shown["on_front"]])
    seaborn.despine(ax=ax)
    ax.grid(color="0.92", linewidth=0.5)


def _join(ax: Axes, theme: Theme, table: Table, looks: Mapping[str, Style], sign: int) -> None:
    """The settings of one estimator that no other one of its settings beats at a lower rate."""
    for (family, _), mine in table.groupby(["family", "posterior"]):
        ahead = mine[stats.pareto_front(np.stack([mine["cost"], -sign * mine["quality"]], axis=1))].sort_values("cost")
        if family in looks and len(ahead) > 1:
            ax.plot(ahead["cost"], ahead["quality"], **theme.line(looks[str(family)]), zorder=2, gid="joined")


def _front_look(sheet: Sheet) -> dict[str, Any]:
    return {"color": MUTED, "linewidth": 0.7 * sheet.theme.scale, "zorder": 1}


def _front(ax: Axes, sheet: Sheet, table: Table) -> None:
    """A step where the next method begins; to the right it stays."""
    ahead = table[table["on_front"]].sort_values("cost")
    x, y = ahead["cost"].to_numpy(), ahead["quality"].to_numpy()
    ax.plot([*x, 1e3 * x[-1]], [*y, y[-1]], drawstyle="steps-post", **_front_look(sheet), gid="front")


def _name(ax: Axes, sheet: ConditionSheet, front: Table) -> None:
    """Settings of an ablation by their knobs, the best first, as far as there is room."""
    taken: list[tuple[float, float]] = []
    for one in front.sort_values("cost", ascending=False).to_dict("records"):
        x, y = ax.transAxes.inverted().transform(ax.transData.transform((one["cost"], one["quality"])))
        text = sheet.short(one["estimator"])
        free = all(abs(y - other[1]) > CLOSE or abs(x - other[0]) > 4 * CLOSE for other in taken)
        if text and free and len(taken) < NAMED:
            taken.append((x, y))
            side, shift = ("left", 4) if x < 0.07 * len(text) / 8 + 0.1 else ("right", -3)
            where: dict[str, Any] = {"xytext": (shift, 4), "textcoords": "offset points", "ha": side}
            ax.annotate(text, (one["cost"], one["quality"]), **where, fontsize=sheet.theme.tick_size, color=MUTED)


def _legend(sheet: Sheet, tables: Panels, looks: Mapping[str, Style], joined: bool) -> list[Line2D]:
    posteriors = set().union(*(table["posterior"] for table in tables.values()))
    names = {family: [name for name in sheet.names if sheet.families[name] == family] for family in looks}
    labels = {f: sheet.marked(shortened(f, sheet.theme.longest_name), mine) for f, mine in names.items()}
    marks = {family: sheet.theme.marker(style, posteriors == {HOLLOW}) for family, style in looks.items()}
    handles = [Line2D([], [], linestyle="", **mark, label=labels[family]) for family, mark in marks.items()]
    drawn = {family for table in tables.values() for family in table["family"]}
    handles += sheet.others_line(len(drawn - set(looks)))
    handles += sheet.posterior_lines() if len(posteriors) > 1 else []
    return handles if joined else [*handles, Line2D([], [], **_front_look(sheet), label="Pareto front")]


def _caption(sheet: Sheet, tables: Panels, joined: bool) -> str:
    first = next(iter(tables.values())).rename(columns={"quality_low": "low", "method": "how"})
    words = {
        "decodes": "decoder evaluations",
        "seconds": f"training time without evaluation ({sheet.devices})",
        "bits": "the rate, KL(q(z|x) || uniform) in bits per image",
    }
    against = ", and against ".join(words[cost] for cost in dict.fromkeys(cost for _, cost in tables))
    several = bool(first.groupby(["family", "posterior"]).size().max() > 1)
    lines = f"Lines join the settings of one {sheet.noun} that no other of its settings beats at a lower rate."
    return sheet.caption(
        f"Final {listed(metric for metric, _ in tables)} {sheet.place} against {against}: {estimates(first, 'bars')}.",
        "An arrow at the end of an axis: a value beyond it." if sheet.cut else "",
        f"A point per setting; those of one {sheet.noun} look alike." if several else "",
        (lines if several else "") if joined else "The line is the Pareto front of the means.",
    )


def bias_variance(sheet: Sheet) -> Drawing | None:
    """Squared bias and variance of gradients against the exact one; hollow where the bias is not resolved."""
    caption = (
        f"Squared bias of the mean gradient and variance of one draw on {sheet.comparison.title}, both relative to the "
        "squared norm of the exact gradient. Hollow: the bias is within 2 standard errors of 0. Biases under "
        f"{FLOOR:g} lie on the axis. {_exact_gradient(sheet)}"
    )
    return _gradients(sheet, "variance", "bias_squared", caption, "hollow: bias within\n2 standard errors of 0")


def error_against_decodes(sheet: Sheet) -> Drawing | None:
    """Mean squared error of gradients against the decoder evaluations they take; lines join numbers of samples."""
    caption = (
        f"Mean squared error of one draw of the gradient on {sheet.comparison.title}, relative to the squared norm of "
        "the exact gradient, against decoder evaluations per image. Lines join the numbers of samples of one "
        f"estimator. {_exact_gradient(sheet)}"
    )
    return _gradients(sheet, "decodes", "mse", caption)


def _exact_gradient(sheet: Sheet) -> str:
    others = sheet.comparison.other_goals
    what = "The exact gradient is the ELBO's; for policy search that of KL(q* || q), at each image's temperature."
    return f"{what} What is followed instead of the ELBO: {others}." if others else what


def _gradients(sheet: Sheet, x: str, y: str, caption: str, title: str = "") -> Drawing | None:
    """A row of panels per posterior, a column per step, both axes logarithmic. Where `x` is `decodes`, numbers of
    samples do not tell estimators apart: a line joins them."""
    rows = sheet.comparison.gradients
    if y not in rows:
        return None
    rows = rows.assign(name=rows["estimator"].map(_without_k) if x == "decodes" else rows["estimator"])
    looks = sheet.family_styles(reading_order(rows["name"]))
    steps = sorted(set(rows["step"]))
    posteriors = [posterior for posterior in sheet.comparison.posteriors if posterior in set(rows["posterior"])]
    figure = sheet.theme.sheet(sheet.theme.wide if len(steps) > 1 else sheet.theme.narrow, 0.3 + 1.7 * len(posteriors))
    grid = figure.subplots(len(posteriors), len(steps), sharex=True, sharey=True, squeeze=False)
    for ax, (posterior, step) in zip(grid.flat, itertools.product(posteriors, steps), strict=True):
        mine = rows[(rows["posterior"] == posterior) & (rows["step"] == step)].sort_values(x)
        for name, found in mine.groupby("name"):
            if x == "decodes":
                ax.plot(found[x], found[y], **sheet.theme.marked_line(looks[str(name)]), gid=name)
                continue
            for one in found.to_dict("records"):
                hollow = one["bias_squared"] <= 2 * one["bias_error"]
                ax.plot(one[x], max(one[y], FLOOR), **sheet.theme.marker(looks[str(name)], hollow), clip_on=False)
        log_axis(ax, "x", rows[x])
        log_axis(ax, "y", rows[y].clip(lower=FLOOR))
        words = "decodes per image" if x == "decodes" else f"{describe(x).title} of one draw"
        ax.set(title=f"{posterior}, after {typed(step)} steps", xlabel=words, ylabel=describe(y).title)
        ax.label_outer()
        ax.grid(color="0.92", linewidth=0.5)
    handles = [Line2D([], [], **sheet.theme.marker(look), linestyle="", label=name) for name, look in looks.items()]
    sheet.theme.add_legend(figure, handles, title)
    return Drawing(figure, caption, sheet.comparison.title)


def _without_k(name: str) -> str:
    head, _, arguments = name.partition(":")
    kept = [pair for pair in arguments.split(",") if pair and not pair.startswith("k=")]
    return f"{head}:{','.join(kept)}" if kept else head
