"""What tuning may set: ranges and choices as data beside each estimator, points in them, and a space for an estimator
that declares none, read off its constructor."""

import math
import types
import typing
from collections.abc import Mapping

from estimators._base import UNDECLARED, Choice, Estimator, Range, Space
from estimators._spec import nearest, options

NEVER = ("k",)
"""Arguments that decide what a step costs: what is tuned is compared at equal decodes."""
AROUND = math.sqrt(10)
"""A positive number of a constructor is searched a decade wide, with its default in the middle."""


def space(name: str, cls: type[Estimator]) -> Space:
    """What tuning may set of an estimator, by argument: what its class declares, or what can be read off the
    constructor.

    Raises ValueError for a space that no trial could be drawn from, naming the key.
    """
    if cls.space is UNDECLARED:
        return _derived(cls)
    known = options(cls)
    for key, searched in cls.space.items():
        where = f"the search space of {name} has {key!r}"
        if key in NEVER:
            raise ValueError(f"{where}, which decides what a step costs; leave it out of the class's space")
        if key not in known:
            hint = nearest(key, known) if known else f"{name} takes none"
            raise ValueError(f"{where}, which is no argument; {hint}")
        if problem := _problem(searched):
            raise ValueError(f"{where}, {searched}: {problem}")
    return cls.space


def _problem(searched: object) -> str:
    if isinstance(searched, Choice):
        return "" if searched.values else "no values; try Choice((False, True))"
    if not isinstance(searched, Range):
        return "neither a Range nor a Choice; try Range(0.1, 1.0)"
    if not -math.inf < searched.low < searched.high < math.inf:
        return "its low end must be below its high one; try Range(0.1, 1.0)"
    return "its logarithm needs positive ends; try log=False" if searched.log and searched.low <= 0 else ""


def _derived(cls: type[Estimator]) -> Space:
    """Positive numbers with a default, switches, and words to choose from. Whole numbers are left alone: sizes decide
    bits and costs."""
    found: dict[str, Range | Choice] = {}
    hints = typing.get_type_hints(cls.__init__)
    for key, option in options(cls).items():
        hint, default = _without_none(hints[key]), option.default
        if key in NEVER:
            continue
        if hint is float and isinstance(default, float) and default > 0:
            found[key] = Range(_three(default / AROUND), _three(default * AROUND))
        elif hint is bool:
            found[key] = Choice((False, True))
        elif typing.get_origin(hint) is typing.Literal:
            found[key] = Choice(typing.get_args(hint))
    return found


def _without_none(hint: object) -> object:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    (one, *more) = (kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint if more else one


def point(space: Mapping[str, Range | Choice], place: typing.Sequence[float]) -> dict[str, object]:
    """The values at a place of the unit cube, a coordinate per key."""
    return {key: _value(one, u) for (key, one), u in zip(space.items(), place, strict=True)}


def _value(searched: Range | Choice, u: float) -> object:
    if isinstance(searched, Choice):
        return searched.values[min(int(u * len(searched.values)), len(searched.values) - 1)]
    low, high = searched.low, searched.high
    found = low * (high / low) ** u if searched.log else low + (high - low) * u
    if searched.whole:
        return round(found)
    return min(max(_three(found), low), high)


def _three(value: float) -> float:
    """Significant digits, so that what is found can be read and typed."""
    return float(f"{value:.3g}")
