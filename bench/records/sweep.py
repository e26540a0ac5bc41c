"""THE reader of a sweep: which runs count, what a method is, what its last values and its curves are, who is best.

Whatever shows or computes results reads them here, so that no two views of one folder can disagree. Of a run that is
done the last evaluation counts. A run that diverged has no value and is counted as such; all others have none yet.

What runs came to is read on `Comparison.split`: test images, or validation images where something is chosen by these
runs. How they got there is read on `Comparison.curve_split`, validation images, except in folders older than those.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from bench.machine.files import read_json
from bench.metrics import catalogue
from bench.metrics.catalogue import METRICS
from bench.records._rows import HELD_OUT, Table, joined, tidy, with_left_out
from bench.records.folder import BASELINE, RUN_COLUMNS
from bench.records.methods import METHOD, SETTING, Method, Run, by_method, in_order, read_runs, runs_of
from bench.records.table import COLUMNS, load
from bench.text import endings, seeds

AXES = {"step": "steps", "images": "images", "decodes": "decoder evaluations", "seconds": "s"}
"""What a run may cost, and the unit."""
CLOCK = 0.1
"""Of a budget in seconds, what runs may miss it by and still have cost the same: steps are planned, and time passes."""
ENDED_EARLY = ("diverged", "failed")


@dataclass(frozen=True, eq=False)
class Comparison:
    """The runs of one dataset and preset (of an ablation: under one condition). Only these are compared."""

    dataset: str
    preset: str
    methods: Sequence[Method]
    """In reading order, baselines last."""
    runs: Mapping[int, list[Run]]
    """By index into `methods`, in order of seeds."""
    frame: Table
    """Their rows, columns as in `bench.records`: numbers are finite or NaN, `estimator` is the method's name, and
    `method` an index into `methods`."""
    condition: str = ""

    @property
    def under(self) -> str:
        """The preset, and the condition if there is one: with the dataset, what only these runs share."""
        return ", ".join(part for part in (self.preset, self.condition) if part)

    @property
    def title(self) -> str:
        """Such as `digits, preset quick`."""
        return f"{self.dataset}, preset {self.under}"

    @functools.cached_property
    def posteriors(self) -> list[str]:
        """Of the methods, baselines aside, factorised first."""
        found = dict.fromkeys(method.posterior for method in self.methods if not method.is_baseline)
        return sorted(found, key=lambda posterior: posterior != "factorised")

    def label(self, index: int) -> str:
        """The method's name, with its posterior where there are several."""
        method = self.methods[index]
        return method.name if len(self.posteriors) == 1 or method.is_baseline else f"{method.name}, {method.posterior}"

    @functools.cached_property
    def compared(self) -> list[Run]:
        """All runs but the baselines."""
        return [run for runs in self.runs.values() for run in runs if not run.is_baseline]

    @functools.cached_property
    def left_out(self) -> str:
        """How many runs stand in no mean, in words: `2 skipped, 1 diverged (vq, seed 3)`; empty if none."""
        words = []
        for state, count in Counter(run.state for run in self.compared if run.state != "done").most_common():
            mine = {
                self.label(index): found
                for index, runs in self.runs.items()
                if (found := [run.seed for run in runs if run.state == state])
            }
            some = [f"{name}, {'seed' if len(found) == 1 else 'seeds'} {seeds(found)}" for name, found in mine.items()]
            words.append(f"{count} {state} ({'; '.join(some[:3])}{'; ...' if some[3:] else ''})")
        return ", ".join(words)

    def endings(self, index: int) -> str:
        """How many runs of a method ended how: `3 done, 1 diverged at step 40`."""
        return endings((run.state, run.status.get("step")) for run in self.runs[index])

    @functools.cached_property
    def ended(self) -> Table:
        """One row per run that left rows: RUN_COLUMNS, `step` of its last evaluation, `ended`, `method`."""
        rows = self.frame[self.frame["estimator"] != BASELINE]
        last = rows["step"].where(rows["split"].isin(HELD_OUT)).groupby(rows["run"]).max()
        table = rows[[*RUN_COLUMNS, "method"]].drop_duplicates("run", ignore_index=True)
        how = {run.name: run.state if run.state in ("done", "diverged") else "unfinished" for run in self.compared}
        return table.assign(
            step=table["run"].map(last).fillna(-1).astype(int), ended=table["run"].map(how).astype(object)
        )

    @functools.cached_property
    def split(self) -> str:
        """Of which images the values are that runs came to: `test`, or `validation` if nobody read a test image."""
        return "test" if self._has("test") or not self._has("validation") else "validation"

    @functools.cached_property
    def curve_split(self) -> str:
        """Of which images curves are: `validation`; `test` where there was no validation yet."""
        return "validation" if self._has("validation") else "test"

    def _has(self, split: str) -> bool:
        frame = self.frame
        return bool(((frame["split"] == split) & (frame["estimator"] != BASELINE)).any())

    def _measured(self, split: str) -> Table:
        """Finite measurements of a split, in order of steps; without baselines."""
        frame = self.frame
        measured = frame["readout"].isin(get_args(catalogue.Readout)) & (frame["split"] == split)
        chosen = measured & (frame["estimator"] != BASELINE)
        return frame[chosen & frame["value"].notna()].sort_values(["run", "metric", "step"], ignore_index=True)

    @functools.cached_property
    def looks(self) -> Table:
        """What was measured while runs trained, on `curve_split`: finite, in order of steps; without baselines."""
        return self._measured(self.curve_split)

    @functools.cached_property
    def curves(self) -> Table:
        """The rows of `looks` of runs that are done, metrics of the catalogue alone."""
        return self._of_done(self.looks)

    def _of_done(self, rows: Table) -> Table:
        done = self.ended["run"][self.ended["ended"] == "done"]
        return rows[rows["run"].isin(done) & rows["metric"].isin(list(METRICS))]

    @functools.cached_property
    def finals(self) -> Table:
        """What each run came to: its value of every metric on `split` at its last evaluation, and its costs.
        VALUE_COLUMNS.

        Runs that diverged or are unfinished are there with missing values, so that they are counted.
        """
        steps = self.ended.set_index("run")["step"]
        rows = self._of_done(self._measured(self.split))
        last = rows[rows["step"] == rows["run"].map(steps)]
        costs = self.frame[self.frame["metric"].isin(catalogue.names("cost")) & self.frame["value"].notna()]
        costs = costs[costs["estimator"] != BASELINE]
        return with_left_out(joined([last, costs]).drop_duplicates(["run", "metric"], keep="last"), self.ended)

    @functools.cached_property
    def spent(self) -> Table:
        """What each finished run cost in all: values of the metrics `decodes`, `images`, `seconds`. VALUE_COLUMNS."""
        ends = self.ends
        found = [ends.assign(metric=axis, value=ends[axis], n=ends["images"]) for axis in AXES if axis in METRICS]
        return joined(found)

    @functools.cached_property
    def ends(self) -> Table:
        """A row of `finals` per finished run that trained: what it had cost at its end."""
        trained = self.finals[(self.finals["ended"] == "done") & (self.finals["step"] > 0)]
        return trained.sort_values("step", kind="stable").drop_duplicates("run", keep="last", ignore_index=True)

    @functools.cached_property
    def equal_cost(self) -> list[str]:
        """The AXES on which this is a comparison at equal cost: every finished run came to the end of its schedule
        within one step of the same amount. In seconds only where they were the budget, and it was kept to CLOCK."""
        ends = self.ends
        equal = [a for a in AXES if a != "seconds" and ends[a].max() < (ends[a] * (1 + 1 / ends["step"])).min()]
        budgets = {str(run.config.get("budget")) for run in self.compared if run.state == "done"}
        unit, _, amount = budgets.pop().partition("=") if len(budgets) == 1 else ("", "", "")
        if unit == "seconds" and (abs(ends[unit] / float(amount) - 1) <= CLOCK).all():
            equal.append(unit)
        return equal

    @functools.cached_property
    def means(self) -> dict[str, dict[int, float]]:
        """By metric and method, over the seeds that are done."""
        known = joined([self.finals, self.spent]).dropna(subset="value")
        found: dict[str, dict[int, float]] = {}
        for (metric, method), value in known.groupby(["metric", "method"])["value"].mean().items():
            found.setdefault(metric, {})[int(method)] = float(value)
        return {metric: found[metric] for metric in METRICS if metric in found}

    @functools.cached_property
    def metric(self) -> str | None:
        """That orders the methods: the first ranked one of the catalogue that was measured. None while no run is
        done."""
        return next((metric for metric in catalogue.ranked() if metric in self.means), None)

    @functools.cached_property
    def order(self) -> list[int]:
        """All methods, best mean first, then those without a value in reading order, baselines last."""
        return self.ordered_by(self.metric)

    def ordered_by(self, metric: str | None) -> list[int]:
        """The same by any metric."""
        column = self.means.get(metric, {}) if metric else {}
        sign = catalogue.describe(metric).sign if metric else 1

        def key(index: int) -> tuple:
            value = column.get(index)
            return self.methods[index].is_baseline, value is None, -sign * (value or 0.0), index

        return sorted(range(len(self.methods)), key=key)

    def best(self, metric: str, among: Sequence[int] | None = None) -> int | None:
        """The method with the best mean, of some or of all."""
        column = self.means.get(metric, {})
        return next((i for i in self.ordered_by(metric) if i in column and (among is None or i in among)), None)

    def baseline(self, metric: str, split: str = "") -> float:
        """What the mean training image scores on a split, or on `split` of the comparison; NaN where that was not
        measured."""
        frame, split = self.frame, split or self.split
        chosen = (frame["estimator"] == BASELINE) & (frame["split"] == split) & (frame["metric"] == metric)
        return float(frame["value"][chosen & (frame["readout"] == "sample")].mean())

    @functools.cached_property
    def shown_curves(self) -> Table:
        """Points of learning curves, by metric, method and step: costs, `mean`, `low` and `high` (lowest and highest
        seed), `seeds`. Over a method's finished seeds; over those under way where none has finished."""
        names: set[str] = set()
        for runs in self.runs.values():
            done = [run.name for run in runs if run.state == "done"]
            names.update(done or [run.name for run in runs if run.state not in ENDED_EARLY])
        rows = self.looks[self.looks["run"].isin(names) & ~self.looks["metric"].str.contains("/", regex=False)]
        costs = {cost: (cost, "mean") for cost in AXES if cost != "step"}
        kinds = {"mean": ("value", "mean"), "low": ("value", "min"), "high": ("value", "max")}
        return rows.groupby(["metric", "method", "step"]).agg(**kinds, seeds=("value", "size"), **costs).reset_index()

    @functools.cached_property
    def lost_curves(self) -> Table:
        """Rows of `looks` of runs that diverged or failed, which are in no mean."""
        early = [run.name for run in self.compared if run.state in ENDED_EARLY]
        rows = self.looks[self.looks["run"].isin(early)]
        return rows[~rows["metric"].str.contains("/", regex=False)]

    @functools.cached_property
    def by_position(self) -> Table:
        """Codebook use at the last evaluation of finished runs: `measure` (usage, perplexity), `position`, `method`,
        `value`, the mean over seeds."""
        steps = self.ended[self.ended["ended"] == "done"].set_index("run")["step"]
        measured = self._measured(self.split)
        rows = measured[measured["metric"].str.fullmatch(r"\w+/\d+")]
        rows = rows[rows["step"] == rows["run"].map(steps)]
        parts = rows["metric"].str.extract(r"(\w+)/(\d+)")
        rows = rows.assign(measure=parts[0], position=pd.to_numeric(parts[1]))
        return rows.groupby(["measure", "method", "position"])["value"].mean().reset_index()

    @functools.cached_property
    def gradients(self) -> Table:
        """What the gradient lab measured: a row per `method` (also `estimator`, `posterior`), `step` and `decodes`,
        a column per metric of kind `gradient`. Empty for other sweeps."""
        rows = self.frame[self.frame["metric"].isin(catalogue.names("gradient"))]
        keys = ["method", *METHOD, "step", "decodes"]
        return rows.pivot_table("value", keys, "metric").reset_index()

    @functools.cached_property
    def other_goals(self) -> str:
        """What methods of a gradient lab follow that is not the ELBO, in words; empty where all follow that."""
        goals = {i: str(r.config["goal"]) for i, runs in self.runs.items() for r in runs if "goal" in r.config}
        families: dict[str, set[str]] = defaultdict(set)
        for index, method in enumerate(self.methods):
            families[method.estimator.partition(":")[0]].add(goals.get(index, ""))
        named: dict[str, str] = {}
        for index, goal in goals.items():
            name = self.methods[index].estimator
            family = name.partition(":")[0]
            named[family if len(families[family]) == 1 else name] = goal
        return "; ".join(f"{name}: {goal}" for name, goal in named.items())

    @functools.cached_property
    def images(self) -> list[int]:
        """Numbers of images of `split` behind the metric that ranks; more than one if they differ."""
        rows = self.finals[(self.finals["metric"] == self.metric) & (self.finals["ended"] == "done")]
        return sorted({int(n) for n in rows["n"].dropna()})


NOTHING = Comparison("", "", (), {}, pd.DataFrame(columns=[*COLUMNS, "method"]))
"""What a sweep without runs is read as: its tables are empty and have their columns."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A folder that `bench run` made, or a table alone."""

    path: Path
    comparisons: Sequence[Comparison]
    unreadable: Sequence[str] = ()
    """Folders of runs that do not even say what they are."""

    @property
    def runs(self) -> list[Run]:
        return [run for one in self.comparisons for runs in one.runs.values() for run in runs]

    @functools.cached_property
    def finals(self) -> Table:
        """`Comparison.finals` of all, below each other; `preset` names the condition too."""
        return self._joined("finals")

    @functools.cached_property
    def curves(self) -> Table:
        """`Comparison.curves` of all."""
        return self._joined("curves")

    @functools.cached_property
    def ended(self) -> Table:
        """`Comparison.ended` of all."""
        return self._joined("ended")

    def _joined(self, which: str) -> Table:
        return joined([getattr(one, which).assign(preset=one.under) for one in self.comparisons or [NOTHING]])


def read(path: str | Path, rows: Table = None) -> Sweep:
    """The sweep in a folder: of an ablation a `bench.records.study.Study`, once one of its runs has ended, and of a
    search for settings a `bench.records.tuning.Tuning`. `rows`: as `load` gave them, if they are here already.

    Raises ValueError if `path` is not a folder that `bench run` made.
    """
    from bench.records import study, tuning

    path = Path(path)
    rows = load(path) if rows is None else rows
    runs = read_runs(path)
    if (path / study.FILE).is_file() and any(run.state in study.ENDED and run.config for run in runs):
        return study.study(path, rows, runs)
    if (path / tuning.FILE).is_file():
        return tuning.tuning(path, rows, runs)
    if not runs and len(rows):
        return replace(of_table(rows), path=path)
    frame = tidy(rows)
    folders = sorted((path / "runs").glob("*"))
    unreadable = [f.name for f in folders if not (read_json(f / "status.json") or read_json(f / "config.json"))]
    return Sweep(path, _comparisons(frame, runs), unreadable)


def of_table(frame: Table) -> Sweep:
    """The sweep that a tidy table tells of, without the folders of its runs: a run is `stopped` if another of its
    method got further, and done otherwise, unless it diverged or was skipped."""
    frame = tidy(frame)
    return Sweep(Path(), _comparisons(frame, runs_of(frame)))


def as_sweep(source: "Sweep | Comparison | Table") -> "Sweep | Comparison":
    """What has finals, curves and endings: itself, or the sweep of a tidy table."""
    return of_table(source) if isinstance(source, pd.DataFrame) else source


def _comparisons(frame: Table, runs: Sequence[Run]) -> list[Comparison]:
    by_place: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_place[run.place].append(run)
    rows = dict(list(frame.groupby(SETTING, sort=False)))
    return [compare(rows.get(place, frame.iloc[:0]), by_method(by_place[place]), *place) for place in sorted(by_place)]


def compare(
    frame: Table,
    grouped: Mapping[Method, Sequence[Run]],
    dataset: str,
    preset: str,
    condition: str = "",
    order: Callable[[Any], Sequence[Method]] = in_order,
) -> Comparison:
    """The comparison of these methods, from rows of `tidy` that may hold other runs too."""
    methods = order(grouped)
    runs = {
        index: sorted(grouped[method], key=lambda run: (run.seed is None, run.seed, run.name))
        for index, method in enumerate(methods)
    }
    index_of = {run.name: index for index, mine in runs.items() for run in mine}
    method = frame["run"].map(index_of)
    frame = frame.assign(method=method).dropna(subset="method").astype({"method": int})
    names = frame["method"].map({index: method.name for index, method in enumerate(methods)})
    seed = frame["seed"].fillna(-1).astype(int)
    return Comparison(dataset, preset, methods, runs, frame.assign(estimator=names.astype(str), seed=seed), condition)
