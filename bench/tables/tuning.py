"""Tables of a search for settings: default beside tuned, and what so many trials are expected to find."""

from bench.metrics.catalogue import describe
from bench.records.tuning import Tuning
from bench.stats.intervals import Interval
from bench.stats.tuning import Tuned, rows
from bench.tables.views import Grid
from bench.text import MISSING, counted, number

PLACES = 2
"""Decimals, where the metric has none of its own."""


def of_tuning(tuning: Tuning) -> list[Grid]:
    """What tuning did to each estimator, and what it would have found with fewer trials."""
    found, info = rows(tuning), describe(tuning.metric)
    places = PLACES if info.places is None else info.places
    where = f"{tuning.comparison.title}, {info.with_arrow} on validation images"
    return [_gains(tuning, found, places, where), _expected(tuning, found, places, where)]


def _gains(tuning: Tuning, found: list[Tuned], places: int, where: str) -> Grid:
    fresh = max((max(one.default.n, one.tuned.n) for one in found), default=0)
    return Grid(
        head=[
            "estimator",
            "default",
            "tuned",
            "gain, paired",
            "best trial",
            "its settings",
            "quartiles of trials",
            "lost",
        ],
        rows=[
            [
                tuning.label(one.search),
                mean(one.default, places),
                mean(one.tuned, places),
                gain(one, places),
                MISSING if one.best is None else f"{one.best.number} of {len(one.search.trials)}",
                MISSING if one.best is None else one.best.words,
                " | ".join(number(value, places) for value in one.quartiles),
                str(one.lost),
            ]
            for one in found
        ],
        align="lrrrrlrr",
        title=f"{where}: tuned on one seed, measured on {counted(fresh, 'fresh seed')}",
        note="Gain: tuned against default, seed by seed, with its 95 % interval. Lost: trials without a value.",
    )


def _expected(tuning: Tuning, found: list[Tuned], places: int, where: str) -> Grid:
    counts = sorted({n for one in found for n in one.expected})
    cells = [[tuning.label(one.search), *(expected(one, n, places) for n in counts)] for one in found]
    return Grid(
        head=["estimator", *(f"n = {n}" for n in counts)],
        rows=cells,
        align="l" + "r" * len(counts),
        title=f"{where}: expected best of n trials, and its place",
        note="Draws without replacement from the trials; a trial without a value counts as the worst of all.",
    )


def mean(found: Interval, places: int) -> str:
    """With its interval, or the number of seeds where there is none."""
    text = number(found.estimate, places)
    if found.known:
        return f"{text} [{number(found.low, places)}, {number(found.high, places)}]"
    return text if text == MISSING else f"{text} (n={found.n})"


def gain(one: Tuned, places: int) -> str:
    """`none` where the default was the best trial."""
    return "none" if one.best is not None and one.best.number == 0 else mean(one.gain, places)


def expected(one: Tuned, n: int, places: int) -> str:
    """17.31 (2): the second of those with as many trials."""
    place = f" ({one.rank[n]})" if n in one.rank else ""
    return f"{number(one.expected.get(n), places)}{place}"
