"""What an ablation varies: cases, each the product of its axes, and what `--grid` makes of them."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.ablation._grid import split, values

Point = tuple[str, ...]
"""A value for each key of an axis."""


@dataclass(frozen=True)
class Axis:
    """Keys that vary together."""

    keys: tuple[str, ...]
    points: tuple[Point, ...]
    typed: bool = False
    """On the command line, where a value that does not fit is a mistake."""

    def values(self, key: str) -> list[str]:
        return [point[self.keys.index(key)] for point in self.points]

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
    def typed(self) -> bool:
        return any(axis.typed for axis in self.axes)

    @property
    def size(self) -> int:
        product = 1
        for axis in self.axes:
            product *= len(axis.points)
        return product

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
    found = [_changed(one, grid) for one in (*cases, *conditions)]
    changed, kept = [one for one, _ in found], {value for _, values in found for value in values}
    missing = [value for value in map(",".join, grid.points) if value not in kept]
    if missing:
        known = dict.fromkeys(v for one in (*cases, *conditions) for v in _known(one, grid.keys))
        keys = ",".join(grid.keys)
        raise ValueError(
            f"--grid {keys}={missing[0]}: other settings go with it in this ablation, which has {keys}="
            f"{','.join(known)}; choose of these, or give a grid of your own another name: bench ablate my_{keys} ..."
        )
    left = [one for one in changed[: len(cases)] if one is not None]
    left_conditions = [one for one in changed[len(cases) :] if one is not None]
    return left, left_conditions or [Case("", ())]


def _changed(one: Case, grid: Axis) -> tuple[Case | None, list[str]]:
    """The case under `grid`, None if nothing of it is left, and the values of `grid` that are in it."""
    values = [",".join(point) for point in grid.points]
    touched = [axis for axis in one.axes if set(axis.keys) & set(grid.keys)]
    if not touched:
        return one, []
    (old, *others) = touched
    listed = len(old.points) > 1 and old.is_equal
    if not others and listed and (old.keys == grid.keys or len(grid.keys) == 1):
        points = tuple(point * len(old.keys) if len(grid.keys) == 1 else point for point in grid.points)
        new = replace(old, points=points, typed=True)
        return replace(one, axes=tuple(new if axis is old else axis for axis in one.axes)), values
    if others or not set(grid.keys) <= set(old.keys):
        return None, []
    places = [old.keys.index(key) for key in grid.keys]
    points = tuple(point for point in old.points if tuple(point[place] for place in places) in grid.points)
    if not points:
        return None, []
    new = replace(old, points=points, typed=True)
    chosen = [",".join(point[place] for place in places) for point in points]
    return replace(one, axes=tuple(new if axis is old else axis for axis in one.axes)), chosen


def _known(one: Case, keys: tuple[str, ...]) -> list[str]:
    return [
        ",".join(point[axis.keys.index(key)] for key in keys)
        for axis in one.axes
        if set(keys) <= set(axis.keys)
        for point in axis.points
    ]
