"""The reader of a search for settings: its trials, which of them is best, and the best beside the default on seeds that
nothing was chosen by."""

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.machine.files import digest_of, read_json
from bench.metrics.catalogue import Metric, describe
from bench.records._rows import Table, tidy
from bench.records.folder import BASELINE
from bench.records.methods import Method, Run, read_runs
from bench.records.sweep import Comparison, Sweep, compare
from bench.records.table import load
from bench.text import typed

FILE = "tune.json"
"""In the folder of a sweep: what was searched, and which runs are which trials."""
SEED = 1000
"""Of trials. Their best is confirmed on those that follow, and neither is a seed that `bench run` begins with: what was
chosen with luck on a seed must not be shown on it."""
DEFAULT, TUNED = "default", "tuned"


@dataclass(frozen=True)
class Trial:
    """One point of the search space."""

    number: int
    """0: the preset's own values."""
    arguments: Mapping[str, Any]
    """Of the estimator, those that are searched."""
    settings: Mapping[str, Any]
    """Of the run, those that are searched."""
    key: str
    """`run_key` of its runs."""
    run: Run | None
    """None before it is queued."""
    value: float
    """What it came to; NaN if it diverged, failed, was impossible, or has not ended."""

    @property
    def words(self) -> str:
        return ", ".join(f"{key}={typed(value)}" for key, value in {**self.arguments, **self.settings}.items())


@dataclass(frozen=True, eq=False)
class Search:
    """The trials of one estimator and posterior."""

    estimator: str
    """Canonical, as it was asked for."""
    posterior: str
    space: Mapping[str, str]
    """What was searched, in words, by knob."""
    trials: Sequence[Trial]
    metric: Metric
    default: int | None = None
    """Among the methods that are compared on fresh seeds: the preset's own settings, None before a run has started."""
    tuned: int | None = None
    """And the best trial; `default` if that is trial 0."""

    @functools.cached_property
    def best(self) -> Trial | None:
        """By the metric, the first of equal ones. None if no trial has a value."""
        known = [trial for trial in self.trials if not math.isnan(trial.value)]
        return max(known, key=lambda trial: (self.metric.sign * trial.value, -trial.number), default=None)


@dataclass(frozen=True, eq=False)
class Tuning(Sweep):
    """A sweep whose comparison is of default and tuned settings on fresh seeds; the trials are in `searches`."""

    metric: str = ""
    """By which trials are compared."""
    searches: Sequence[Search] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    """The content of FILE."""

    @property
    def comparison(self) -> Comparison:
        return self.comparisons[0]

    @functools.cached_property
    def several(self) -> bool:
        """Whether searches are told apart by their posteriors too."""
        return len({search.posterior for search in self.searches}) > 1

    def label(self, search: Search) -> str:
        return f"{search.estimator}, {search.posterior}" if self.several else search.estimator


def run_key(config: Mapping[str, Any]) -> str:
    """Names what a resolved run is a run of, whatever its seed."""
    content = {key: value for key, value in config.items() if key != "seed"}
    return digest_of(content)


def read_tuning(folder: Path, rows: Table = None) -> Tuning:
    """The search in a folder. `rows`: as for `bench.records.read`. Raises ValueError for a folder without one."""
    if not (folder / FILE).is_file():
        raise ValueError(f"{folder} holds no search for settings; try a folder that bench tune made")
    return tuning(folder, load(folder) if rows is None else rows, read_runs(folder))


def tuning(folder: Path, rows: Table, runs: Sequence[Run]) -> Tuning:
    """Of what was read: the rows of `load`, and all runs."""
    record = read_json(folder / FILE)
    metric, frame = describe(str(record["metric"])), tidy(rows)
    place = str(record["dataset"]), str(record["preset"])
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        # the mean image is measured with the config of some run
        if run.config and not run.is_baseline:
            found[run_key(run.config)].append(run)
    trials = {run.name: run for mine in found.values() for run in mine if run.seed == SEED}
    measured = compare(frame, {Method(r.estimator, r.posterior, r.name): [r] for r in trials.values()}, *place).finals
    measured = measured[measured["metric"] == metric.name].dropna(subset="value")
    values = dict(zip(measured["run"].astype(str), measured["value"].astype(float), strict=True))
    searches = [_search(content, metric, found, values) for content in record["searches"]]

    grouped: dict[Method, list[Run]] = {}
    for search in searches:
        for method, trial in _compared(search):
            if mine := [run for run in found[trial.key] if run.seed != SEED]:
                grouped[method] = mine
    grouped |= {Method(BASELINE, "none"): [run] for run in runs if run.is_baseline and run.place == place}
    comparison = compare(frame, grouped, *place)
    index = {method: i for i, method in enumerate(comparison.methods)}
    placed = []
    for search in searches:
        first, *others = (index.get(method) for method, _ in _compared(search))
        tuned = others[0] if others else first if search.best else None
        placed.append(replace(search, default=first, tuned=tuned))
    return Tuning(folder, [comparison], metric=metric.name, searches=placed, record=record)


def _search(
    content: Mapping[str, Any], metric: Metric, found: Mapping[str, Sequence[Run]], values: Mapping[str, float]
) -> Search:
    trials = []
    for number, trial in enumerate(content["trials"]):
        run = next((run for run in found.get(trial["key"], ()) if run.seed == SEED), None)
        value = values.get(run.name, math.nan) if run else math.nan
        trials.append(Trial(number, trial["arguments"], trial["set"], trial["key"], run, value))
    return Search(content["estimator"], content["posterior"], content["space"], trials, metric)


def _compared(search: Search) -> list[tuple[Method, Trial]]:
    """What fresh seeds are for: the default, and the best trial if that is another."""
    best = search.best
    chosen = [(DEFAULT, search.trials[0]), *([(TUNED, best)] if best and best.number else [])]
    return [(Method(search.estimator, search.posterior, variant), trial) for variant, trial in chosen]
