"""What an ablation varies: cases, each the product of its axes; the values of an axis as people type them: `2,4,8`,
`log:1e-4:1e-2:5`, `linear:0.1:0.9:5`, multiples such as `0.3x`; and what `--grid` makes of cases."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.text import plain

RANGES = {"log": (np.geomspace, "log:1e-4:1e-2:5"), "linear": (np.linspace, "linear:0.1:0.9:5")}
"""What makes them, and an example."""
EXAMPLES = " or ".join(["2,4,8", *(example for _, example in RANGES.values())])
DIGITS = 3
"""Significant ones of the numbers inside a range; more if it takes more to tell them apart."""
_MULTIPLE = re.compile(r"(?P<number>\d+\.?\d*(e[-+]?\d+)?|\.\d+)(/(?P<divisor>[1-9]\d*))?x", re.IGNORECASE)

Point = tuple[str, ...]
"""A value for each key of an axis."""


@dataclass(frozen=True)
class Axis:
    """Keys that vary together."""

    keys: tuple[str, ...]
    points: tuple[Point, ...]
    typed: bool = False
    """On the command line, where a value that does not fit is a mistake."""

    def at(self, keys: Sequence[str]) -> list[Point]:
        """The points, as far as these keys go."""
        places = [self.keys.index(key) for key in keys]
        return [tuple(point[place] for place in places) for point in self.points]

    @property
    def is_equal(self) -> bool:
        """Whether all keys have the same value at each point."""
        return all(len(set(point)) == 1 for point in self.points)


@dataclass(frozen=True)
class Case:
    name: str
    """What a reader calls it; empty if its axes say enough."""
    axes: tuple[Axis, ...]
    estimators: tuple[str, ...] = ()
    """Names of those it is for; if there are none, all that have its keys."""

    @property
    def keys(self) -> list[str]:
        return [key for axis in self.axes for key in axis.keys]

    @property
    def size(self) -> int:
        return math.prod(len(axis.points) for axis in self.axes)

    def points(self) -> Iterator[dict[str, str]]:
        """The product of the axes: a value by key."""
        for chosen in itertools.product(*(axis.points for axis in self.axes)):
            pairs = zip(self.axes, chosen, strict=True)
            yield {key: value for axis, point in pairs for key, value in zip(axis.keys, point, strict=True)}


Whole = Callable[[str], bool]
"""Whether a key has whole numbers."""


def axis(keys: str, text: str, whole: Whole, *, typed: bool = False) -> Axis:
    """Of `k` and `2,4,8`, or of several keys: `beta,beta_end` and `0.1,1`, which is the same value for both, or
    `k,steps` and `[2,4x],[4,2x]`. Raises ValueError."""
    names = tuple(split(keys))
    if not all(names):
        raise ValueError(f"--grid {keys}={text}: the name of a setting is missing; try --grid k=2,4,8")
    if len(set(names)) < len(names):
        raise ValueError(f"--grid {keys}={text}: the same name twice; try --grid k=2,4,8")
    found = values(keys, text, whole=all(map(whole, names)))
    return Axis(names, tuple(_point(keys, text, names, value) for value in found), typed)


def _point(keys: str, text: str, names: tuple[str, ...], value: str) -> Point:
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else None
    if len(names) == 1:
        return (value if inside is None else inside,)
    if inside is None:
        return (value,) * len(names)
    parts = tuple(split(inside))
    if len(parts) != len(names) or not all(parts):
        example = ",".join("24689"[: len(names)])
        raise ValueError(f"--grid {keys}={text}: {value} is not a value for each of {keys}; try [{example}]")
    return parts


def case(content: Mapping[str, Any], whole: Whole) -> Case:
    """From YAML: perhaps a `name`, perhaps the estimators it is `for`, and values by key, as text or as a list."""
    axes = [axis(key, _text(value), whole) for key, value in content.items() if key not in ("name", "for")]
    return Case(str(content.get("name", "")), tuple(axes), tuple(content.get("for", ())))


def _text(value: object) -> str:
    """As it would be typed."""
    if isinstance(value, list):
        return ",".join(f"[{_text(item)}]" if isinstance(item, list) else _text(item) for item in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def with_grid(cases: Sequence[Case], conditions: Sequence[Case], grid: Axis) -> tuple[list[Case], list[Case]]:
    """Cases and conditions with the axis `grid` from the command line.

    It replaces the values that a case lists for the key. A key that has one value in a case, or goes together with
    others, says which of these to keep: steps that go with k, and epsilon that belongs to a rule, would not fit other
    values. A key that is nowhere yet multiplies all cases. Raises ValueError for values there is nothing to keep of.
    """
    if not {key for one in (*cases, *conditions) for key in one.keys}.intersection(grid.keys):
        return [replace(one, axes=(*one.axes, grid)) for one in cases], list(conditions)
    everything = [*cases, *conditions]
    changed = [_changed(one, grid) for one in everything]
    kept = {point for _, points in changed for point in points}
    missing = [",".join(point) for point in grid.points if point not in kept]
    if missing:
        axes = [axis for one in everything for axis in one.axes if set(grid.keys) <= set(axis.keys)]
        known = dict.fromkeys(",".join(point) for axis in axes for point in axis.at(grid.keys))
        keys = ",".join(grid.keys)
        raise ValueError(
            f"--grid {keys}={missing[0]}: other settings go with it in this ablation, which has {keys}="
            f"{','.join(known)}; choose of these, or give a grid of your own another name: bench ablate my_{keys} ..."
        )
    left = [one for one, _ in changed[: len(cases)] if one is not None]
    left_conditions = [one for one, _ in changed[len(cases) :] if one is not None]
    return left, left_conditions or [Case("", ())]


def _changed(one: Case, grid: Axis) -> tuple[Case | None, Sequence[Point]]:
    """The case under `grid`, None if nothing of it is left, and the points of `grid` that are in it."""
    touched = [axis for axis in one.axes if set(axis.keys) & set(grid.keys)]
    if not touched:
        return one, ()
    (old, *others) = touched
    if others or not set(grid.keys) <= set(old.keys):
        return None, ()
    if len(old.points) > 1 and old.is_equal and (old.keys == grid.keys or len(grid.keys) == 1):
        kept = grid.points
        points = tuple(point * len(old.keys) if len(grid.keys) == 1 else point for point in kept)
    else:
        kept = [point for point in old.at(grid.keys) if point in grid.points]
        pairs = zip(old.points, old.at(grid.keys), strict=True)
        points = tuple(point for point, own in pairs if own in grid.points)
    if not points:
        return None, ()
    new = replace(old, points=points, typed=True)
    return replace(one, axes=tuple(new if axis is old else axis for axis in one.axes)), kept


def values(key: str, text: str, *, whole: bool = False) -> tuple[str, ...]:
    """The values of `text` in order, each once, as they would be typed one by one.

    Pieces stand between commas; one in brackets, `[8,8,4]`, is a value of several parts. The numbers of a range are
    rounded to a few digits between its ends, to integers if the knob is `whole`; both ends may be multiples of the
    preset's value (`log:0.1x:10x:5`). Raises ValueError for what is none of this.
    """
    pieces = split(text)
    if not all(pieces):
        raise ValueError(f"--grid {key}={text}: a value is missing; try {key}={EXAMPLES}")
    found = [value for piece in pieces for value in (_range(key, piece, whole) if ":" in piece else [piece])]
    return tuple(dict.fromkeys(found))


def split(text: str) -> list[str]:
    """At the commas that are outside of brackets."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return [piece.strip() for piece in pieces]


def is_multiple(value: str) -> bool:
    """Whether it is `4x`, `0.3x` or `1/4x`: so many times what the preset has."""
    return _MULTIPLE.fullmatch(value) is not None


def multiplied(value: str, base: float, *, whole: bool) -> str:
    """`value`, a multiple, of `base`. Whole numbers stay whole, and at least 1."""
    found = _MULTIPLE.fullmatch(value)
    assert found is not None, value
    factor = float(found["number"]) / int(found["divisor"] or 1)
    if factor == 1:
        return plain(base)
    return str(max(1, round(factor * base))) if whole else plain(float(f"{factor * base:.4g}"))


def _range(key: str, piece: str, whole: bool) -> list[str]:
    kind, *rest = piece.split(":")
    if kind not in RANGES:
        raise ValueError(f"--grid {key}={piece}: {kind!r} is no kind of range; try {key}={EXAMPLES}")
    spaced, example = RANGES[kind]
    if len(rest) != 3:
        raise ValueError(f"--grid {key}={piece} is not {kind}:FIRST:LAST:COUNT; try {key}={example}")
    *ends, count = rest
    suffixes = {end[-1:].lower() == "x" for end in ends}
    if len(suffixes) == 2:
        raise ValueError(f"--grid {key}={piece}: both ends of a range are multiples (0.1x) or neither is")
    suffix = "x" if suffixes == {True} else ""
    first, last = (_number(key, piece, end[:-1] if suffix else end) for end in ends)
    if not count.isdecimal() or int(count) < 2:
        raise ValueError(f"--grid {key}={piece}: {count!r} is no count of at least 2; try {key}={example}")
    if kind == "log" and min(first, last) <= 0:
        raise ValueError(f"--grid {key}={piece}: a log range has positive ends; try {key}={example}")
    numbers = spaced(first, last, int(count)).tolist()
    return [f"{text}{suffix}" for text in _rounded([first, *numbers[1:-1], last], whole and not suffix)]


def _number(key: str, piece: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--grid {key}={piece}: {text!r} is not a number; try {key}={EXAMPLES}")
    return number


def _rounded(numbers: Sequence[float], whole: bool) -> list[str]:
    """The ends as they are, what is between them with few digits."""
    if whole:
        return list(dict.fromkeys(str(round(number)) for number in numbers))
    first, *inner, last = numbers
    digits = DIGITS
    while len({f"{number:.{digits}g}" for number in inner}) < len(set(inner)):
        digits += 1
    return [plain(first), *(plain(float(f"{number:.{digits}g}")) for number in inner), plain(last)]
