"""A sweep's folder as an ablation: its settings, what they are called, and a comparison under each condition."""

import functools
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine.files import read_json
from bench.records._rows import Table, tidy
from bench.records.folder import BASELINE
from bench.records.methods import Method, Run, read_runs, varying
from bench.records.sweep import Comparison, compare
from bench.records.table import load
from bench.text import natural, typed

FILE = "ablation.json"
"""In the folder of a sweep: which ablation made it."""
NOT_SETTINGS = ("seed", "device", "dataset", "fingerprint", "metrics")
"""What tells runs of a setting apart, or is given with the dataset."""
TERMS = {
    "term/eta": "η [nats]",
    "term/ess": "ESS / K",
    "realised_kl": "KL(new ‖ old) of a step [nats]",
    "term/max_weight": "largest weight",
    "term/entropy": "entropy of q [nats]",
}
"""Diagnostics of training, with what they are called."""
ESS_QUANTILES = ("term/ess_p10", "term/ess_p90")
ENDED = ("done", "diverged")
_NOT_KNOBS = ("estimator", "arguments", "posterior", "dataset", "fingerprint", "preset", "seed", "device", "metrics")

Origin = dict[str, Any]
"""Where in the ablation a setting comes from: `case` and `condition` as a reader calls them, and `axes`, the keys
that were varied, those in one list together."""


@dataclass(frozen=True)
class Setting:
    """One value for every knob: the runs that differ in nothing but their seed."""

    label: str
    """Tells it from the others of its condition and posterior."""
    estimator: str
    """Name alone."""
    families: tuple[str, ...]
    """What a reader compares first: rules, estimators, cases. A setting that several cases share has several."""
    config: Mapping[str, Any]
    """Resolved settings and arguments by name."""
    axes: Mapping[str, tuple[tuple[str, ...], ...]]
    """By family, the keys that were varied, those that go together in one."""

    def goes_with(self, knob: str, family: str) -> set[str]:
        """Keys that vary together with a knob."""
        return {key for axis in self.axes[family] if knob in axis for key in axis}

    def leads(self, knob: str, family: str) -> bool:
        """Whether others go with the knob, or nothing does, rather than it with another."""
        return all(axis[0] == knob for axis in self.axes[family] if knob in axis)


@dataclass(frozen=True, eq=False)
class Condition(Comparison):
    """The settings that are compared with each other; method `index` is `settings[index]`. The baseline, last among
    the methods, is no setting."""

    settings: Sequence[Setting] = ()
    terms: Table = None
    """Rows of training: TERMS and ESS_QUANTILES over steps, runs that diverged left out, with `method`."""

    def of_family(self, family: str) -> list[int]:
        return [index for index, setting in enumerate(self.settings) if family in setting.families]

    def term(self, index: int, name: str) -> Table:
        """Mean over seeds by step of one diagnostic: a Series."""
        rows = self.terms[(self.terms["method"] == index) & (self.terms["metric"] == name)]
        return rows.groupby("step")["value"].mean()

    @functools.cached_property
    def last_terms(self) -> dict[int, dict[str, float]]:
        """Diagnostics in the last rows of training by setting, mean over seeds."""
        rows = self.terms[self.terms["metric"].isin(list(TERMS))]
        last = rows[rows["step"] == rows.groupby(["run", "metric"])["step"].transform("max")]
        found: dict[int, dict[str, float]] = defaultdict(dict)
        for (index, name), value in last.groupby(["method", "metric"])["value"].mean().items():
            found[int(index)][str(name)] = float(value)
        return found


@dataclass(frozen=True, eq=False)
class Study:
    path: Path
    name: str
    about: str
    conditions: Sequence[Condition]
    knobs: Sequence[str]
    """What varies within a condition and an estimator."""
    noun: str
    """What a family is: rule, estimator, case."""
    left_out: Mapping[str, Sequence[str]]
    """Settings that were impossible, by the reason."""
    runs: Sequence[Run]
    """Without the baseline; also those that never started, and belong to no setting."""

    @functools.cached_property
    def settings(self) -> list[Setting]:
        """Of all conditions."""
        return [setting for condition in self.conditions for setting in condition.settings]

    @functools.cached_property
    def families(self) -> list[str]:
        return list(dict.fromkeys(family for setting in self.settings for family in setting.families))

    @functools.cached_property
    def metric(self) -> str | None:
        """That ranks."""
        return next((condition.metric for condition in self.conditions if condition.metric), None)

    @functools.cached_property
    def terms(self) -> list[str]:
        """Diagnostics that were recorded, in the order of TERMS."""
        found = {name for condition in self.conditions for name in condition.terms["metric"].unique()}
        return [name for name in TERMS if name in found]

    def numeric(self, knob: str) -> bool:
        values = [value for setting in self.settings if (value := setting.config.get(knob)) is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def setting_key(config: Mapping[str, Any]) -> str:
    """Names what a resolved run is a run of, whatever its seed, device and data."""
    chosen = {key: value for key, value in config.items() if key not in NOT_SETTINGS}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


def read_study(folder: Path) -> Study:
    """Raises ValueError if `folder` is not one that `bench run` or `bench ablate` made, or nothing in it has ended."""
    rows = load(folder)
    everyone = read_runs(folder)
    record = read_json(folder / FILE)
    runs = [run for run in everyone if not run.is_baseline]
    started = [run for run in runs if "arguments" in run.config]
    if not any(run.state in ENDED for run in started):
        raise ValueError(f"no run in {folder} has come to its end yet; the command that made it goes on from there")
    grouped: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in started:
        grouped[*run.place, setting_key(run.config)].append(run)
    origins = record.get("settings", {})
    # in the order of the ablation, which put its rules and their values into one
    order = {key: place for place, key in enumerate(origins)}
    keys = sorted(grouped, key=lambda key: (order.get(key[-1], len(order)), natural(grouped[key][0].estimator), key))
    drafts, names = _drafts([(grouped[key], origins.get(key[-1], [])) for key in keys])
    baselines = {run.place: run for run in everyone if run.is_baseline}
    frame = tidy(rows)
    terms = rows[rows["metric"].isin([*TERMS, *ESS_QUANTILES])].astype({"run": str, "metric": str, "value": float})
    return Study(
        path=folder,
        name=str(record.get("name") or folder.resolve().name),
        about=str(record.get("about", "")),
        conditions=_conditions(frame, terms, drafts, names, baselines),
        knobs=names.knobs,
        noun=str(record.get("noun") or names.noun),
        left_out=record.get("left_out", {}),
        runs=runs,
    )


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


def _conditions(
    frame: Table, terms: Table, drafts: "list[_Draft]", names: "_Names", baselines: Mapping[tuple[str, str], Run]
) -> list[Condition]:
    labels = names.unique_labels()
    found: dict[str, list[tuple[_Draft, str]]] = defaultdict(list)
    for draft, label in zip(drafts, labels, strict=True):
        found[draft.condition].append((draft, label))
    conditions = []
    for condition, mine in found.items():
        place = mine[0][0].runs[0].place
        grouped = {Method(d.runs[0].estimator, d.posterior, label, title=label): d.runs for d, label in mine}
        if place in baselines:
            grouped[Method(BASELINE, "none")] = [baselines[place]]
        made = compare(frame, grouped, *place, condition, order=list)
        settings = [
            Setting(label, draft.estimator, tuple(names.axes(draft)), draft.config, names.axes(draft))
            for draft, label in mine
        ]
        lost = [run.name for run in made.compared if run.state == "diverged"]
        index = {run.name: i for i, runs in made.runs.items() for run in runs}
        own = terms[terms["run"].isin(index) & ~terms["run"].isin(lost)]
        own = own.assign(method=own["run"].map(index))
        parts = (made.dataset, made.preset, made.methods, made.runs, made.frame, condition)
        conditions.append(Condition(*parts, settings, own))
    return conditions


def _drafts(found: Sequence[tuple[list[Run], list[Origin]]]) -> "tuple[list[_Draft], _Names]":
    places = {run.place for runs, _ in found for run in runs}
    likelihoods = {run.config.get("likelihood") for runs, _ in found for run in runs}
    drafts = [
        _Draft(
            runs=runs,
            origins=origins,
            condition=_condition(runs[0], origins, len(places) > 1, len(likelihoods) > 1),
            estimator=runs[0].estimator.partition(":")[0],
            config={**{k: v for k, v in runs[0].config.items() if k not in _NOT_KNOBS}, **runs[0].config["arguments"]},
        )
        for runs, origins in found
    ]
    return drafts, _Names(drafts)


def _condition(run: Run, origins: list[Origin], several_places: bool, several_likelihoods: bool) -> str:
    """PSNR and ELBO of different data or likelihoods are never compared, even if nobody called these conditions."""
    named = origins[0]["condition"] if origins else ""
    likelihood = f"{run.config.get('likelihood')} likelihood" if several_likelihoods and not origins else ""
    return ", ".join(part for part in ((", ".join(run.place) if several_places else ""), named, likelihood) if part)


class _Names:
    """What settings are called: enough to tell them apart, and no more."""

    def __init__(self, drafts: list[_Draft]) -> None:
        self.drafts = drafts
        self.estimators = {draft.estimator for draft in drafts}
        self.posteriors = {draft.posterior for draft in drafts}
        self.defaults = {name: _defaults(name) for name in self.estimators}
        groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for draft in drafts:
            groups[draft.condition, draft.estimator].append(draft.config)
        # settings of a run come before arguments in every config: they are the coarser knobs
        self.knobs = list(dict.fromkeys(key for group in groups.values() for key in varying(group)))
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

    def _family(self, draft: _Draft, case: str) -> str:
        words = [
            draft.config[key] if len(self.words) == 1 else f"{key}={typed(draft.config[key])}"
            for key in self.words
            if draft.config.get(key) is not None
        ]
        flags = [self._pair(draft, key) for key in self.flags if self._is_unusual(draft, key)]
        parts = [
            draft.estimator if len(self.estimators) > 1 else "",
            *map(typed, words),
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
        return f"{key}={typed(draft.config.get(key))}"

    def _is_unusual(self, draft: _Draft, key: str) -> bool:
        return key in draft.config and draft.config[key] != self.defaults[draft.estimator].get(key)


def _defaults(estimator: str) -> dict[str, Any]:
    """Of its arguments; none if it is a plug-in that is not installed here."""
    import estimators

    cls = estimators.available().get(estimator)
    return {key: option.default for key, option in estimators.options(cls).items()} if cls else {}
