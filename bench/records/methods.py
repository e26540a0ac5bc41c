"""What a run is, what a method is, which runs belong to it, and in which order methods are read."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.machine.files import read_json
from bench.records.folder import BASELINE, RUN_COLUMNS
from bench.records.table import states
from bench.text import natural

SETTING = ["dataset", "preset"]
METHOD = ["estimator", "posterior"]
HELD_OUT = ("validation", "test")
"""Splits that are measured on."""
SKIPPED = "skipped"
"""In the column `metric` of a table without folders: what was left out; its reason is in the column `readout`."""
POSTERIORS = ("factorised", "causal")
FOLLOWING = ("steps", "log_every", "eval_every")
"""Settings that follow from a budget."""
SHIPPED = (
    "daps",
    "reinforce",
    "reinforce:baseline=critic",
    "reinforce:baseline=ema",
    "reinforce:baseline=none",
    "gumbel_softmax",
    "straight_through",
    "vq",
    "vq:codebook=ema",
    "fsq",
    "gumbel_softmax:hard=false",
    "daps_local",
    "gumbel_softmax:k=8",
    "straight_through:k=8",
)
"""Estimators with a look of their own. The place in this list is the marker: append, never insert."""
FAMILIES = ("daps", "daps_local", "reinforce", "gumbel_softmax", "straight_through", "vq", "fsq")
"""Read first, in this order."""


@dataclass(frozen=True)
class Run:
    """One folder of results/NAME/runs, or one run of a table."""

    name: str
    estimator: str
    posterior: str
    dataset: str
    preset: str
    seed: int | None
    state: str
    status: Mapping[str, Any] = field(default_factory=dict, repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Resolved settings; empty for a baseline, for a run that never started, and in a table alone."""
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> tuple[str, str]:
        """Dataset and preset: only runs that share both are compared."""
        return self.dataset, self.preset

    @property
    def is_baseline(self) -> bool:
        return self.estimator == BASELINE

    @property
    def reason(self) -> str:
        """Why it is in its state, as far as that was recorded."""
        if reason := self.status.get("reason"):
            return str(reason)
        at = f" at step {self.status['step']}" if "step" in self.status else ""
        words = {
            "diverged": f"loss or gradient not finite{at}",
            "running": f"still running, or its process died{at}",
            "stopped": f"stopped{at}; the same command goes on",
            "queued": "not started yet",
        }
        return words.get(self.state, "")


@dataclass(frozen=True)
class Method:
    """What one line of a table is: the runs that differ in nothing but their seed."""

    estimator: str
    posterior: str
    variant: str = ""
    """What sets it apart from other runs of the same estimator and posterior: `beta=0.1, steps=60`; often empty."""
    title: str = ""
    """What it is called instead of estimator and variant, where an ablation has shorter words."""

    @property
    def name(self) -> str:
        return self.title or (f"{self.estimator} · {self.variant}" if self.variant else self.estimator)

    @property
    def style(self) -> str:
        """What `bench.figures.styles` knows it by: both posteriors look alike, variants stay in their family."""
        joint = "," if ":" in self.estimator else ":"
        return f"{self.estimator}{joint}{self.variant}" if self.variant else self.estimator

    @property
    def is_baseline(self) -> bool:
        return self.estimator == BASELINE


def reading_order(names: Iterable[str]) -> list[str]:
    """Families together, shipped ones first, numbers by size: daps, daps:k=4, daps:k=16, ..., yours."""

    def key(name: str):
        family = name.partition(":")[0]
        rank = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
        shipped = SHIPPED.index(name) if name in SHIPPED else len(SHIPPED)
        # the name itself, as 1 and 1.0 are alike
        return rank, family, shipped, natural(name), name

    return sorted(set(names), key=key)


def in_order(methods: Iterable[Method]) -> list[Method]:
    """Families together, factorised before causal, baselines last."""
    methods = list(methods)
    places = {style: place for place, style in enumerate(reading_order(method.style for method in methods))}

    def key(method: Method):
        known = POSTERIORS.index(method.posterior) if method.posterior in POSTERIORS else len(POSTERIORS)
        return method.is_baseline, places[method.style], known, method.posterior

    return sorted(methods, key=key)


def by_method(runs: Sequence[Run]) -> dict[Method, list[Run]]:
    """The runs of one dataset and preset, told apart by their settings."""
    pairs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        pairs[run.estimator, run.posterior].append(run)
    grouped: dict[Method, list[Run]] = defaultdict(list)
    for (estimator, posterior), alike in pairs.items():
        for run, variant in zip(alike, _variants(alike), strict=True):
            grouped[Method(estimator, posterior, variant)].append(run)
    return _without_twins(grouped)


def _without_twins(grouped: dict[Method, list[Run]]) -> dict[Method, list[Run]]:
    """Finished runs of one seed that nothing sets apart, because their config.json is lost or there is only a table,
    go by their own names: to average them would count a seed twice."""
    apart: dict[Method, list[Run]] = defaultdict(list)
    for method, runs in grouped.items():
        seeds = Counter(run.seed for run in runs if run.config or run.state == "done")
        for run in runs:
            name = f"run={run.name}"
            variant = f"{method.variant}, {name}" if method.variant else name
            apart[replace(method, variant=variant) if seeds[run.seed] > 1 else method].append(run)
    return apart


def _variants(runs: list[Run]) -> list[str]:
    """What sets each run apart, in words. A run that never started has no settings and is like the first that did."""
    started = [run for run in runs if run.config]
    columns = varying(chosen(run.config) for run in started)
    words = {
        run.name: ", ".join(f"{key}={values[i]}" for key, values in columns.items() if values[i])
        for i, run in enumerate(started)
    }
    first = next(iter(words.values()), "")
    return [words.get(run.name, first) for run in runs]


def chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of resolved settings those that somebody chose: steps, and how often is logged and evaluated, follow from a
    budget where there is one."""
    without = FOLLOWING if config.get("budget") else ("budget",)
    return {key: value for key, value in config.items() if key not in without}


def varying(configs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Settings with more than one value among resolved configs, the seed aside: each with its value per config,
    as text, "" where a config does not have it."""
    flat = [{key.rpartition(".")[2]: _exact(value) for key, value in flattened(config)} for config in configs]
    keys = dict.fromkeys(key for config in flat for key in config if key != "seed")
    columns = {key: [config.get(key, "") for config in flat] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def flattened(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings with dotted names."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _exact(value: object) -> str:
    # text that rounds would make two settings one
    return value if isinstance(value, str) else json.dumps(value)


def read_runs(path: Path) -> list[Run]:
    """Every run of a sweep's folder, however it ended."""
    # a folder may be there twice, as a copy; the table has its rows once
    return [_run(path, state) for state in {state["run"]: state for state in states(path)}.values()]


def _run(path: Path, state: dict[str, Any]) -> Run:
    content = read_json(path / "runs" / str(state["run"]) / "config.json")
    parts = (content.get(key) for key in ("config", "provenance"))
    config, provenance = (part if isinstance(part, dict) else {} for part in parts)
    estimator, posterior, dataset, preset = (str(state.get(key, "?")) for key in (*METHOD, *SETTING))
    seed = state.get("seed")
    return Run(
        str(state["run"]), estimator, posterior, dataset, preset, seed if isinstance(seed, int) else None,
        str(state.get("state", "unknown")), state, config, provenance,
    )  # fmt: skip


def runs_of(frame: Any) -> list[Run]:
    diverged = set(frame["run"][frame["metric"] == "diverged"])
    skipped = dict(zip(*(frame[column][frame["metric"] == SKIPPED] for column in ("run", "readout")), strict=True))
    last = frame["step"].where(frame["split"].isin(HELD_OUT)).groupby(frame["run"]).max().fillna(-1)
    table = frame[list(RUN_COLUMNS)].drop_duplicates("run")
    table = table.assign(step=table["run"].map(last), lost=table["run"].isin(diverged))
    furthest = table[~table["lost"]].groupby([*SETTING, *METHOD])["step"].transform("max")
    stopped = set(table["run"][table["step"] < furthest.reindex(table.index)])
    states = {"diverged": diverged, SKIPPED: skipped, "stopped": stopped}
    return [
        Run(
            *(str(row[key]) for key in ("run", "estimator", "posterior", "dataset", "preset")),
            seed=int(row["seed"]),
            state=next((state for state, those in states.items() if row["run"] in those), "done"),
            status={"reason": skipped[row["run"]]} if row["run"] in skipped else {},
        )
        for row in table.to_dict("records")
    ]
