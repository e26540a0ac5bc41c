"""A sweep's folder as an ablation: its settings, what they are called, and a comparison under each condition."""

import functools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.machine.files import digest_of, read_json
from bench.records._rows import Table, tidy
from bench.records.folder import BASELINE
from bench.records.methods import Method, Run, chosen, read_runs, varying
from bench.records.sweep import Comparison, Sweep, compare
from bench.records.table import load
from bench.text import natural, typed

FILE = "ablation.json"
"""In the folder of a sweep: which ablation made it."""
NOT_SETTINGS = ("seed", "device", "dataset", "fingerprint", "metrics", "final_split")
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
_NOT_KNOBS = (*NOT_SETTINGS, "estimator", "arguments", "posterior", "preset")

Origin = dict[str, Any]
"""Where in the ablation a setting comes from: `case` and `condition` as a reader calls them, and `axes`, the keys
that were varied, those in one list together."""


@dataclass(frozen=True)
class Setting:
    """One value for every knob: the runs that differ in nothing but their seed."""

    runs: list[Run]
    origins: list[Origin]
    condition: str
    label: str = ""
    """Tells it from the others of its condition and posterior."""
    axes: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """By family, the keys that were varied, those that go together in one."""

    @property
    def families(self) -> tuple[str, ...]:
        """What a reader compares first: rules, estimators, cases. A setting that several cases share has several."""
        return tuple(self.axes)

    @property
    def estimator(self) -> str:
        """Name alone."""
        return self.runs[0].estimator.partition(":")[0]

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """Resolved settings and arguments by name."""
        resolved = chosen(self.runs[0].config)
        return {**{key: value for key, value in resolved.items() if key not in _NOT_KNOBS}, **resolved["arguments"]}

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
        means = last.pivot_table("value", "method", "metric")
        return {int(index): row.dropna().to_dict() for index, row in means.iterrows()}


@dataclass(frozen=True, eq=False)
class Study(Sweep):
    """A sweep whose comparisons are conditions."""

    comparisons: Sequence[Condition]
    name: str = ""
    about: str = ""
    knobs: Sequence[str] = ()
    """What varies within a condition and an estimator."""
    noun: str = ""
    """What a family is: rule, estimator, case."""
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Settings that were impossible, by the reason."""
    all_runs: Sequence[Run] = ()

    @property
    def conditions(self) -> Sequence[Condition]:
        return self.comparisons

    @property
    def runs(self) -> list[Run]:
        """Without the baseline; also those that never started, and belong to no setting."""
        return [run for run in self.all_runs if not run.is_baseline]

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
    decisive = {key: value for key, value in chosen(config).items() if key not in NOT_SETTINGS}
    return digest_of(decisive)


def read_study(folder: Path, rows: Table = None) -> Study:
    """The ablation in a folder; of any sweep, what varies in it. `rows`: as for `bench.records.read`.

    Raises ValueError if `folder` is not one that `bench run` or `bench ablate` made, or nothing in it has ended.
    """
    rows = load(folder) if rows is None else rows
    runs = read_runs(folder)
    if not any(run.state in ENDED and run.config for run in runs):
        raise ValueError(f"no run in {folder} has come to its end yet; the command that made it goes on from there")
    return study(folder, rows, runs)


def study(folder: Path, rows: Table, runs: Sequence[Run]) -> Study:
    """The same of what was read: the rows of `load`, and all runs, some of which have ended."""
    record = read_json(folder / FILE)
    started = [run for run in runs if "arguments" in run.config and not run.is_baseline]
    # what somebody trained into the folder besides, to read it on test images, says nothing about which setting to take
    choosing = [run for run in started if run.config.get("final_split") == "validation"]
    started = choosing or started
    grouped: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in started:
        grouped[*run.place, setting_key(run.config)].append(run)
    origins = record.get("settings", {})
    # in the order of the ablation, which put its rules and their values into one
    order = {key: place for place, key in enumerate(origins)}
    keys = sorted(grouped, key=lambda key: (order.get(key[-1], len(order)), natural(grouped[key][0].estimator), key))
    names = _Names(_settings([(grouped[key], origins.get(key[-1], [])) for key in keys]))
    baselines = [run for run in runs if run.is_baseline]
    terms = rows[rows["metric"].isin([*TERMS, *ESS_QUANTILES])].astype({"run": str, "metric": str, "value": float})
    return Study(
        path=folder,
        comparisons=_conditions(tidy(rows), terms, names.given(), baselines),
        name=str(record.get("name") or folder.resolve().name),
        about=str(record.get("about", "")),
        knobs=names.knobs,
        noun=str(record.get("noun") or names.noun),
        left_out=record.get("left_out", {}),
        all_runs=runs,
    )


def _settings(found: Sequence[tuple[list[Run], list[Origin]]]) -> list[Setting]:
    """PSNR and ELBO of different data or likelihoods are never compared, even if nobody called these conditions."""
    places = {runs[0].place for runs, _ in found}
    likelihoods = {runs[0].config.get("likelihood") for runs, _ in found}
    settings = []
    for runs, origins in found:
        place = ", ".join(runs[0].place) if len(places) > 1 else ""
        likelihood = f"{runs[0].config.get('likelihood')} likelihood" if len(likelihoods) > 1 else ""
        parts = (place, origins[0]["condition"] if origins else likelihood)
        settings.append(Setting(runs, origins, ", ".join(part for part in parts if part)))
    return settings


def _conditions(frame: Table, terms: Table, settings: Sequence[Setting], baselines: Sequence[Run]) -> list[Condition]:
    conditions = []
    for name in dict.fromkeys(setting.condition for setting in settings):
        mine = [setting for setting in settings if setting.condition == name]
        place = mine[0].runs[0].place
        grouped = {Method(s.runs[0].estimator, s.runs[0].posterior, s.label, title=s.label): s.runs for s in mine}
        grouped |= {Method(BASELINE, "none"): [run] for run in baselines if run.place == place}
        made = compare(frame, grouped, *place, name, order=list)
        index = {run.name: i for i, runs in made.runs.items() for run in runs if run.state != "diverged"}
        own = terms[terms["run"].isin(index)]
        parts = (made.dataset, made.preset, made.methods, made.runs, made.frame, name)
        conditions.append(Condition(*parts, mine, own.assign(method=own["run"].map(index))))
    return conditions


class _Names:
    """What settings are called: enough to tell them apart, and no more."""

    def __init__(self, settings: list[Setting]) -> None:
        self.settings = settings
        self.estimators = {setting.estimator for setting in settings}
        self.posteriors = {setting.runs[0].posterior for setting in settings}
        self.defaults = {name: _defaults(name) for name in self.estimators}
        groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for setting in settings:
            groups[setting.condition, setting.estimator].append(setting.config)
        # settings of a run come before arguments in every config: they are the coarser knobs
        self.knobs = list(dict.fromkeys(key for group in groups.values() for key in varying(group)))
        self.planned = {key for s in settings for origin in s.origins for axis in origin["axes"] for key in axis}
        kinds = {key: {type(setting.config.get(key)) for setting in settings} for key in self.knobs}
        self.words = [key for key, found in kinds.items() if found & {str, list}]
        self.flags = [key for key, found in kinds.items() if bool in found]

    @property
    def noun(self) -> str:
        """What a family is."""
        if len(self.estimators) > 1:
            return "estimator"
        return self.words[0].replace("_", " ") if len(self.words) == 1 else "case"

    def _axes(self, setting: Setting) -> dict[str, tuple[tuple[str, ...], ...]]:
        found: dict[str, tuple[tuple[str, ...], ...]] = {}
        for origin in setting.origins or [{"case": "", "axes": []}]:
            family = self._family(setting, origin["case"])
            found[family] = (*found.get(family, ()), *(tuple(axis) for axis in origin["axes"]))
        return found

    def _family(self, setting: Setting, case: str) -> str:
        words = [
            setting.config[key] if len(self.words) == 1 else _pair(setting, key)
            for key in self.words
            if setting.config.get(key) is not None
        ]
        parts = [
            setting.estimator if len(self.estimators) > 1 else "",
            *map(typed, words),
            *(_pair(setting, key).removesuffix("=true") for key in self.flags if self._is_unusual(setting, key)),
            case,
            setting.runs[0].posterior if len(self.posteriors) > 1 else "",
        ]
        return ", ".join(part for part in parts if part) or setting.estimator

    def _label(self, setting: Setting) -> str:
        if not setting.origins:
            arguments = set(setting.runs[0].config["arguments"])
            rest = [_pair(setting, key) for key in self.knobs if key not in arguments]
            return ", ".join([setting.runs[0].estimator, *rest])
        keys = dict.fromkeys(key for origin in setting.origins for axis in origin["axes"] for key in axis)
        others = [key for key in self.knobs if key not in self.planned and self._is_unusual(setting, key)]
        pairs = ", ".join(_pair(setting, key) for key in (*keys, *others))
        if len(self.estimators) == 1:
            return pairs or setting.runs[0].estimator
        return f"{setting.estimator}: {pairs}" if pairs else setting.estimator

    def given(self) -> list[Setting]:
        """The settings with their labels, which are unique, and their families."""
        labels = [self._label(setting) for setting in self.settings]
        knobs = [[_pair(s, key) for key in self.knobs if s.config.get(key) is not None] for s in self.settings]
        digests = [[setting_key(setting.runs[0].config)[:6]] for setting in self.settings]
        for rests in (knobs, digests):
            keys = [(s.condition, s.runs[0].posterior, label) for s, label in zip(self.settings, labels, strict=True)]
            twins = {key for key, count in Counter(keys).items() if count > 1}
            labels = [
                ", ".join(dict.fromkeys([*label.split(", "), *rest])) if key in twins else label
                for rest, label, key in zip(rests, labels, keys, strict=True)
            ]
        named = zip(self.settings, labels, strict=True)
        return [replace(setting, label=label, axes=self._axes(setting)) for setting, label in named]

    def _is_unusual(self, setting: Setting, key: str) -> bool:
        return key in setting.config and setting.config[key] != self.defaults[setting.estimator].get(key)


def _pair(setting: Setting, key: str) -> str:
    return f"{key}={typed(setting.config.get(key))}"


def _defaults(estimator: str) -> dict[str, Any]:
    """Of its arguments; none if it is a plug-in that is not installed here."""
    import estimators

    cls = estimators.available().get(estimator)
    return {key: option.default for key, option in estimators.options(cls).items()} if cls else {}
