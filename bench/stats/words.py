"""Sentences computed from data, for pages that say who won and whether that is more than luck."""

import math
from dataclasses import dataclass

from bench.metrics.catalogue import find
from bench.records.sweep import Table
from bench.stats.intervals import Interval, counted, interval
from bench.stats.values import Method, Values, array, differences, paired_values


def number(value: float, scale: float) -> str:
    """`value` to two digits of `scale`, the size of what is uncertain about it: 17.03 at a scale of 0.12."""
    if not math.isfinite(value):
        return "-"
    size = abs(scale) if math.isfinite(scale) and scale else abs(value)
    decimals = 1 - math.floor(math.log10(size)) if size else 0
    rounded = round(value, decimals)
    return f"{rounded + 0.0:.{min(max(decimals, 0), 12)}f}"


def in_words(found: Interval, unit: str) -> str:
    """17.03 dB (95 % interval 16.91 to 17.15, 5 seeds, Student t), or 17.03 dB (2 seeds: no interval)."""
    named = "" if unit == "1" else f" {unit}"
    if not found.known:
        return f"{number(found.estimate, found.estimate / 100)}{named} ({found.method})"
    scale = (found.high - found.low) / 2 or found.estimate / 100
    low, middle, high = (number(x, scale) for x in (found.low, found.estimate, found.high))
    return f"{middle}{named} (95 % interval {low} to {high}, {counted(found.n)}, {found.method})"


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
    what varies into `estimator`. None if nobody has a value. Raises ValueError for an unknown metric.
    """
    info = find(metric)
    sign = info.sign
    setting, table = (dataset, preset), Values(values)
    scores = {method: table(setting, method, metric) for method in table.methods([setting])}
    # of equal means the first in reading order, as in every other view
    here = values[(values["dataset"] == dataset) & (values["preset"] == preset)]
    named = zip(here["estimator"], here["posterior"], strict=True)
    place = dict(zip(named, here["method"], strict=True)) if "method" in here else {}
    known = [method for method in scores if scores[method]]
    ranked = sorted(known, key=lambda method: (-sign * array(scores[method]).mean(), place.get(method, 0)))
    if not ranked:
        return None
    several = len({posterior for _, posterior in ranked}) > 1
    names = {method: f"{method[0]} ({method[1]})" if several else method[0] for method in ranked}
    opening = f"The winner is {names[ranked[0]]} with {in_words(interval([array(scores[ranked[0]])]), info.unit)}"
    lost = {names[method]: table.ended([setting], method, metric, "diverged") for method in ranked[:2]}
    closing = "".join(f" {counted(n, 'run')} of {name} diverged and left no value." for name, n in lost.items() if n)
    if len(ranked) == 1:
        alone = f"{opening}; no other method has a value.{closing}"
        return Lead(ranked[0], None, None, None, alone)
    winner, second = ranked[:2]
    mine, theirs = paired_values(scores[winner], scores[second])
    found = interval([sign * differences(mine, theirs)])
    larger = found.low > 0 if found.known else None
    sentence = f"{opening}; {_evidence(found, larger, names[second], info.unit)}.{closing}"
    return Lead(winner, second, found, larger, sentence)


def _evidence(found: Interval, larger: bool | None, second: str, unit: str) -> str:
    named = "" if unit == "1" else f" {unit}"
    if found.n == 0:
        return f"it shares no seed with {second}, the next, so its lead cannot be told from seed noise"
    scale = (found.high - found.low) / 2 if found.known else found.estimate
    middle = f"its lead of {number(found.estimate, scale)}{named} over {second}"
    if larger is None:
        return f"{middle} cannot be told from seed noise ({found.method})"
    low, high = number(found.low, scale), number(found.high, scale)
    evidence = f"paired difference 95 % interval {low} to {high}{named}, {counted(found.n)}, {found.method}"
    return f"{middle} is {'' if larger else 'not '}larger than the seed noise ({evidence})"
