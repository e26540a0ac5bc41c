"""What a search for settings says: what tuning gained on fresh seeds, how far trials lie apart, and what so many trials
are expected to find."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.records.tuning import Search, Trial, Tuning
from bench.stats.intervals import Interval, interval
from bench.stats.scores import Scores
from bench.stats.values import Values, array, differences, paired_values


@dataclass(frozen=True, eq=False)
class Tuned:
    """One search in numbers, in the unit of its metric."""

    search: Search
    default: Interval
    """On fresh seeds."""
    tuned: Interval
    gain: Interval
    """Tuned against default on the same seeds, counted so that positive is better."""
    quartiles: tuple[float, float, float]
    """Of the trials that have a value: lower quartile, median, upper quartile. NaN if none has."""
    lost: int
    """Trials without a value."""
    expected: dict[int, float]
    """Of so many trials, the expected best: see `expected_best`."""
    rank: dict[int, int]
    """And the place that it has among the searches that have as many trials, 1 for the best."""

    @property
    def best(self) -> Trial | None:
        return self.search.best


def rows(tuning: Tuning) -> list[Tuned]:
    """Every search, in order of what it came to: by the mean of its tuned settings on fresh seeds, those without one
    last."""
    finals = tuning.comparison.finals
    values = Values(finals[finals["metric"] == tuning.metric])
    reached = [search.metric.sign * trial.value for search in tuning.searches for trial in search.trials]
    worst = min((value for value in reached if not math.isnan(value)), default=math.nan)
    expected = {search: _expected(search, worst) for search in tuning.searches}
    ranks = _ranks(expected)
    made = [_tuned(tuning, search, values, expected[search], ranks[search]) for search in tuning.searches]
    sign = {search: search.metric.sign for search in tuning.searches}

    def key(one: Tuned) -> tuple[bool, float]:
        known = not math.isnan(one.tuned.estimate)
        return not known, -sign[one.search] * one.tuned.estimate if known else 0.0

    return sorted(made, key=key)


def _tuned(tuning: Tuning, search: Search, values: Values, expected: dict[int, float], rank: dict[int, int]) -> Tuned:
    comparison = tuning.comparison

    def by_seed(index: int | None) -> dict[int, float]:
        if index is None:
            return {}
        method = comparison.methods[index]
        return values((comparison.dataset, comparison.preset), (method.name, method.posterior), tuning.metric)

    default, tuned = by_seed(search.default), by_seed(search.tuned)
    after, before = paired_values(tuned, default)
    trials = np.array([trial.value for trial in search.trials])
    known = trials[~np.isnan(trials)]
    lower, middle, upper = np.quantile(known, (0.25, 0.5, 0.75)) if len(known) else (math.nan,) * 3
    return Tuned(
        search,
        interval([array(default)]),
        interval([array(tuned)]),
        interval([search.metric.sign * differences(after, before)]),
        (float(lower), float(middle), float(upper)),
        len(trials) - len(known),
        expected,
        rank,
    )


def counts(trials: int) -> list[int]:
    """Numbers of trials to look at: 1, 2, 4, ..., and all."""
    return sorted({trials, *(2**power for power in range(trials.bit_length()) if 2**power <= trials)} - {0})


def _expected(search: Search, worst: float) -> dict[int, float]:
    """`worst` of all trials of all searches, counted so that more is better."""
    values = [trial.value for trial in search.trials]
    known = any(not math.isnan(value) for value in values)
    sign = search.metric.sign
    filled = [sign * worst if math.isnan(value) and known else value for value in values]
    return {n: expected_best(filled, n, sign) for n in counts(len(values))}


def _ranks(expected: dict[Search, dict[int, float]]) -> dict[Search, dict[int, int]]:
    found: dict[Search, dict[int, int]] = {search: {} for search in expected}
    for n in sorted({n for mine in expected.values() for n in mine}):
        scores = {search: search.metric.sign * mine[n] for search, mine in expected.items() if n in mine}
        known = {search: score for search, score in scores.items() if not math.isnan(score)}
        for search, score in known.items():
            found[search][n] = 1 + sum(other > score for other in known.values())
    return found


def expected_best(values: Iterable[float], n: int, sign: int = 1) -> float:
    """The expected best of n of these trials, drawn without replacement (after Dodge et al. 2019, arXiv:1909.03004, who
    draw with): what a search of n trials would have found.

    `sign` -1: lower is better. NaN if a value is, or there are fewer than n trials.
    """
    scores = sign * np.asarray(list(values), dtype=float)
    if not 1 <= n <= len(scores) or np.isnan(scores).any():
        return math.nan
    ordered = np.sort(scores)
    # the i-th from below is the best of n if the others are among the i below it
    ways = [math.comb(place, n - 1) for place in range(len(ordered))]
    return sign * _weighted(ordered, ways, math.comb(len(ordered), n))


def _weighted(values: Scores, ways: Sequence[int], all_ways: int) -> float:
    return math.fsum(float(value) * (count / all_ways) for value, count in zip(values, ways, strict=True))
