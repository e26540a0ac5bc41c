"""Gradient estimators for discrete latent variables: one file each, one interface (see `_base`).

from estimators import Latent, load
estimator = load("daps:k=16", Latent(length=64, vocab=512, width=128))
"""

import functools
import importlib
import pkgutil
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points

from estimators import _groups, _space, _spec
from estimators._base import (
    Choice,
    Code,
    Draw,
    Estimate,
    Estimator,
    Latent,
    Patches,
    Posterior,
    Problem,
    Range,
    Scalar,
    Space,
)
from estimators._categorical import Categorical, Relaxation, one_hot
from estimators._groups import CORE, GROUPS, Chosen
from estimators._quantizer import Quantizer
from estimators._space import point
from estimators._spec import Spec, nearest, options, split_list

__all__ = [
    "CORE", "GROUPS", "Categorical", "Choice", "Chosen", "Code", "Draw", "Estimate", "Estimator", "Latent", "Patches",
    "Posterior", "Problem", "Quantizer", "Range", "Relaxation", "Scalar", "Space", "Spec", "arguments", "available",
    "chosen", "load", "members", "nearest", "one_hot", "options", "parse", "point", "space", "split_list",
]  # fmt: skip


@functools.cache
def available() -> dict[str, type[Estimator]]:
    """Every estimator by its command-line name: the modules of this package, then installed plug-ins
    (entry-point group `bench.estimators`). A plug-in that fails to import is a warning."""
    found: dict[str, type[Estimator]] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            found[module.name] = _only_estimator(module.name)
    for entry in entry_points(group="bench.estimators"):
        if entry.name in found or entry.name in GROUPS:
            warnings.warn(f"plug-in estimator {entry.name} ({entry.value}): the name is taken", stacklevel=2)
            continue
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            warnings.warn(f"plug-in estimator {entry.name} ({entry.value}) does not import: {error}", stacklevel=2)
    return found


def _only_estimator(name: str) -> type[Estimator]:
    module = importlib.import_module(f"{__name__}.{name}")
    defined = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Estimator) and thing.__module__ == module.__name__
    ]
    assert len(defined) == 1, f"estimators/{name}.py must define one Estimator, found {defined}"
    return defined[0]


Preset = Mapping[str, Mapping[str, object]]
"""Arguments by estimator name that replace constructor defaults, as a preset file gives them."""


def parse(text: str, preset: Preset | None = None) -> Spec:
    """`name:key=value,...` -> Spec. Raises ValueError with the nearest valid name or argument."""
    return _spec.parse(text, available(), lambda name: (preset or {}).get(name, {}))


def arguments(spec: Spec, preset: Preset | None = None) -> dict[str, object]:
    """Every constructor argument of a spec: defaults, overlaid by the preset, overlaid by what was typed."""
    cls = available()[spec.name]
    defaults = {key: option.default for key, option in _spec.options(cls).items()}
    return defaults | _spec.typed(spec.name, cls, (preset or {}).get(spec.name, {})) | dict(spec.arguments)


def members(group: str) -> list[str]:
    """The estimators that a group of GROUPS stands for."""
    return _groups.members(group, available())


def chosen(entries: Iterable[str], preset: Preset | None = None) -> list[Chosen]:
    """Lists of estimators and groups, as `core,daps:k=16`, spelled out: each estimator once.

    Raises ValueError with the nearest valid name or argument.
    """
    return _groups.chosen(entries, available(), lambda name: (preset or {}).get(name, {}))


def space(name: str) -> Space:
    """What tuning may set of the estimator of that name, by argument.

    Raises ValueError for a declared space that no trial could be drawn from.
    """
    return _space.space(name, available()[name])


def load(text: str, latent: Latent, preset: Preset | None = None) -> Estimator:
    """Construct an estimator: load("fsq:levels=8,8,8", Latent(64, 512, 128)).

    Raises ValueError if the arguments do not fit each other or the latent.
    """
    spec = parse(text, preset)
    return available()[spec.name](latent, **arguments(spec, preset))  # type: ignore[call-arg]
