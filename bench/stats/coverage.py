"""How often the 95 % intervals cover, and how often chance is taken for a lead: simulated sweeps of known truth.

`python -m bench.stats.coverage` prints the tables of docs/statistics.md (about ten minutes of one core).
"""

import argparse
import functools
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from bench.stats.intervals import LEVEL, Interval, Statistic, improvement_interval, interval, resampling_weights
from bench.stats.scores import Scores, holm, iqm, paired_t_test

SEEDS = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 50)
SWEEPS = 2000
PROMISED_FROM = 10
PROMISED = (93, 97)
"""Percent, from PROMISED_FROM seeds on."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], Float[np.ndarray, "..."]]


POPULATIONS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.gamma(4, size=shape) / 2,
    "very skewed": lambda rng, shape: rng.lognormal(0, 0.5, shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, shape),
    "bad seeds": lambda rng, shape: rng.normal(size=shape) - 5 * (rng.random(shape) < 0.1),
}
"""Scores over seeds: normal; gamma of shape 4 (skewness 1); log-normal, sigma 0.5 (skewness 1.75); t with 3 degrees of
freedom; and normal, but one seed in ten lies 5 standard deviations lower."""

LEVELS = np.array([[15.0], [20.0], [28.0]])
SPREADS = np.array([[1.0], [0.5], [2.0]])
"""Of three datasets, one row each."""
ADVANTAGE = 1.0
"""Of one method over the other, in units of the population, where the probability of improvement is asked for."""
SHARED = 1.5
"""Standard deviation of what a seed does to all methods alike, where seeds correlate."""
METHODS = 5
"""Methods of equal worth, where false alarms are counted."""


def _estimates(rng: np.random.Generator, draw: Draw, n: int) -> dict[str, Interval]:
    """Of one simulated sweep. What seeds share cancels in the paired difference, so it is left out there."""
    own, other, shared = draw(rng, (3, n)), draw(rng, (1, n)), SHARED * rng.normal(size=n)
    scores = list(LEVELS + SPREADS * own)
    return {
        "mean": interval([own[0]]),
        "interquartile mean": interval([own[0]], "iqm"),
        "paired difference": interval([own[0] - other[0] / 2]),
        "mean over 3 datasets": interval(scores),
        "interquartile mean over 3 datasets": interval(scores, "iqm"),
        "probability of improvement": improvement_interval([own[0] + ADVANTAGE], [other[0]]),
        "probability of improvement, seeds that correlate": improvement_interval(
            [own[0] + ADVANTAGE + shared], [other[0] + shared]
        ),
        "for comparison, the mean by the plain percentile bootstrap": _plain_percentile(own[0], "mean"),
        "for comparison, the interquartile mean by the plain percentile bootstrap": _plain_percentile(own[0], "iqm"),
    }


def _plain_percentile(x: Scores, statistic: Statistic) -> Interval:
    resampled = resampling_weights(len(x), 0, statistic) @ np.sort(x)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float("nan"), float(low), float(high), len(x), "percentile bootstrap")


@functools.cache
def _truths(population: str) -> dict[str, float]:
    """From four million draws: good to a hundredth of the narrowest interval."""
    rng = np.random.default_rng(0)
    x, y = POPULATIONS[population](rng, (2, 4_000_000))
    # a new run of either method has a seed of its own
    noise = SHARED * np.sqrt(2) * rng.normal(size=x.shape)
    mean, middle = float(np.mean([x.mean(), y.mean()])), float(np.mean([iqm(x), iqm(y)]))
    level, spread = float(LEVELS.mean()), float(SPREADS.mean())
    return {
        "mean": mean,
        "interquartile mean": middle,
        "paired difference": mean / 2,
        "mean over 3 datasets": level + spread * mean,
        "interquartile mean over 3 datasets": level + spread * middle,
        "probability of improvement": float(np.mean(x + ADVANTAGE > y)),
        "probability of improvement, seeds that correlate": float(np.mean(x + ADVANTAGE + noise > y)),
        "for comparison, the mean by the plain percentile bootstrap": mean,
        "for comparison, the interquartile mean by the plain percentile bootstrap": middle,
    }


def _generator(population: str, n: int) -> np.random.Generator:
    return np.random.default_rng([n, list(POPULATIONS).index(population)])


def coverage(population: str, n: int, sweeps: int = SWEEPS) -> dict[str, tuple[float, str]]:
    """Per quantity the percentage of `sweeps` simulated sweeps of n seeds whose interval covers, and its method."""
    truths, rng = _truths(population), _generator(population, n)
    covered = dict.fromkeys(truths, 0)
    methods = {}
    for _ in range(sweeps):
        for quantity, found in _estimates(rng, POPULATIONS[population], n).items():
            covered[quantity] += found.low <= truths[quantity] <= found.high
            methods[quantity] = found.method
    return {quantity: (100 * count / sweeps, methods[quantity]) for quantity, count in covered.items()}


def false_alarms(population: str, n: int, sweeps: int = SWEEPS) -> dict[str, float]:
    """Per cent of `sweeps` simulated sweeps of METHODS equal methods where chance is called something."""
    rng = _generator(population, n)
    alarms = {"the lead of the best is called larger than the seed noise": 0, "Holm's test separates any from one": 0}
    lead, test = alarms
    for _ in range(sweeps):
        scores = POPULATIONS[population](rng, (METHODS, n)) + SHARED * rng.normal(size=n)
        best, second = np.argsort(-scores.mean(1))[:2]
        alarms[lead] += interval([scores[best] - scores[second]]).low > 0
        alarms[test] += bool((holm([paired_t_test([other - scores[0]]) for other in scores[1:]]) < 1 - LEVEL).any())
    return {alarm: 100 * count / sweeps for alarm, count in alarms.items()}


def tables(seeds: tuple[int, ...], sweeps: int) -> Iterator[str]:
    """Markdown, a table per quantity, per cent; bold where the coverage is not as promised."""
    cells = [(n, population) for n in seeds for population in POPULATIONS]
    found = {cell: coverage(cell[1], cell[0], sweeps) for cell in cells}
    for quantity in found[cells[0]]:
        yield from _head(quantity, "| seeds | method |")
        for n in seeds:
            row = [found[n, population][quantity] for population in POPULATIONS]
            yield f"| {n} | {row[0][1]} | {' | '.join(_cell(n, percent) for percent, _ in row)} |"
    alarms = {cell: false_alarms(cell[1], cell[0], sweeps) for cell in cells}
    for alarm in alarms[cells[0]]:
        yield from _head(f"false alarms: {alarm}", "| seeds |")
        for n in seeds:
            yield f"| {n} | {' | '.join(f'{alarms[n, population][alarm]:.1f}' for population in POPULATIONS)} |"


def _head(title: str, columns: str) -> Iterator[str]:
    yield f"\n**{title[0].upper()}{title[1:]}**\n"
    yield f"{columns} {' | '.join(POPULATIONS)} |"
    yield "|---" * (columns.count("|") - 1 + len(POPULATIONS)) + "|"


def _cell(n: int, percent: float) -> str:
    shown = f"{percent:.1f}"
    low, high = PROMISED
    return f"**{shown}**" if n >= PROMISED_FROM and not low <= float(shown) <= high else shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Coverage of the 95 % intervals on simulated sweeps.")
    parser.add_argument("--sweeps", type=int, default=SWEEPS, help="simulated sweeps per cell [default: %(default)s]")
    for line in tables(SEEDS, parser.parse_args().sweeps):
        print(line, flush=True)
