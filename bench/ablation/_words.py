"""What the page says first: who won, and whether that is more than luck, in sentences computed from the data."""

import math
from dataclasses import dataclass

import numpy as np

from bench import stats
from bench.ablation._bands import TOLERANCE, Band, bands
from bench.ablation._study import QUALITY, Study
from bench.metrics.catalogue import METRICS
from bench.text import decimals, number


@dataclass(frozen=True)
class Answer:
    """To one condition."""

    condition: str
    metric: str
    between_families: str
    """Each family at the best of its settings; empty if there is only one."""
    between_settings: str
    """Empty if that says the same."""
    noise: str
    """How far seeds lie apart."""


def answers(study: Study, metric: str) -> list[Answer]:
    """One per condition that has a value."""
    found = [_answer(study, condition, metric) for condition in study.conditions]
    return [answer for answer in found if answer is not None]


def measured(study: Study) -> list[str]:
    """Quality metrics, the one that ranks first."""
    return [metric for metric in QUALITY if (study.finals["metric"] == metric).any()]


def _answer(study: Study, condition: str, metric: str) -> Answer | None:
    values = study.scores[condition]
    values = values[values["metric"] == metric]
    place = study.settings[study.of_condition(condition)[0]].place
    lead = stats.lead(values, metric, *place)
    if lead is None:
        return None
    chosen = [i for i in (_best(study, condition, metric, family) for family in study.families) if i is not None]
    best_each = list(dict.fromkeys(chosen))
    between, among = "", None
    if len(best_each) > 1 and (among := stats.lead(values[values["setting"].isin(best_each)], metric, *place)):
        between = f"Each {study.noun} at the best of its settings: {_inside(among.sentence)}"
    of_all = f"Of all settings {_inside(lead.sentence)}"
    if among is not None and among.sentence == lead.sentence:
        of_all = ""
    return Answer(
        condition, metric, between, of_all if between else lead.sentence, _noise(study, condition, metric, lead)
    )


def _inside(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _best(study: Study, condition: str, metric: str, family: str) -> int | None:
    mine = [i for i in study.of_condition(condition) if family in study.settings[i].families]
    sign = -1 if METRICS[metric].better == "lower" else 1
    return max(
        (i for i in mine if (i, metric) in study.means), key=lambda i: sign * study.means[i, metric], default=None
    )


def _noise(study: Study, condition: str, metric: str, lead: stats.Lead) -> str:
    """Of differences to the winner, seed by seed: their standard error, and how many settings it cannot set apart."""
    values = study.scores[condition]
    values = values[(values["metric"] == metric) & values["value"].notna()]
    table = values.pivot_table("value", "seed", "setting")
    winner = values["setting"][(values["estimator"] == lead.winner[0]) & (values["posterior"] == lead.winner[1])].iloc[
        0
    ]
    differences = table.drop(columns=winner).rsub(table[winner], axis=0)
    sign = -1 if METRICS[metric].better == "lower" else 1
    behind, count = sign * differences.mean(), differences.count()
    errors = (differences.std() / np.sqrt(count))[count >= 2]
    if errors.empty:
        return "With one seed in common there is no telling settings from luck."
    error = float(errors.median())
    close = int((behind < 2 * error).sum())
    unit = "" if METRICS[metric].unit == "1" else f" {METRICS[metric].unit}"
    noise = f"{number(error, decimals(error, 0.0))}{unit}"
    return (
        f"A setting's difference to the winner has a standard error of {noise} over the seeds "
        f"(median of {len(errors)} settings); {close} of {len(behind)} are less than two of these behind it."
    )


def headline(study: Study) -> list[str]:
    """The answer in the metric that ranks, for those who do not open the page."""
    found = answers(study, study.metric) if study.metric else []
    sentences = sensitivity(bands(study), study.noun)
    if len(found) > 1:
        return sentences
    return [
        part for one in found for part in (one.between_families, one.between_settings, one.noise) if part
    ] + sentences


def sensitivity(found: list[Band], noun: str) -> list[str]:
    """Whether the choice within a family matters, and what a single setting loses."""
    if not found:
        return []
    several = len(found[0].conditions) > 1
    where = f" under all {len(found[0].conditions)} conditions" if several else ""
    known = [band for band in found if math.isfinite(band.worst(band.safest))]
    sentences = []
    if several and known:
        safest, *others = known
        sentence = (
            f"If one setting has to do{where}, {safest.safest[0]} loses least: never more than "
            f"{safest.worst(safest.safest):.2f} dB against the best of a condition"
        )
        if others:
            last = others[-1]
            sentence += (
                f"; the best such setting of the next {noun}, {others[0].safest[0]}, up to "
                f"{others[0].worst(others[0].safest):.2f} dB, and that of the last, {last.safest[0]}, up to "
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
