"""An ablation before it meets a dataset: shipped in ablations.yaml or made on the command line, and checked."""

import functools
import itertools
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import yaml

import estimators as registry
from bench.ablation.cases import Axis, Case, axis, case, is_multiple, with_grid
from bench.config import SETTABLE, Settings, check_setting, parse_settings
from bench.text import nearest

MOST_RUNS = 2000
"""More are asked about first."""
FILE = resources.files("bench.ablation") / "ablations.yaml"
_PARTS = ("about", "noun", "estimators", "cases", "conditions")


@dataclass(frozen=True)
class Ablation:
    """Every estimator with every case that has its arguments, under every condition."""

    name: str
    about: str
    """A sentence or two: what is varied, and what is held."""
    estimators: tuple[str, ...]
    cases: tuple[Case, ...]
    conditions: tuple[Case, ...]
    """Runs are compared with each other under one of them only, as their scores have another meaning, or level, under
    the next."""
    noun: str = ""
    """What a reader compares first: a rule, a baseline. Found from the runs if it is empty."""

    def cases_of(self, estimator: str) -> list[tuple[Case, Case]]:
        """Conditions and cases that are for the estimator, with keys that it has."""
        name = _name(estimator)
        found = itertools.product(self.conditions, self.cases)
        mine = [pair for pair in found if all(name in (one.estimators or (name,)) for one in pair)]
        return [pair for pair in mine if all(knows(estimator, key) for one in pair for key in one.keys)]

    @property
    def settings(self) -> int:
        """How many, at most: some may turn out to be the same."""
        found = (pair for estimator in self.estimators for pair in self.cases_of(estimator))
        return sum(condition.size * one.size for condition, one in found)


@functools.cache
def listed() -> dict[str, dict[str, Any]]:
    """As they are written."""
    return yaml.safe_load(FILE.read_text())


def names() -> list[str]:
    """Of the ablations that come with this package."""
    return sorted(listed())


def lines() -> list[str]:
    """For people: a line per shipped ablation."""
    found = [shipped(name) for name in names()]
    return [f"{one.name:12} {one.about} [{', '.join(one.estimators)}; {one.settings} settings]" for one in found]


@functools.cache
def shipped(name: str) -> Ablation:
    """Raises ValueError, naming the file and the key, for what could not be run."""
    content, where = listed()[name], f"{FILE.name}, {name}"
    for key in content:
        if key not in _PARTS:
            raise ValueError(f"{where}: no key {key!r}; {nearest(key, _PARTS)}")
    for key in ("about", "estimators", "cases"):
        if not content.get(key):
            raise ValueError(f"{where}: {key} is missing")
    try:
        chosen = tuple(content["estimators"])
        for estimator in chosen:
            registry.parse(estimator)
        whole = functools.partial(is_whole, chosen)
        cases, conditions = ([case(one, whole) for one in content.get(key, [{}])] for key in ("cases", "conditions"))
        for one in (*cases, *conditions):
            _check_case(one, chosen)
    except ValueError as error:
        raise ValueError(f"{where}: {error}".replace("--grid ", "")) from None
    return Ablation(name, content["about"], chosen, tuple(cases), tuple(conditions), content.get("noun", ""))


def _check_case(one: Case, estimators: Sequence[str]) -> None:
    names = [_name(estimator) for estimator in estimators]
    if other := set(one.estimators) - set(names):
        raise ValueError(f"for: {', '.join(other)} is not among its estimators; {nearest(min(other), names)}")
    mine = [estimator for estimator in estimators if _name(estimator) in (one.estimators or names)]
    for varied in one.axes:
        _check_keys(varied, mine)
        for key, value in (pair for point in varied.points for pair in zip(varied.keys, point, strict=True)):
            if not is_multiple(value):
                _check_value(key, value, mine)


def _check_value(key: str, value: str, estimators: Sequence[str]) -> None:
    """As far as it can be told without data and the other settings."""
    mine = [estimator for estimator in estimators if is_argument(estimator, key)]
    for estimator in mine:
        registry.parse(f"{_name(estimator)}:{key}={value}")
    if not mine:
        check_setting(key, *parse_settings([f"{key}={value}"]).values())


def find(
    name: str, estimators: Sequence[str], grids: Sequence[str], *, runs_each: int = 1, yes: bool = False
) -> Ablation:
    """The shipped ablation of that name, or a new one, with the `grids` of the command line, each `key=VALUES`.

    `estimators` replace those of a shipped ablation if there are any; without either it is daps. `runs_each` is how
    many runs a setting takes (seeds, posteriors), `yes` that it may be a great many. Raises ValueError in one line for
    an unknown name or knob, for values that cannot be read, and for too many runs.
    """
    for text in estimators:
        registry.parse(text)
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"an ablation's name is a part of a folder's; {name!r} is not, try letters, digits, _ and -")
    known = name in names()
    if not known and not grids:
        raise ValueError(
            f"no ablation is called {name!r}; {nearest(name, names())}; "
            f"or give values: bench ablate {name} --grid {name}=1,2,4"
        )
    start = shipped(name) if known else Ablation(name, "", ("daps",), (Case("", ()),), (Case("", ()),))
    start = replace(start, estimators=tuple(estimators) or start.estimators)
    axes = [_grid(grid, start.estimators) for grid in grids]
    keys = [key for one in axes for key in one.keys]
    if twin := next((key for key in keys if keys.count(key) > 1), None):
        raise ValueError(f"--grid {twin} is there twice; try one --grid {twin}=... with all its values")
    cases, conditions = list(start.cases), list(start.conditions)
    for one in axes:
        cases, conditions = with_grid(cases, conditions, one)
    found = replace(start, cases=tuple(cases), conditions=tuple(conditions))
    for estimator in found.estimators:
        _check_use(found, estimator, keys)
    runs = found.settings * runs_each
    if runs > MOST_RUNS and not yes:
        raise ValueError(
            f"ablation {name} is up to {runs} runs ({found.settings} settings, {runs_each} runs each), "
            f"and more than {MOST_RUNS} need --yes; or try fewer values"
        )
    return found


def knows(estimator: str, key: str) -> bool:
    """Whether it is an argument of the estimator, or a setting of any run."""
    return is_argument(estimator, key) or key in SETTABLE


def is_argument(estimator: str, key: str) -> bool:
    return key in _options(estimator)


def is_whole(estimators: Sequence[str], key: str) -> bool:
    """Whether the values of a key are whole numbers."""
    cls = next((_class(estimator) for estimator in estimators if is_argument(estimator, key)), None)
    if cls is not None:
        hint = typing.get_type_hints(cls.__init__)[key]
    else:
        hint = Settings.model_fields[key].annotation if key in SETTABLE else None
    return hint is int or int in typing.get_args(hint) or any(int in typing.get_args(h) for h in typing.get_args(hint))


def _name(estimator: str) -> str:
    return estimator.partition(":")[0]


def _class(estimator: str) -> type[registry.Estimator]:
    return registry.available()[_name(estimator)]


def _options(estimator: str) -> Mapping[str, object]:
    return registry.options(_class(estimator))


def _grid(text: str, estimators: Sequence[str]) -> Axis:
    keys, equals, found = text.partition("=")
    if not equals or not keys.strip():
        raise ValueError(f"--grid {text!r} is not key=VALUES; try --grid {keys.strip() or 'k'}=2,4,8")
    if not found.strip():
        raise ValueError(f"--grid {text}: no values; try {keys}=2,4,8 or {keys}=log:1e-4:1e-2:5")
    made = axis(keys, found, functools.partial(is_whole, estimators), typed=True)
    _check_keys(made, estimators)
    return made


def _check_keys(axis: Axis, estimators: Sequence[str]) -> None:
    for key in axis.keys:
        if not any(knows(estimator, key) for estimator in estimators):
            arguments = {option for estimator in estimators for option in _options(estimator)}
            raise ValueError(
                f"--grid {key}: neither an argument of {', '.join(estimators)} nor a setting of a run; "
                f"{nearest(key, [*arguments, *SETTABLE])}"
            )


def _check_use(ablation: Ablation, estimator: str, typed: Sequence[str]) -> None:
    """The estimator has something to vary, and nothing is set twice."""
    unknown = next((key for key in typed if not knows(estimator, key)), None)
    if unknown or not ablation.cases_of(estimator):
        keys = unknown or ", ".join(dict.fromkeys(key for one in ablation.cases for key in one.keys))
        arguments = ", ".join(_options(estimator)) or "none"
        raise ValueError(f"{estimator} has no {keys} to vary (its arguments: {arguments}); leave it out of --estimator")
    fixed = dict(registry.parse(estimator).arguments)
    for condition, one in ablation.cases_of(estimator):
        keys = [*condition.keys, *one.keys]
        for key in keys:
            if key in fixed:
                raise ValueError(f"{key} is both in {estimator} and varied; leave it out of {_name(estimator)}:...")
            if keys.count(key) > 1:
                raise ValueError(f"{key} is varied twice in one case; leave out --grid {key}")
