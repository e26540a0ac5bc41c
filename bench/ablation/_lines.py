"""Which settings make a line: those along one knob that are alike in everything else."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bench.ablation._settings import shown
from bench.ablation._study import Study


@dataclass(frozen=True)
class Line:
    family: str
    held: Mapping[str, float | None]
    """Other numeric knobs."""
    points: list[tuple[float, int]]
    """Values of the knob, ascending, and the settings that have them."""


def lines(study: Study, knob: str, condition: str) -> list[Line]:
    """Every family along the knob, once for every value of the other numeric knobs that do not go with it."""
    groups: dict[tuple, list[tuple[float, int]]] = defaultdict(list)
    others = [other for other in study.knobs if other != knob and study.numeric(other)]
    for index in study.of_condition(condition):
        setting = study.settings[index]
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


def knobs(study: Study, condition: str) -> list[str]:
    """Numeric knobs that have a line."""
    return [knob for knob in study.knobs if study.numeric(knob) and lines(study, knob, condition)]


def main_knob(study: Study, family: str, condition: str) -> str | None:
    """The only numeric knob that the family has lines along; None if there are none or several."""
    found = [
        knob for knob in knobs(study, condition) if any(line.family == family for line in lines(study, knob, condition))
    ]
    return found[0] if len(found) == 1 else None


def told_apart(found: list[Line]) -> list[str]:
    """The values of held knobs by which lines of the same family differ, as text, a piece per line."""
    texts = []
    for line in found:
        alike = [other.held for other in found if other.family == line.family]
        keys = [key for key in line.held if len({held.get(key) for held in alike}) > 1]
        texts.append(", ".join(f"{key}={shown(line.held[key])}" for key in keys))
    return texts
