"""Who won, by how much, and how sure that is: from `bench.stats`, in the shape of the page's first section."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench import stats
from bench.pages._metrics import Metric, describe, digits, number
from bench.pages._sweep import Setting, Table
from bench.stats.intervals import FEWEST

COLUMNS = (
    "psnr",
    "ssim",
    "lpips",
    "rfid",
    "elbo",
    "bits",
    "usage",
    "perplexity",
    "ms_per_step",
    "peak_memory",
    "parameters",
    "parameters_estimator",
)
CONSTANT = ("parameters", "parameters_estimator")
"""The same for every seed: no interval."""
LEADING = ("psnr", "ssim", "lpips", "rfid", "elbo")
"""Quality metrics, the first that was measured decides the order of methods."""
MARKED = (*LEADING, "ms_per_step", "peak_memory")
EQUAL_COST = {"decodes": "decoder evaluations", "seconds": "seconds of training"}

MARKS = {"best": "★", "tied": "≈", "untested": "?", "worse": "", "": ""}
MEANINGS = {
    "best": "best mean",
    "tied": "not separable from the best",
    "untested": "too few shared seeds for a test",
    "worse": "worse than the best",
    "": "",
}


@dataclass(frozen=True)
class Cell:
    value: float | None
    low: float | None
    high: float | None
    seeds: int
    decimals: int
    mark: str
    """A key of MARKS."""
    note: str
    """How the interval was made, and what the test said."""

    @property
    def text(self) -> str:
        return number(self.value, self.decimals)

    @property
    def interval(self) -> str:
        """Empty where there is none, or none that shows."""
        if self.low is None or self.high is None:
            return ""
        low, high = number(self.low, self.decimals), number(self.high, self.decimals)
        return f"{low} … {high}" if low != high else ""


MISSING = Cell(None, None, None, 0, 0, "", "")


@dataclass(frozen=True)
class Row:
    method: int
    runs: str
    """How many ended how."""
    cells: list[Cell]


@dataclass(frozen=True)
class Lead:
    """One line of the list of winners."""

    metric: Metric
    winner: str
    mean: str
    interval: str
    runner_up: str
    gap: str
    """Winner - runner-up on shared seeds, positive where that is better."""
    gap_interval: str
    seeds: str
    """Behind the gap, in words."""
    clear: bool | None
    """Whether the lead is larger than the seed noise; None where there is no interval."""
    tied: list[str]
    """Methods that cannot be separated from the winner."""
    scored: int
    """Methods that have a value."""
    sentence: str


@dataclass(frozen=True)
class Verdict:
    columns: list[Metric]
    rows: list[Row]
    """Best first by the leading metric."""
    leads: list[Lead]
    at_equal_cost: list[str]
    """Sentences."""
    values: Table
    """One row per run and metric, from `bench.stats.finals`, with the column `method`."""

    @property
    def order(self) -> list[int]:
        return [row.method for row in self.rows]


def verdict(setting: Setting) -> Verdict:
    """Of the finished runs; a table without columns where there are none."""
    frame = _named(setting)
    values = stats.finals(frame) if len(frame) else None
    cells = {}
    leads = []
    if values is not None:
        for metric in COLUMNS:
            mine = values[values["metric"] == metric]
            if np.isfinite(mine["value"].astype(float)).any():
                cells[metric], lead = _column(setting, mine, metric)
                leads += [lead] if lead and metric in LEADING else []
        _add_baseline(setting, cells)
    columns = [describe(metric) for metric in cells]
    rows = [
        Row(
            index,
            _endings(run.state for run in setting.runs[index]),
            [cells[c.name].get(index, MISSING) for c in columns],
        )
        for index in _best_first(setting, cells)
    ]
    return Verdict(columns, rows, leads, _equal_cost(setting, frame, leads), values)


def _named(setting: Setting) -> Table:
    """Rows of the runs that finished or diverged, with a method's name as its estimator: what sets variants apart."""
    ended = {run.name for run in setting.compared if run.state in ("done", "diverged")}
    frame = setting.frame[setting.frame["run"].isin(ended)]
    names = frame["method"].map({index: method.name for index, method in enumerate(setting.methods)})
    return frame.assign(estimator=names.astype(str), seed=frame["seed"].fillna(-1).astype(int))


def _column(setting: Setting, values: Table, metric: str) -> tuple[dict[int, Cell], Lead | None]:
    """A cell per method that has a value, and who leads."""
    keys = {(method.name, method.posterior): index for index, method in enumerate(setting.methods)}
    known = values[np.isfinite(values["value"].astype(float))]
    scores = {keys[key]: mine.to_numpy(float) for key, mine in known.groupby(["estimator", "posterior"])["value"]}
    intervals = {index: _interval(mine, metric) for index, mine in scores.items()}
    decimals = _decimals(list(intervals.values()), metric)
    leader = stats.lead(values, metric, setting.dataset, setting.preset) if metric in MARKED else None
    winner = keys[leader.winner] if leader else None
    tests = {keys[key]: row for key, row in _tests(known, leader.winner).items()} if leader else {}
    cells = {}
    for index, found in intervals.items():
        mark, said = _mark(index, winner, tests.get(index))
        low, high = (found.low, found.high) if found.known else (None, None)
        note = "; ".join(part for part in (_source(found), said) if part)
        cells[index] = Cell(found.estimate, low, high, found.n, decimals, mark, note)
    return cells, _lead(setting, metric, leader, cells, keys) if leader else None


def _tests(known: Table, winner: tuple[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows of `stats.paired_differences` by method, of those that share enough seeds with the winner for a test."""
    method = pd.MultiIndex.from_frame(known[["estimator", "posterior"]])
    shared = known[known["seed"].isin(known["seed"][method == winner])]
    seeds = shared.groupby(["estimator", "posterior"])["seed"].nunique()
    testable = known[method.isin(seeds.index[seeds >= FEWEST])]
    if winner not in seeds.index[seeds >= FEWEST]:
        return {}
    differences = stats.paired_differences(testable, winner).to_dict("records")
    return {(row["estimator"], row["posterior"]): row for row in differences}


def _interval(scores: np.ndarray, metric: str) -> stats.Interval:
    if metric in CONSTANT:
        return stats.Interval(float(scores.mean()), np.nan, np.nan, len(scores), "")
    return stats.interval([scores])


def _decimals(intervals: list[stats.Interval], metric: str) -> int:
    """Of a whole column: two digits of a typical half interval."""
    if metric in CONSTANT:
        return 0
    halves = [(found.high - found.low) / 2 for found in intervals if found.known and found.high > found.low]
    return digits(statistics.median(halves) if halves else 0.0, max(abs(found.estimate) for found in intervals))


def _lead(
    setting: Setting, metric: str, leader: stats.Lead, cells: dict[int, Cell], keys: dict[tuple[str, str], int]
) -> Lead:
    mine = cells[keys[leader.winner]]
    sign = 1 if describe(metric).better == "lower" else -1
    best_first = sorted(cells, key=lambda index: sign * (cells[index].value or 0.0))
    gap = leader.difference
    spread = (gap.high - gap.low) / 2 if gap and gap.known else 0.0
    decimals = digits(spread or abs(gap.estimate) / 10, gap.estimate) if gap else 0
    return Lead(
        metric=describe(metric),
        winner=setting.label(keys[leader.winner]),
        mean=mine.text,
        interval=mine.interval,
        runner_up=setting.label(keys[leader.runner_up]) if leader.runner_up else "–",
        gap=number(gap.estimate, decimals) if gap else "–",
        gap_interval=f"{number(gap.low, decimals)} … {number(gap.high, decimals)}" if gap and gap.known else "",
        seeds="" if gap is None else f"{gap.n} seeds" if gap.known else gap.method,
        clear=leader.larger_than_noise,
        tied=[setting.label(index) for index in best_first if cells[index].mark == "tied"],
        scored=len(cells),
        sentence=leader.sentence,
    )


def _source(found: stats.Interval) -> str:
    return f"{found.n} seeds, 95 % interval: {found.method}" if found.known else found.method


def _mark(index: int, winner: int | None, test: dict[str, Any] | None) -> tuple[str, str]:
    """A key of MARKS, and what the test said."""
    if winner is None:
        return "", ""
    if index == winner:
        return "best", MEANINGS["best"]
    if test is None or np.isnan(test["p_holm"]):
        return "untested", MEANINGS["untested"]
    mark = "worse" if test["verdict"] in ("worse", "better") else "tied"
    return mark, f"{MEANINGS[mark]}: p = {test['p_holm']:.2g} after Holm, {int(test['n'])} shared seeds"


def _add_baseline(setting: Setting, cells: dict[str, dict[int, Cell]]) -> None:
    frame = setting.frame
    for index, method in enumerate(setting.methods):
        if not method.is_baseline:
            continue
        mine = frame[(frame["method"] == index) & (frame["split"] == "test") & (frame["readout"] == "sample")]
        for metric, value in mine.dropna(subset="value").groupby("metric")["value"].mean().items():
            if metric in cells:
                decimals = next((cell.decimals for cell in cells[metric].values()), 2)
                cells[metric][index] = Cell(value, None, None, 1, decimals, "", "the mean training image")


def _best_first(setting: Setting, cells: dict[str, dict[int, Cell]]) -> list[int]:
    metric = next((name for name in LEADING if name in cells), None)
    column = cells.get(metric, {}) if metric else {}
    sign = 1 if metric and describe(metric).better == "lower" else -1

    def key(index: int):
        value = column.get(index, MISSING).value
        return setting.methods[index].is_baseline, value is None, sign * (value or 0.0), index

    return sorted(range(len(setting.methods)), key=key)


def _endings(states: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: item[0] != "done"))


def _equal_cost(setting: Setting, frame: Table, leads: list[Lead]) -> list[str]:
    """Who leads where every run has cost the same, by the leading metric. Empty where all cost the same anyway."""
    if not leads:
        return []
    metric = leads[0].metric.name
    rows = frame[frame["metric"].isin((metric, "diverged"))]
    sentences = []
    for axis, words in EQUAL_COST.items():
        budgets = stats.common_budget(rows, axis)
        spent = rows[rows["metric"] == metric].groupby("run")[axis].max()
        if budgets.empty or spent.max() <= 1.01 * budgets.iloc[0]:
            continue
        found = stats.lead(stats.at_cost(rows, axis, float(budgets.iloc[0])), metric, setting.dataset, setting.preset)
        if found:
            budget = number(float(budgets.iloc[0]), 0 if budgets.iloc[0] >= 10 else 2)
            sentences.append(f"At equal cost, {budget} {words}: {found.sentence}")
    return sentences
