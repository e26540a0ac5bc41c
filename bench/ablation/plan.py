"""From an ablation to the runs of a sweep, on one dataset with one preset."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.ablation.ablations import Ablation, is_argument
from bench.ablation.cases import Case, is_multiple, multiplied
from bench.config import Posterior, Preset, RunConfig, parse_settings, resolve
from bench.machine.files import read_json, write_json
from bench.records.study import FILE, Origin, setting_key
from bench.sweeps.plan import Variant, check_parts


@dataclass(frozen=True)
class Plan:
    """The kinds of runs of an ablation, each once."""

    ablation: Ablation
    variants: list[Variant] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Settings of a shipped ablation that are impossible here, by the reason."""
    origins: dict[str, list[Origin]] = field(default_factory=dict)
    """By `setting_key`."""

    def add(self, variant: Variant, key: str, origin: Origin) -> None:
        """One more setting, or one more place that a setting comes from."""
        origins = self.origins.setdefault(key, [])
        if not origins:
            self.variants.append(variant)
        if origin not in origins:
            origins.append(origin)

    def write_record(self, folder: Path) -> None:
        """Note in a sweep's folder what its runs are for, besides what is noted there already."""
        old = read_json(folder / FILE)
        settings = {**old.get("settings", {})}
        for key, origins in self.origins.items():
            settings[key] = [*origins, *(origin for origin in settings.get(key, []) if origin not in origins)]
        content = {
            "name": self.ablation.name,
            "about": self.ablation.about,
            "noun": self.ablation.noun,
            "left_out": {**old.get("left_out", {}), **self.left_out},
            "settings": settings,
        }
        write_json(folder / FILE, content)


def expand(
    ablation: Ablation,
    *,
    posteriors: Sequence[Posterior],
    preset: Preset,
    dataset: str,
    shape: tuple[int, int, int],
    settings: Mapping[str, object],
    budget: str = "",
) -> Plan:
    """Every setting once, resolved and built to see that its parts fit; `budget` is what all their steps follow from.

    `settings` replace the preset's, and are what multiples are multiples of. Raises ValueError for a setting that does
    not fit, if it was asked for on the command line, or a value from there fits nowhere. Those of a shipped ablation
    are left out with the reason, such as an effective sample size that so few samples cannot have. Some must be left.
    """
    plan = Plan(ablation)
    # of keys and values that were typed: those of some possible setting, and what was wrong first with those of others
    possible: set[tuple[str, str]] = set()
    problems: dict[tuple[str, str], str] = {}
    of_dataset = {"dataset": dataset, "fingerprint": "", "shape": shape}
    resolved = functools.partial(resolve, preset=preset, seed=0, device="cpu", metrics=(), budget=budget, **of_dataset)
    for posterior, estimator in itertools.product(posteriors, ablation.estimators):
        base = resolved(estimator=estimator, posterior=posterior, overrides=settings)
        for condition, case, outer, inner in _settings(ablation, estimator):
            values = {**outer, **inner}
            given = {key: _resolved(key, value, base, settings) for key, value in values.items()}
            variant = _variant(estimator, posterior, given, settings)
            axes = [*condition.axes, *case.axes]
            typed = [(key, values[key]) for axis in axes if axis.typed for key in axis.keys]
            try:
                config = resolved(**variant.words)
                check_parts(config, shape)
            except ValueError as error:
                words = _joined(estimator.partition(":")[0], given) if given else estimator
                problem = f"the setting {words} is impossible: {error}"
                if axes and all(axis.typed for axis in axes):
                    raise ValueError(problem) from None
                for one in typed:
                    problems.setdefault(one, problem)
                plan.left_out.setdefault(str(error), []).append(words)
                continue
            possible.update(typed)
            keys = [list(axis.keys) for axis in case.axes]
            origin = {"case": case.name, "condition": _condition(condition, outer, given), "axes": keys}
            plan.add(variant, setting_key(config.model_dump(mode="json")), origin)
    for one, problem in problems.items():
        if one not in possible:
            raise ValueError(problem)
    if not plan.variants:
        raise ValueError(f"none of the settings of ablation {ablation.name} is possible: {next(iter(plan.left_out))}")
    return plan


def _settings(ablation: Ablation, estimator: str) -> Iterator[tuple[Case, Case, dict[str, str], dict[str, str]]]:
    """Every condition and case of the estimator, with each of their values."""
    for condition, case in ablation.cases_of(estimator):
        for outer, inner in itertools.product(condition.points(), case.points()):
            yield condition, case, outer, inner


def _resolved(key: str, value: str, base: RunConfig, fixed: Mapping[str, object]) -> str:
    """`value`, or what it is a multiple of times it."""
    if not is_multiple(value):
        if key in fixed:
            raise ValueError(f"{key} is both set to {fixed[key]} and varied; leave out one of the two")
        return value
    own = base.arguments[key] if key in base.arguments else getattr(base, key)
    if isinstance(own, bool) or not isinstance(own, int | float):
        raise ValueError(f"{key}={value}: {key} is {str(own).lower()} here, which has no multiples; try {key}=1,2,4")
    return multiplied(value, own, whole=isinstance(own, int))


def _variant(estimator: str, posterior: Posterior, given: Mapping[str, str], settings: Mapping[str, object]) -> Variant:
    arguments = {key: value for key, value in given.items() if is_argument(estimator, key)}
    of_run = parse_settings([f"{key}={value}" for key, value in given.items() if key not in arguments])
    return Variant(_joined(estimator, arguments), posterior, {**settings, **of_run})


def _joined(estimator: str, arguments: Mapping[str, str]) -> str:
    """The estimator with more arguments, as it would be typed."""
    if not arguments:
        return estimator
    added = ",".join(f"{key}={value}" for key, value in arguments.items())
    return f"{estimator}{',' if ':' in estimator else ':'}{added}"


def _condition(condition: Case, outer: Mapping[str, str], given: Mapping[str, str]) -> str:
    """The name of a condition, with its values where it has several."""
    listed = [key for axis in condition.axes if len(axis.points) > 1 or not condition.name for key in axis.keys]
    values = ", ".join(f"{key}={given[key]}" for key in outer if key in listed)
    return ", ".join(part for part in (condition.name, values) if part)
