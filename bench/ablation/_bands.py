"""How wide the band of good settings is: what each loses against the best of its condition."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.ablation._lines import lines, main_knob
from bench.ablation._settings import shown
from bench.ablation._study import Study

TOLERANCE = 0.5
"""dB of PSNR below the best that still count as good."""

Variant = tuple[str, str]
"""Label and posterior: the same setting under all conditions."""


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
        best: list[float] = []
        row: list[float] = []
        for variant in sorted(self.knob_values, key=self.knob_values.__getitem__):
            row = [*row, self.knob_values[variant]] if self.is_good(variant) else []
            best = max(best, row, key=len)
        if not best:
            return "none"
        return shown(best[0]) if len(best) == 1 else f"{shown(best[0])} to {shown(best[-1])}"


def bands(study: Study) -> list[Band]:
    """One per family, the safest first. Empty unless PSNR was measured."""
    if study.metric != "psnr":
        return []
    drops: dict[str, dict[Variant, dict[str, float]]] = {family: {} for family in study.families}
    for condition in study.conditions:
        mine = study.of_condition(condition)
        best = study.best(mine)
        if best is None:
            continue
        for index in mine:
            setting = study.settings[index]
            value = study.means.get((index, "psnr"), -math.inf)
            unfinished = value == -math.inf and not any(run.state == "diverged" for run in setting.runs)
            for family in () if unfinished else setting.families:
                cell = drops[family].setdefault((setting.label, setting.posterior), {})
                cell[condition] = study.means[best, "psnr"] - value
    found = [_band(study, family, mine) for family, mine in drops.items() if mine]
    return sorted(found, key=lambda band: (band.worst(band.safest), -band.share))


def _band(study: Study, family: str, drops: Mapping[Variant, Mapping[str, float]]) -> Band:
    first = study.conditions[0]
    knob = main_knob(study, family, first)
    values: dict[Variant, float] = {}
    for line in lines(study, knob, first) if knob else []:
        for value, index in line.points if line.family == family else []:
            setting = study.settings[index]
            if (setting.label, setting.posterior) in drops:
                values[setting.label, setting.posterior] = value
    return Band(family, drops, study.conditions, knob, values)
