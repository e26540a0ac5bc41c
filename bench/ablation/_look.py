"""What the figures of an ablation share: one look per family, axes, and how values are written."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.ablation._settings import shown
from bench.ablation._study import Study
from bench.figures.screen import LABELS
from bench.figures.styles import styles
from bench.metrics.catalogue import METRICS

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ((), (5, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1))
LOG_FROM = 15.0
"""A knob whose values span such a factor has a logarithmic axis."""
MOST_TICKS = 12
"""Values of a knob that are written at its axis, if there are no more."""
SEED: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 2.6, "markeredgewidth": 0, "alpha": 0.5}
OUTLIER = 4.0
"""What lies as many times further from the best than the lower quartile is drawn at the edge."""


@dataclass(frozen=True)
class Look:
    colour: Any
    marker: str
    dash: tuple[float, ...]

    @property
    def line(self) -> dict[str, Any]:
        linestyle = (0, self.dash) if self.dash else "-"
        return {"color": self.colour, "linestyle": linestyle, "linewidth": 1.5, **self.point}

    @property
    def point(self) -> dict[str, Any]:
        size = {"*": 8.0, "P": 6.5, "X": 6.0}.get(self.marker, 5.0)
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        return {"color": self.colour, "marker": self.marker, "markersize": size, **edge}


def looks(study: Study) -> dict[str, Look]:
    """By family. What begins alike, such as a rule with and without `per_image`, shares a colour.

    Estimators have that of the figures of `bench run`, rules of one estimator colours far apart.
    """
    groups = list(dict.fromkeys(family.split(", ")[0] for family in study.families))
    shared = styles(groups)
    several = len({setting.estimator for setting in study.settings}) > 1
    if several and groups == study.families:
        return {name: Look(style.colour, style.marker, style.dash) for name, style in shared.items()}
    # without the yellow, which is hard to see on white
    palette = [colour for place, colour in enumerate(seaborn.color_palette("colorblind", 10)) if place != 8]
    colours = [shared[name].colour if several else palette[place % len(palette)] for place, name in enumerate(groups)]
    found: dict[str, Look] = {}
    for place, family in enumerate(study.families):
        group = family.split(", ")[0]
        alike = sum(other.split(", ")[0] == group for other in found)
        found[family] = Look(colours[groups.index(group)], MARKERS[place % len(MARKERS)], DASHES[alike % len(DASHES)])
    return found


def label(metric: str) -> str:
    unit = METRICS[metric].unit
    named = {"bits": "rate", "ms_per_step": "time per step"}.get(metric, metric)
    return LABELS.get(metric, named if unit == "1" else f"{named} [{unit}]")


def legend_width(texts: Sequence[str]) -> float:
    """Inches that a legend with these entries takes beside the panels."""
    return 0.9 + 0.072 * max((len(text) for text in texts), default=0)


def legend(figure: Figure, study: Study, families: Sequence[str], extra: Sequence[Line2D] = ()) -> None:
    found = looks(study)
    handles = [Line2D([], [], **found[family].line, label=family) for family in families]
    handles += extra
    figure.legend(
        handles=handles,
        loc="outside right upper",
        handlelength=3.2,
        title=study.noun if len(families) > 1 else None,
        alignment="left",
    )


def entitle(figure: Figure, text: str) -> None:
    """At the left, where no legend is."""
    figure.suptitle(text, x=0.01, ha="left")


def title(study: Study, condition: str) -> str:
    """What all numbers of a figure have in common."""
    place = study.settings[study.of_condition(condition)[0]].place
    seeds = {run.seed for index in study.of_condition(condition) for run in study.settings[index].runs}
    named = condition if len(study.conditions) > 1 else ""
    facts = [study.name, ", preset ".join(place), f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}", named]
    return ", ".join(fact for fact in facts if fact)


def knob_axis(ax: Axes, knob: str, values: Sequence[float]) -> None:
    """Scale and ticks of the x axis for the values of a knob."""
    known = sorted(set(values))
    ax.set_xlabel(knob)
    logarithmic = known[0] > 0 and (known[-1] / known[0] >= LOG_FROM or _geometric(known))
    if logarithmic:
        ax.set_xscale("log")
    if len(known) <= MOST_TICKS:
        ticks = _apart(known, logarithmic)
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(float(value))))
        ax.tick_params(axis="x", labelrotation=60 if sum(len(shown(tick)) + 1 for tick in ticks) > 24 else 0)
    elif logarithmic:
        log_axis(ax.xaxis)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))


def _geometric(known: Sequence[float]) -> bool:
    """Such as 2, 4, 8."""
    ratios = [b / a for a, b in itertools.pairwise(known)]
    return len(ratios) > 1 and min(ratios) > 1.5 and max(ratios) / min(ratios) < 1.3


def _apart(known: Sequence[float], logarithmic: bool) -> list[float]:
    """Those that leave room for their labels."""
    places = np.log(known) if logarithmic else np.asarray(known)
    least = 0.07 * (places[-1] - places[0])
    kept = [0]
    for place in range(1, len(known)):
        if places[place] - places[kept[-1]] >= least:
            kept.append(place)
    return [known[place] for place in kept]


def log_axis(axis: Axis) -> None:
    """Plain numbers at the powers of ten, and at 2 and 5 times them where there are few; the scale is set already."""
    low, high = axis.get_view_interval()
    few = low <= 0 or high / low < 300
    axis.set_major_formatter(FuncFormatter(compact))
    axis.set_minor_formatter(
        FuncFormatter(lambda value, _: compact(value) if few and f"{value:.0e}"[0] in "25" else "")
    )


def lower_edge(values: Sequence[float], better: str) -> float:
    """Where the axis ends on its bad side, so that a few failures do not squeeze the rest; infinite if none would."""
    known = np.asarray([value for value in values if math.isfinite(value)])
    if better == "lower":
        return -lower_edge(list(-known), "higher")
    if len(known) < 4:
        return -math.inf
    best, quartile = known.max(), np.quantile(known, 0.25)
    edge = best - OUTLIER * (best - quartile)
    return float(edge) if known.min() < edge else -math.inf


def beyond(value: float, edge: float, better: str) -> bool:
    """Whether a value lies on the bad side of the edge."""
    return value < edge if better == "higher" else value > edge


def limit(ax: Axes, axis: str, edge: float, better: str) -> None:
    """End the axis a little past the edge on its bad side; what lies beyond is an arrow there."""
    if math.isinf(edge):
        return
    ax.autoscale_view()
    low, high = ax.get_xlim() if axis == "x" else ax.get_ylim()
    margin = 0.03 * abs((high if better == "higher" else low) - edge)
    limits = (edge - margin, high) if better == "higher" else (low, edge + margin)
    (ax.set_xlim if axis == "x" else ax.set_ylim)(*limits)


def compact(value: float, _: float | None = None) -> str:
    """Tick labels short enough to lie side by side."""
    text = f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
    return text.replace("-", "\N{MINUS SIGN}")
