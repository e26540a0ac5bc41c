"""The settings that an ablation tried, and what they are called: enough to tell them apart, and no more."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import estimators as registry
from bench.config import RunConfig
from bench.pages._sweep import Run
from bench.records.study import Origin, setting_key
from bench.text import plain

_NOT_KNOBS = ("estimator", "arguments", "posterior", "dataset", "fingerprint", "preset", "seed", "device", "metrics")


@dataclass(frozen=True)
class Setting:
    """One value for every knob: the runs that differ in nothing but their seed."""

    label: str
    """Tells it from the others of its condition and posterior."""
    estimator: str
    """Name alone."""
    posterior: str
    place: tuple[str, str]
    """Dataset and preset."""
    condition: str
    """Empty if there is only one."""
    families: tuple[str, ...]
    """What a reader compares first: rules, estimators, cases. A setting that several cases share has several."""
    config: Mapping[str, Any]
    """Resolved settings and arguments by name."""
    axes: Mapping[str, tuple[tuple[str, ...], ...]]
    """By family, the keys that were varied, those that go together in one."""
    runs: tuple[Run, ...]

    def goes_with(self, knob: str, family: str) -> set[str]:
        """Keys that vary together with a knob."""
        return {key for axis in self.axes[family] if knob in axis for key in axis}

    def leads(self, knob: str, family: str) -> bool:
        """Whether others go with the knob, or nothing does, rather than it with another."""
        return all(axis[0] == knob for axis in self.axes[family] if knob in axis)


def shown(value: object) -> str:
    """As it would be typed."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int | float):
        return plain(float(f"{value:.4g}") if isinstance(value, float) else value)
    return ",".join(map(shown, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class _Draft:
    """A setting before it has a name."""

    runs: list[Run]
    origins: list[Origin]
    condition: str
    estimator: str
    config: dict[str, Any]

    @property
    def posterior(self) -> str:
        return self.runs[0].posterior


def named(found: Sequence[tuple[list[Run], list[Origin]]]) -> "tuple[list[Setting], Names]":
    places = {run.setting for runs, _ in found for run in runs}
    likelihoods = {run.config.get("likelihood") for runs, _ in found for run in runs}
    drafts = [
        _Draft(
            runs=sorted(runs, key=lambda run: (run.seed is None, run.seed)),
            origins=origins,
            condition=_condition(runs[0], origins, len(places) > 1, len(likelihoods) > 1),
            estimator=runs[0].estimator.partition(":")[0],
            config={**{k: v for k, v in runs[0].config.items() if k not in _NOT_KNOBS}, **runs[0].config["arguments"]},
        )
        for runs, origins in found
    ]
    names = Names(drafts)
    labels = names.unique_labels()
    settings = [
        Setting(
            label=label,
            estimator=draft.estimator,
            posterior=draft.posterior,
            place=draft.runs[0].setting,
            condition=draft.condition,
            families=tuple(names.families(draft)),
            config=draft.config,
            axes=names.axes(draft),
            runs=tuple(draft.runs),
        )
        for draft, label in zip(drafts, labels, strict=True)
    ]
    return settings, names


def _condition(run: Run, origins: list[Origin], several_places: bool, several_likelihoods: bool) -> str:
    """PSNR and ELBO of different data or likelihoods are never compared, even if nobody called these conditions."""
    named = origins[0]["condition"] if origins else ""
    likelihood = f"{run.config.get('likelihood')} likelihood" if several_likelihoods and not origins else ""
    return ", ".join(part for part in ((", ".join(run.setting) if several_places else ""), named, likelihood) if part)


class Names:
    """What settings are called: enough to tell them apart, and no more."""

    def __init__(self, drafts: list[_Draft]) -> None:
        self.drafts = drafts
        self.estimators = {draft.estimator for draft in drafts}
        self.posteriors = {draft.posterior for draft in drafts}
        self.defaults = {name: _defaults(name) for name in self.estimators}
        groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for draft in drafts:
            groups[draft.condition, draft.estimator].append(draft.config)
        self.knobs = list(dict.fromkeys(key for group in groups.values() for key in _varying(group)))
        self.planned = {key for d in drafts for origin in d.origins for axis in origin["axes"] for key in axis}
        self.words = [key for key in self.knobs if self._has(key, str | list)]
        self.flags = [key for key in self.knobs if self._has(key, bool)]

    def _has(self, knob: str, kind: Any) -> bool:
        return any(isinstance(draft.config.get(knob), kind) for draft in self.drafts)

    @property
    def noun(self) -> str:
        """What a family is."""
        if len(self.estimators) > 1:
            return "estimator"
        return self.words[0].replace("_", " ") if len(self.words) == 1 else "case"

    def axes(self, draft: _Draft) -> dict[str, tuple[tuple[str, ...], ...]]:
        found: dict[str, tuple[tuple[str, ...], ...]] = {}
        for origin in draft.origins or [{"case": "", "axes": []}]:
            family = self._family(draft, origin["case"])
            found[family] = (*found.get(family, ()), *(tuple(axis) for axis in origin["axes"]))
        return found

    def families(self, draft: _Draft) -> list[str]:
        return list(self.axes(draft))

    def _family(self, draft: _Draft, case: str) -> str:
        words = [
            draft.config[key] if len(self.words) == 1 else f"{key}={shown(draft.config[key])}"
            for key in self.words
            if draft.config.get(key) is not None
        ]
        flags = [self._pair(draft, key) for key in self.flags if self._is_unusual(draft, key)]
        parts = [
            draft.estimator if len(self.estimators) > 1 else "",
            *map(shown, words),
            *(flag.removesuffix("=true") for flag in flags),
            case,
            draft.posterior if len(self.posteriors) > 1 else "",
        ]
        return ", ".join(part for part in parts if part) or draft.estimator

    def label(self, draft: _Draft) -> str:
        if not draft.origins:
            arguments = set(draft.runs[0].config["arguments"])
            rest = [self._pair(draft, key) for key in self.knobs if key not in arguments]
            return ", ".join([draft.runs[0].estimator, *rest])
        keys = dict.fromkeys(key for origin in draft.origins for axis in origin["axes"] for key in axis)
        others = [key for key in self.knobs if key not in self.planned and self._is_unusual(draft, key)]
        pairs = ", ".join(self._pair(draft, key) for key in (*keys, *others))
        if len(self.estimators) == 1:
            return pairs or draft.runs[0].estimator
        return f"{draft.estimator}: {pairs}" if pairs else draft.estimator

    def unique_labels(self) -> list[str]:
        labels = [self.label(draft) for draft in self.drafts]
        for rest in (self._all_knobs, lambda draft: [setting_key(draft.runs[0].config)[:6]]):
            keys = [(d.condition, d.posterior, label) for d, label in zip(self.drafts, labels, strict=True)]
            twins = {key for key, count in Counter(keys).items() if count > 1}
            labels = [
                ", ".join(dict.fromkeys([*label.split(", "), *rest(draft)])) if key in twins else label
                for draft, label, key in zip(self.drafts, labels, keys, strict=True)
            ]
        return labels

    def _all_knobs(self, draft: _Draft) -> list[str]:
        return [self._pair(draft, key) for key in self.knobs if draft.config.get(key) is not None]

    def _pair(self, draft: _Draft, key: str) -> str:
        return f"{key}={shown(draft.config.get(key))}"

    def _is_unusual(self, draft: _Draft, key: str) -> bool:
        return key in draft.config and draft.config[key] != self.defaults[draft.estimator].get(key)


def _defaults(estimator: str) -> dict[str, Any]:
    """Of its arguments; none if it is a plug-in that is not installed here."""
    cls = registry.available().get(estimator)
    return {key: option.default for key, option in registry.options(cls).items()} if cls else {}


def _varying(group: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for values in group for key in values)
    # settings of a run first: they are the coarser knobs
    ordered = sorted(keys, key=lambda key: key not in RunConfig.model_fields)
    return [key for key in ordered if len({json.dumps(values.get(key)) for values in group}) > 1]
