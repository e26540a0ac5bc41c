"""A sweep's folder, read once: its rows, its runs, and the methods that the report compares."""

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import records
from bench.machine.files import read_json
from bench.metrics.catalogue import names
from bench.records.folder import BASELINE
from bench.records.methods import reading_order

Table = Any
"""A pd.DataFrame. Without stubs a type checker takes its columns for bare arrays and objects."""

POSTERIORS = ("factorised", "causal")
ENDED_EARLY = ("diverged", "failed")
_NUMBERS = (*records.COST_COLUMNS, "value", "n")
_NAMES = tuple(column for column in records.COLUMNS if column not in (*_NUMBERS, "seed"))


@dataclass(frozen=True)
class Run:
    """One folder of results/NAME/runs."""

    name: str
    estimator: str
    posterior: str
    setting: tuple[str, str]
    """Dataset and preset: only runs of one setting are compared."""
    seed: int | None
    state: str
    status: dict[str, Any]
    config: dict[str, Any]
    """Resolved settings; empty for a baseline and for a run that never started."""
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Method:
    """What one line of a table is: an estimator, a posterior, and the settings that set it apart from other runs of
    the same estimator and posterior."""

    estimator: str
    posterior: str
    variant: str
    """Such as `beta=0.1, steps=60`; empty where all runs of estimator and posterior share their settings."""

    @property
    def name(self) -> str:
        return f"{self.estimator} · {self.variant}" if self.variant else self.estimator

    @property
    def style(self) -> str:
        """What `bench._style` knows it by: both posteriors look alike, variants stay in their family."""
        joint = "," if ":" in self.estimator else ":"
        return f"{self.estimator}{joint}{self.variant}" if self.variant else self.estimator

    @property
    def is_baseline(self) -> bool:
        return self.estimator == BASELINE


@dataclass(frozen=True)
class Setting:
    """The runs of one dataset and preset."""

    dataset: str
    preset: str
    frame: Table
    """Their rows, columns as in `bench.records`, and `method`, an index into `methods`."""
    methods: list[Method]
    """In reading order, baselines last."""
    runs: dict[int, list[Run]]
    """By method, in order of seeds."""

    @functools.cached_property
    def rows(self) -> dict[int, Table]:
        """Of `frame`, by method; methods without rows are not in it."""
        return {int(index): rows for index, rows in self.frame.groupby("method")}

    def label(self, index: int) -> str:
        """The method's name, with its posterior where there are several."""
        method = self.methods[index]
        posteriors = {other.posterior for other in self.methods if not other.is_baseline}
        return method.name if len(posteriors) == 1 or method.is_baseline else f"{method.name}, {method.posterior}"

    @property
    def all_runs(self) -> list[Run]:
        return [run for runs in self.runs.values() for run in runs]

    @property
    def compared(self) -> list[Run]:
        """All runs but the baselines."""
        return [run for run in self.all_runs if run.estimator != BASELINE]

    @property
    def counted(self) -> set[str]:
        """Runs behind means: a method's finished ones, or while there are none those under way."""
        names: set[str] = set()
        for runs in self.runs.values():
            done = [run.name for run in runs if run.state == "done"]
            names.update(done or [run.name for run in runs if run.state not in ENDED_EARLY])
        return names


@dataclass(frozen=True)
class Sweep:
    path: Path
    settings: list[Setting]
    unreadable: list[str]
    """Folders of runs that do not even say what they are."""

    @property
    def runs(self) -> list[Run]:
        return [run for setting in self.settings for run in setting.all_runs]


def read(path: Path) -> Sweep:
    """Raises ValueError if `path` is not a folder that `bench run` made."""
    frame = _tidy(records.load(path))
    # a folder may be there twice, as a copy; the table has its rows once
    runs = [_run(path, state) for state in {state["run"]: state for state in records.states(path)}.values()]
    by_setting: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_setting[run.setting].append(run)
    rows = dict(list(frame.groupby(["dataset", "preset"], sort=False)))
    settings = [_setting(key, rows.get(key, frame.iloc[:0]), by_setting[key]) for key in sorted(by_setting)]
    folders = sorted((path / "runs").glob("*"))
    unreadable = [f.name for f in folders if not (read_json(f / "status.json") or read_json(f / "config.json"))]
    return Sweep(path, settings, unreadable)


def varying(configs: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Settings with more than one value among resolved configs, the seed aside: each with its value per config,
    as text, "" where a config does not have it."""
    flat = [dict(_flatten(config)) for config in configs]
    keys = dict.fromkeys(key for config in flat for key in config if key != "seed")
    columns = {key: [config.get(key, "") for config in flat] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def _flatten(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flatten(value)
        else:
            yield key, value if isinstance(value, str) else json.dumps(value)


def _tidy(frame: Table) -> Table:
    """What the report shows: measurements of sampled codes on the test split, costs, and where a run diverged.

    Numbers are numbers, names text, also after rows that were half written.
    """
    measured = (frame["split"] == "test") & (frame["readout"] == "sample")
    frame = frame[measured | frame["metric"].isin((*names("cost"), "diverged"))]
    numbers = {column: pd.to_numeric(frame[column], errors="coerce").astype(float) for column in _NUMBERS}
    numbers["value"] = numbers["value"].replace([np.inf, -np.inf], np.nan)
    return frame.assign(**numbers).astype(dict.fromkeys(_NAMES, str)).dropna(subset=["step"])


def _run(path: Path, state: dict[str, Any]) -> Run:
    content = read_json(path / "runs" / str(state["run"]) / "config.json")
    seed = state.get("seed")
    return Run(
        name=str(state["run"]),
        estimator=str(state.get("estimator", "?")),
        posterior=str(state.get("posterior", "?")),
        setting=(str(state.get("dataset", "?")), str(state.get("preset", "?"))),
        seed=seed if isinstance(seed, int) else None,
        state=str(state.get("state", "not started")),
        status=state,
        config=_dict(content.get("config")),
        provenance=_dict(content.get("provenance")),
    )


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _setting(key: tuple[str, str], frame: Table, runs: list[Run]) -> Setting:
    grouped: dict[Method, list[Run]] = defaultdict(list)
    pairs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        pairs[run.estimator, run.posterior].append(run)
    for (estimator, posterior), alike in pairs.items():
        for run, variant in zip(alike, _variants(alike), strict=True):
            grouped[Method(estimator, posterior, variant)].append(run)
    grouped = _without_twins(grouped)
    methods = _in_order(grouped)
    by_method = {
        index: sorted(grouped[method], key=lambda run: (run.seed is None, run.seed, run.name))
        for index, method in enumerate(methods)
    }
    index_of = {run.name: index for index, mine in by_method.items() for run in mine}
    method = frame["run"].map(index_of)
    frame = frame.assign(method=method).dropna(subset="method").astype({"method": int})
    return Setting(*key, frame, methods, by_method)


def _without_twins(grouped: dict[Method, list[Run]]) -> dict[Method, list[Run]]:
    """Runs of one seed that nothing sets apart, because their config.json is lost, go by the names of their folders."""
    apart: dict[Method, list[Run]] = defaultdict(list)
    for method, runs in grouped.items():
        seeds = Counter(run.seed for run in runs)
        for run in runs:
            name = f"run={run.name}"
            variant = f"{method.variant}, {name}" if method.variant else name
            apart[replace(method, variant=variant) if seeds[run.seed] > 1 else method].append(run)
    return apart


def _variants(runs: list[Run]) -> list[str]:
    """What sets each run apart, in words. A run that never started has no settings and is like the first that did."""
    started = [run for run in runs if run.config]
    columns = varying(run.config for run in started)
    words = {
        run.name: ", ".join(f"{key}={values[i]}" for key, values in columns.items() if values[i])
        for i, run in enumerate(started)
    }
    first = next(iter(words.values()), "")
    return [words.get(run.name, first) for run in runs]


def _in_order(methods: Iterable[Method]) -> list[Method]:
    """Families together, factorised before causal, baselines last."""
    methods = list(methods)
    places = {style: place for place, style in enumerate(reading_order(method.style for method in methods))}

    def key(method: Method):
        known = POSTERIORS.index(method.posterior) if method.posterior in POSTERIORS else len(POSTERIORS)
        return method.is_baseline, places[method.style], known, method.posterior

    return sorted(methods, key=key)
