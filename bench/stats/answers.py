"""Sentences computed from data, the same on the terminal and on pages: who won, whether that is more than luck, and, of
an ablation, how much the choice matters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.catalogue import Metric, describe, ranked
from bench.records.study import Condition, Study
from bench.records.sweep import Comparison, Table
from bench.stats.bands import TOLERANCE, Band, bands
from bench.stats.intervals import Interval, interval
from bench.stats.values import Method, Values, array, differences, directed, paired_values
from bench.text import counted, decimals, number, short


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
    order = sorted(scores, key=lambda method: -info.sign * array(scores[method]).mean())
    if not order:
        return None
    several = len({posterior for _, posterior in order}) > 1
    names = {method: f"{method[0]} ({method[1]})" if several else method[0] for method in order}
    opening = f"The winner is {names[order[0]]} with {in_words(interval([array(scores[order[0]])]), info)}"
    lost = {names[method]: table.ended([setting], method, metric, "diverged") for method in order[:2]}
    closing = "".join(f" {counted(n, 'run')} of {name} diverged and left no value." for name, n in lost.items() if n)
    if len(order) == 1:
        alone = f"{opening}; no other method has a value.{closing}"
        return Lead(order[0], None, None, None, alone)
    winner, second = order[:2]
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


COSTS = {"step": "steps", "images": "images", "decodes": "decoder evaluations", "seconds": "seconds of training"}
"""AXES in sentences."""


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def costs(comparison: Comparison) -> str:
    """At which costs the methods were equal and at which not, with what the runs spent: `Compared at equal steps (1000)
    and images (32k); not at equal decoder evaluations (32k to 256k) ...`. Empty with fewer than two methods."""
    ends = comparison.ends
    if ends["method"].nunique() < 2:
        return ""

    def spent(axes: Sequence[str]) -> str:
        ranges = [dict.fromkeys((short(ends[axis].min()), short(ends[axis].max()))) for axis in axes]
        return listed([f"{COSTS[axis]} ({' to '.join(found)})" for axis, found in zip(axes, ranges, strict=True)])

    equal = comparison.equal_cost
    others = [axis for axis in COSTS if axis not in equal]
    if not equal:
        return f"Not compared at equal cost: {spent(others)}."
    return f"Compared at equal {spent(equal)}{f'; not at equal {spent(others)}' if others else ''}."


def mid_schedule(comparison: Comparison) -> str:
    """What curves against costs must not be taken for. Empty where all schedules ended at the same costs."""
    unequal = [words for axis, words in COSTS.items() if axis not in comparison.equal_cost]
    if not unequal or comparison.ends["method"].nunique() < 2:
        return ""
    against = listed(unequal)
    return f"Against {against}, runs are read in the middle of their schedules: this is no comparison at equal cost."


@dataclass(frozen=True)
class Answer:
    """What an ablation says first, under one condition."""

    condition: str
    between_families: str
    """Each family at the best of its settings; empty if there is only one."""
    between_settings: str
    """Empty if that says the same."""
    costs: str
    """At which it holds."""
    noise: str
    """How far seeds lie apart."""

    @property
    def sentences(self) -> list[str]:
        return [part for part in (self.between_families, self.between_settings, self.costs, self.noise) if part]


def measured(study: Study) -> list[str]:
    """Metrics that can name a winner, the one that ranks first."""
    return [metric for metric in ranked() if any(metric in condition.means for condition in study.conditions)]


def answers(study: Study, metric: str) -> list[Answer]:
    """One per condition that has a value."""
    found = [_answer(study, condition, metric) for condition in study.conditions]
    return [answer for answer in found if answer is not None]


def headline(study: Study) -> list[str]:
    """The answer in the metric that ranks, for those who do not open the page."""
    found = answers(study, study.metric) if study.metric else []
    sentences = sensitivity(bands(study), study.noun)
    # who wins under each of several conditions would be a list
    return sentences if len(found) > 1 else [part for one in found for part in one.sentences] + sentences


def _answer(study: Study, condition: Condition, metric: str) -> Answer | None:
    values = condition.finals[condition.finals["metric"] == metric]
    place = condition.dataset, condition.preset
    winner = lead(values, metric, *place)
    if winner is None:
        return None
    chosen = [condition.best(metric, condition.of_family(family)) for family in study.families]
    best_each = list(dict.fromkeys(index for index in chosen if index is not None))
    among = lead(values[values["method"].isin(best_each)], metric, *place) if len(best_each) > 1 else None
    between = f"Each {study.noun} at the best of its settings: {_inside(among.sentence)}" if among else ""
    of_all = f"Of all settings {_inside(winner.sentence)}" if among else winner.sentence
    if among and among.sentence == winner.sentence:
        of_all = ""
    return Answer(condition.condition, between, of_all, costs(condition), _noise(condition, metric, winner))


def _inside(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _noise(condition: Condition, metric: str, winner: Lead) -> str:
    """Of differences to the winner, seed by seed: their standard error, and how many settings it cannot set apart."""
    info, values = describe(metric), condition.finals
    values = values[(values["metric"] == metric) & values["value"].notna()]
    table = values.pivot_table("value", "seed", "method")
    is_winner = (values["estimator"] == winner.winner[0]) & (values["posterior"] == winner.winner[1])
    best = values["method"][is_winner].iloc[0]
    differences = table.drop(columns=best).rsub(table[best], axis=0)
    behind, count = info.sign * differences.mean(), differences.count()
    errors = (differences.std() / np.sqrt(count))[count >= 2]
    if errors.empty:
        return "With one seed in common there is no telling settings from luck."
    error = float(errors.median())
    close = int((behind < 2 * error).sum())
    size = f"{number(error, decimals(error, 0.0))}{info.suffix}"
    return (
        f"A setting's difference to the winner has a standard error of {size} over the seeds "
        f"(median of {len(errors)} settings); {close} of {len(behind)} are less than two of these behind it."
    )


def sensitivity(found: list[Band], noun: str) -> list[str]:
    """Whether the choice within a family matters, and what a single setting loses."""
    several = bool(found) and len(found[0].conditions) > 1
    where = f" under all {len(found[0].conditions)} conditions" if several else ""
    sentences = []
    known = [band for band in found if math.isfinite(band.worst(band.safest))]
    if several and known:
        safest, *others = known
        sentence = (
            f"If one setting has to do{where}, {safest.safest[0]} loses least: never more than "
            f"{safest.worst(safest.safest):.2f} dB against the best of a condition"
        )
        if others:
            following, last = others[0], others[-1]
            sentence += (
                f"; the best such setting of the next {noun}, {following.safest[0]}, up to "
                f"{following.worst(following.safest):.2f} dB, and that of the last, {last.safest[0]}, up to "
                f"{last.worst(last.safest):.2f} dB"
            )
        sentences.append(f"{sentence}.")
    tried = [band for band in found if len(band.drops) > 1]
    if tried:
        parts = [
            f"{band.family} {band.within} of {len(band.drops)}"
            + (f" ({band.knob} {band.range})" if band.knob and band.within else "")
            for band in sorted(tried, key=lambda band: -band.within / len(band.drops))
        ]
        sentences.append(f"Settings within {TOLERANCE:g} dB of the best{where}: {'; '.join(parts)}.")
    return sentences
