"""How much the choice of a setting matters: lines of settings along one knob, and how wide the band of good ones is."""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bench.records.study import Condition, Study
from bench.text import typed

TOLERANCE = 0.5
"""dB of PSNR below the best that still count as good."""

Variant = tuple[str, str]
"""Label and posterior: the same setting under all conditions."""


@dataclass(frozen=True)
class Line:
    """Settings along one knob that are alike in everything else."""

    family: str
    held: Mapping[str, float | None]
    """Other numeric knobs."""
    points: list[tuple[float, int]]
    """Values of the knob, ascending, and the settings that have them."""


def lines(study: Study, knob: str, condition: Condition) -> list[Line]:
    """Every family along the knob, once for every value of the other numeric knobs that do not go with it."""
    groups: dict[tuple, list[tuple[float, int]]] = defaultdict(list)
    others = [other for other in study.knobs if other != knob and study.numeric(other)]
    for index, setting in enumerate(condition.settings):
        value = setting.config.get(knob)
        for family in setting.families:
            if value is not None and setting.leads(knob, family):
                free = setting.goes_with(knob, family)
                held = tuple((other, setting.config.get(other)) for other in others if other not in free)
                groups[family, held].append((value, index))
    return [
        Line(family, dict(held), sorted(points))
        for (family, held), points in groups.items()
        if len({value for value, _ in points}) > 1
    ]


def knobs(study: Study, condition: Condition) -> list[str]:
    """Numeric knobs that have a line."""
    return [knob for knob in study.knobs if study.numeric(knob) and lines(study, knob, condition)]


def told_apart(found: list[Line]) -> list[str]:
    """The values of held knobs by which lines of the same family differ, as text, a piece per line."""
    texts = []
    for line in found:
        alike = [other.held for other in found if other.family == line.family]
        keys = [key for key in line.held if len({held.get(key) for held in alike}) > 1]
        texts.append(", ".join(f"{key}={typed(line.held[key])}" for key in keys))
    return texts


@dataclass(frozen=True)
class Band:
    """One family: a rule, an estimator, a case."""

    family: str
    drops: Mapping[Variant, Mapping[str, float]]
    """Per condition the dB below the best mean of all families there; infinite where all runs diverged."""
    conditions: list[str]
    knob: str | None
    """The one knob that the family was tried along."""
    knob_values: Mapping[Variant, float]

    @property
    def within(self) -> int:
        """Settings that are good under every condition."""
        return sum(self.is_good(variant) for variant in self.drops)

    @property
    def cells(self) -> list[float]:
        return [drop for drops in self.drops.values() for drop in drops.values()]

    @property
    def share(self) -> float:
        """Of all settings under all conditions, those that are good."""
        return sum(drop <= TOLERANCE for drop in self.cells) / len(self.cells)

    def is_good(self, variant: Variant) -> bool:
        return self.worst(variant) <= TOLERANCE

    def worst(self, variant: Variant) -> float:
        """The largest drop over all conditions; infinite if one of them is missing."""
        return max((self.drops[variant].get(condition, math.inf) for condition in self.conditions), default=math.inf)

    @property
    def safest(self) -> Variant:
        """The one setting that loses least where it loses most."""
        return min(self.drops, key=self.worst)

    @property
    def range(self) -> str:
        """In words, the widest unbroken row of good values of the knob: `0.2 to 0.7`; empty without a knob."""
        if self.knob is None:
            return ""
        ascending = sorted(self.knob_values, key=self.knob_values.__getitem__)
        rows = [list(row) for good, row in itertools.groupby(ascending, self.is_good) if good]
        best = [typed(self.knob_values[variant]) for variant in max(rows, key=len, default=[])]
        return " to ".join(dict.fromkeys([*best[:1], *best[-1:]])) or "none"


def bands(study: Study) -> list[Band]:
    """One per family, the safest first. Empty unless PSNR ranks."""
    if study.metric != "psnr":
        return []
    drops: dict[str, dict[Variant, dict[str, float]]] = {family: {} for family in study.families}
    for condition in study.conditions:
        means = condition.means.get("psnr", {})
        for index, setting in enumerate(condition.settings) if means else ():
            diverged = any(run.state == "diverged" for run in condition.runs[index])
            if index in means or diverged:
                drop = max(means.values()) - means.get(index, -math.inf)
                for family in setting.families:
                    drops[family].setdefault(_variant(condition, index), {})[condition.condition] = drop
    found = [_band(study, family, mine) for family, mine in drops.items() if mine]
    return sorted(found, key=lambda band: (band.worst(band.safest), -band.share))


def _variant(condition: Condition, index: int) -> Variant:
    return condition.settings[index].label, condition.methods[index].posterior


def _band(study: Study, family: str, drops: Mapping[Variant, Mapping[str, float]]) -> Band:
    first = study.conditions[0]
    along = {
        knob: [line for line in lines(study, knob, first) if line.family == family] for knob in knobs(study, first)
    }
    tried = [knob for knob, mine in along.items() if mine]
    knob = tried[0] if len(tried) == 1 else None
    points = [point for line in along[knob] for point in line.points] if knob else []
    values = {_variant(first, index): value for value, index in points}
    conditions = [condition.condition for condition in study.conditions]
    return Band(family, drops, conditions, knob, {variant: v for variant, v in values.items() if variant in drops})
