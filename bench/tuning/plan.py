"""From estimators to the trials of a sweep, and from finished trials to the runs that confirm the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import estimators
from bench.config import Posterior, Preset, RunConfig, Settings, resolve
from bench.machine.files import read_json, write_json
from bench.metrics.catalogue import METRICS, find
from bench.records.tuning import FILE, SEED, Tuning, run_key
from bench.sweeps.plan import Variant, problem
from bench.text import nearest, typed
from bench.tuning.space import Knobs, knobs, points
from estimators import Chosen

NEEDS_ELBO = ("elbo", "beta_elbo")
CHOOSES = ("image", "code")
"""Kinds of metrics that something can be chosen by."""


@dataclass(frozen=True)
class Trials:
    """Of one estimator and posterior, the first is the default."""

    estimator: str
    """Canonical."""
    text: str
    """As it was asked for: what was typed is held, also at a default."""
    posterior: Posterior
    knobs: Knobs
    values: Sequence[tuple[Mapping[str, object], Mapping[str, object]]]
    """Arguments and settings of each."""
    variants: Sequence[Variant]


@dataclass(frozen=True)
class Plan:
    searches: Sequence[Trials]
    base: Mapping[str, Any]
    """What the trials are trials of: dataset, preset with its settings and rules, budget, metric."""

    @property
    def variants(self) -> list[Variant]:
        return [variant for search in self.searches for variant in search.variants]

    def write_record(self, folder: Path, firsts: Sequence[RunConfig], *, fresh: bool) -> None:
        """Note in a sweep's folder what `record` gives."""
        write_json(folder / FILE, self.record(folder, firsts, fresh=fresh))

    def record(self, folder: Path, firsts: Sequence[RunConfig], *, fresh: bool) -> dict[str, Any]:
        """Which runs are which trials, besides what is noted in the folder already. `firsts` are the runs that were
        planned, by variant.

        Raises ValueError if the folder holds trials of something else, unless `fresh` forgets those.
        """
        old = read_json(folder / FILE)
        other = [key for key, value in self.base.items() if key != "metric" and old.get(key, value) != value]
        if other and not fresh:
            raise ValueError(f"{folder} holds another search: {', '.join(other)} not the same; try another --out")
        old = {} if other else old
        searches = {(one["estimator"], one["posterior"]): one for one in old.get("searches", [])}
        runs = iter(firsts)
        for search in self.searches:
            made = [
                {"arguments": dict(own), "set": dict(shared), "key": run_key(next(runs).model_dump(mode="json"))}
                for own, shared in search.values
            ]
            key = search.estimator, search.posterior
            before = [] if fresh else searches.get(key, {}).get("trials", [])
            if any(one["key"] != other["key"] for one, other in zip(made, before, strict=False)):
                raise ValueError(
                    f"{folder} holds other trials of {search.estimator}, {search.posterior}: its space, the metrics or "
                    "the device were not the same; try another --out"
                )
            searches[key] = {
                "estimator": search.estimator,
                "posterior": search.posterior,
                "space": search.knobs.words,
                "trials": max(made, before, key=len),
            }
        return {**self.base, "searches": list(searches.values())}


def check_metric(name: str, measured: Sequence[str], absent: Mapping[str, str]) -> str:
    """Its name in the catalogue. `measured` are the image metrics of the runs, `absent` those that cannot be had here.

    Raises ValueError for one that is unknown, has no better end, or is not measured.
    """
    metric = find(name)
    if not metric.better or metric.kind not in CHOOSES:
        valid = [one.name for one in METRICS.values() if one.better and one.kind in CHOOSES]
        raise ValueError(f"--metric {name}: no trial is better by that; {nearest(name, valid)}")
    if metric.kind == "image" and (name in absent or name not in measured):
        reason = absent.get(name, f"--metrics leaves it out; try --metrics {','.join([*measured, name])}")
        raise ValueError(f"--metric {name} is not measured here: {reason}")
    return name


def plan(
    chosen: Sequence[tuple[Posterior, Chosen]],
    trials: int,
    *,
    metric: str,
    preset: Preset,
    dataset: str,
    shape: tuple[int, int, int],
    settings: Mapping[str, object],
    budget: str,
) -> Plan:
    """The trials of each estimator: the preset's own values, and `trials` - 1 points of its space.

    `settings` replace the preset's and are not searched. An estimator that is impossible here has its default alone,
    which is refused or skipped as in any sweep. Raises ValueError for what does not fit.
    """
    searches = []
    for posterior, one in chosen:
        default = Variant(one.text, posterior, settings, optional=bool(one.group))
        config = resolve(
            **default.words, preset=preset, seed=SEED, device="cpu", dataset=dataset, fingerprint="", shape=shape,
            metrics=(),
        )  # fmt: skip
        if metric in NEEDS_ELBO and not estimators.available()[config.estimator.partition(":")[0]].has_elbo:
            raise ValueError(f"--metric {metric}: {config.estimator} has none; choose by another, or leave it out")
        found = knobs(one.text, config, settings)
        now = (
            {key: config.arguments[key] for key in found.arguments},
            {key: getattr(config, key) for key in found.settings},
        )
        count = 0 if problem(config, shape) else trials - 1
        drawn = list(points(config.estimator.partition(":")[0], found, count))
        variants = [default, *(_variant(one.text, posterior, settings, *point) for point in drawn)]
        searches.append(Trials(config.estimator, one.text, posterior, found, [now, *drawn], variants))
    base = {
        "metric": metric,
        "dataset": dataset,
        "preset": preset.name,
        "family": preset.family,
        "budget": budget,
        "seeds": preset.seeds,
        "settings": _as_json({**preset.settings, **settings, "eval_beta": _eval_beta(preset, settings)}),
        # what was typed beats rules, also where it has become the preset's own
        "rules": [{**rule, "set": _without(rule.get("set", {}), settings)} for rule in preset.rules],
    }
    return Plan(searches, base)


def _variant(
    estimator: str,
    posterior: Posterior,
    settings: Mapping[str, object],
    arguments: Mapping[str, object],
    shared: Mapping[str, object],
) -> Variant:
    """Optional: a point that turns out to be impossible is a trial that is skipped with the reason."""
    return Variant(_joined(estimator, arguments), posterior, {**settings, **shared}, optional=True)


def _joined(estimator: str, arguments: Mapping[str, object]) -> str:
    added = ",".join(f"{key}={typed(value)}" for key, value in arguments.items())
    return f"{estimator}{',' if ':' in estimator else ':'}{added}" if added else estimator


def _eval_beta(preset: Preset, settings: Mapping[str, object]) -> object:
    """As `resolve` fills it."""
    found = settings.get("eval_beta", preset.settings.get("eval_beta"))
    return preset.settings["beta_end"] if found is None else found


def _without(given: Mapping[str, object], others: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in given.items() if key not in others}


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same, whether they stood in a file or were typed."""
    whole = Settings(**{**settings, "length": settings["length"] or 1}).model_dump(mode="json")
    return {key: whole[key] if settings[key] is not None else None for key in settings}


def confirmations(tuning: Tuning, wanted: Sequence[Trials], settings: Mapping[str, object]) -> list[Variant]:
    """The default and the best trial of every search that this command asked for and that has a best."""
    found = {(search.estimator, search.posterior): search.best for search in tuning.searches}
    variants = []
    for one in wanted:
        if best := found[one.estimator, one.posterior]:
            variants.append(one.variants[0])
            if best.number:
                variants.append(_variant(one.text, one.posterior, settings, best.arguments, best.settings))
    return variants
