"""Sentences computed from data, for pages that say who won and whether that is more than luck."""

from dataclasses import dataclass

from bench.metrics.catalogue import Metric
from bench.records.sweep import Table
from bench.stats.intervals import Interval, interval
from bench.stats.values import Method, Values, array, differences, directed, paired_values
from bench.text import counted, number


def in_words(found: Interval, metric: Metric) -> str:
    """A mean: 17.03 dB (95 % interval 16.91 to 17.16, 5 seeds, Student t), or 17.03 dB (2 seeds: no interval)."""
    places = found.places if metric.places is None else metric.places
    middle = f"{number(found.estimate, places)}{metric.suffix}"
    if not found.known:
        return f"{middle} ({found.method})"
    ends = f"{number(found.low, places)} to {number(found.high, places)}"
    return f"{middle} (95 % interval {ends}, {counted(found.n)}, {found.method})"


@dataclass(frozen=True)
class Lead:
    """The best method of a metric, and what its lead over the second is worth."""

    winner: Method
    """Estimator and posterior."""
    runner_up: Method | None
    difference: Interval | None
    """Of winner - runner-up on shared seeds, counted so that positive is better. None without a runner-up."""
    larger_than_noise: bool | None
    """Whether the interval lies above zero; None where there is none."""
    sentence: str


def lead(values: Table, metric: str, dataset: str, preset: str) -> Lead | None:
    """Who has the best mean, and whether its lead over the second is larger than the seed noise, in a sentence.

    `values` is a table of values (`finals`, `at_cost`). Methods are (estimator, posterior); for an ablation write
    what varies into `estimator`. None if nobody has a value. Raises ValueError for an unknown metric, and for one by
    which nobody can lead because neither end of it is better.
    """
    info = directed(metric)
    setting, table = (dataset, preset), Values(values)
    # of equal means the first in reading order stays first, as in every other view
    scores = {method: mine for method in table.methods([setting]) if (mine := table(setting, method, metric))}
    ranked = sorted(scores, key=lambda method: -info.sign * array(scores[method]).mean())
    if not ranked:
        return None
    several = len({posterior for _, posterior in ranked}) > 1
    names = {method: f"{method[0]} ({method[1]})" if several else method[0] for method in ranked}
    opening = f"The winner is {names[ranked[0]]} with {in_words(interval([array(scores[ranked[0]])]), info)}"
    lost = {names[method]: table.ended([setting], method, metric, "diverged") for method in ranked[:2]}
    closing = "".join(f" {counted(n, 'run')} of {name} diverged and left no value." for name, n in lost.items() if n)
    if len(ranked) == 1:
        alone = f"{opening}; no other method has a value.{closing}"
        return Lead(ranked[0], None, None, None, alone)
    winner, second = ranked[:2]
    mine, theirs = paired_values(scores[winner], scores[second])
    found = interval([info.sign * differences(mine, theirs)])
    larger = found.low > 0 if found.known else None
    sentence = f"{opening}; {_evidence(found, larger, names[second], info.suffix)}.{closing}"
    return Lead(winner, second, found, larger, sentence)


def _evidence(found: Interval, larger: bool | None, second: str, unit: str) -> str:
    if found.n == 0:
        return f"it shares no seed with {second}, the next, so its lead cannot be told from seed noise"
    low, middle, high = (number(value, found.places) for value in (found.low, found.estimate, found.high))
    claim = f"its lead of {middle}{unit} over {second}"
    if larger is None:
        return f"{claim} cannot be told from seed noise ({found.method})"
    evidence = f"paired difference 95 % interval {low} to {high}{unit}, {counted(found.n)}, {found.method}"
    return f"{claim} is {'' if larger else 'not '}larger than the seed noise ({evidence})"
