"""What is searched for one estimator, and the points of its trials."""

import math
import warnings
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scipy.stats import qmc

import estimators
from bench.config import RunConfig
from bench.text import plain, typed
from estimators import Choice, Range, Space

SHARED = {"lr": 10.0, "beta": math.sqrt(10)}
"""Settings of a run that are searched for every estimator that has a use for them, so many times up and down from the
preset's value. Of the KL's weight only the start: beta_end is the operating point at which estimators are compared."""


@dataclass(frozen=True)
class Knobs:
    """Of one estimator under one preset."""

    settings: Space
    """Of a run: the same for all estimators, but for what means nothing to one."""
    arguments: Space
    """Of the estimator."""

    @property
    def words(self) -> dict[str, str]:
        return in_words({**self.arguments, **self.settings})


def knobs(estimator: str, default: RunConfig, fixed: Collection[str]) -> Knobs:
    """What tuning may set. `default` is its run with the preset's own values; `fixed` are settings that were given, and
    arguments that stand in `estimator` are given too.

    Raises ValueError if that leaves nothing, or for a plug-in whose space nothing can be drawn from.
    """
    spec = estimators.parse(estimator)
    # a quantizer has no KL to weigh
    useless = set() if estimators.available()[spec.name].has_elbo and default.beta > 0 else {"beta"}
    settings = {
        key: Range(getattr(default, key) / factor, getattr(default, key) * factor)
        for key, factor in SHARED.items()
        if key not in {*fixed, *useless}
    }
    given = {piece.partition("=")[0].strip() for piece in estimator.partition(":")[2].split(",")}
    arguments = {key: one for key, one in estimators.space(spec.name).items() if key not in given}
    if not settings and not arguments:
        raise ValueError(f"{estimator} has nothing left to tune; leave out --set {', '.join(fixed)}, or {estimator}")
    return Knobs(settings, arguments)


def points(name: str, found: Knobs, count: int) -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    """The first `count` points of the scrambled Sobol sequence of an estimator's name: arguments and settings.

    More points begin with the fewer, and no other estimator changes them. Variants of one estimator share them.
    """
    size = len(found.settings) + len(found.arguments)
    seed = zlib.crc32(name.encode())
    with warnings.catch_warnings():
        # any number of trials is a beginning of the sequence; balance is for powers of two
        warnings.simplefilter("ignore", UserWarning)
        cube = qmc.Sobol(size, scramble=True, rng=seed).random(count) if count else []
    for place in cube:
        shared, own = place[: len(found.settings)], place[len(found.settings) :]
        yield estimators.point(found.arguments, list(own)), estimators.point(found.settings, list(shared))


def in_words(space: Space) -> dict[str, str]:
    """For people, by knob."""
    return {key: _words(searched) for key, searched in space.items()}


def _words(searched: Range | Choice) -> str:
    if isinstance(searched, Choice):
        return " or ".join(map(typed, searched.values))
    whole, log = ("whole numbers, " if searched.whole else ""), "log" if searched.log else "linear"
    return f"{plain(searched.low)} to {plain(searched.high)} ({whole}{log})"
