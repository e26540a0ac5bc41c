"""95 % intervals over seeds. Which method serves which number of seeds was chosen by simulation: docs/statistics.md."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import special

from bench.stats.scores import Scores, finite, iqm, probability_of_improvement, squared_error, welch_satterthwaite
from bench.text import counted, decimals

LEVEL = 0.95
FEWEST = 3
"""Seeds. With fewer there is no interval."""
BOOTSTRAP_FROM = 10
"""Seeds. With fewer, a small-sample method."""
RESAMPLES = 9999
Statistic = Literal["mean", "iqm"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, in the unit of the scores."""

    estimate: float
    low: float
    """NaN where there is no interval."""
    high: float
    n: int
    """Seeds; of several datasets, those of the dataset that has fewest."""
    method: str
    """How the interval was made, or in words why there is none: "2 seeds: no interval"."""

    @property
    def known(self) -> bool:
        return not np.isnan(self.low)

    def columns(self, name: str) -> dict[str, float]:
        """Of a table that has other intervals too."""
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}

    @property
    def places(self) -> int:
        """Decimals that show two digits of what is uncertain about it; of itself where that is not known."""
        half = (self.high - self.low) / 2
        return decimals(half if half > 0 else abs(self.estimate), 0.0)


def interval(strata: Sequence[object], statistic: Statistic = "mean") -> Interval:
    """Of one dataset's scores, `[x]`, or averaged over several, `[x_1, ..., x_d]`; paired differences are scores too.

    `mean` is the mean, `iqm` the interquartile mean of each dataset; over datasets, the mean of those. Datasets are
    strata: their runs are independent, each dataset has its own spread. Missing values are left out.

    From 10 seeds in every dataset, 9999 resamples, stratified: the symmetric studentised bootstrap (Hall 1988) for the
    mean, nowhere narrower than t; for the interquartile mean the percentile bootstrap, its tails as far out as those of
    t (after Hesterberg 2015, arXiv:1411.5279). From 3 seeds: Student's t, over datasets with the degrees of freedom of
    Welch and Satterthwaite; for the interquartile mean with its bootstrap standard error. Under 3: none.
    """
    samples = [np.sort(finite(x)) for x in strata]
    n = min(map(len, samples), default=0)
    if n == 0:
        return _no_interval(np.nan, n)
    estimate = float(np.mean([x.mean() if statistic == "mean" else iqm(x) for x in samples]))
    if n < FEWEST:
        return _no_interval(estimate, n)
    squares = [squared_error(x) for x in samples]
    if not any(squares):
        return Interval(estimate, estimate, estimate, n, "all seeds equal")
    if statistic == "iqm" and n >= BOOTSTRAP_FROM:
        return Interval(estimate, *_percentiles(samples), n, "t-tailed percentile bootstrap")
    if statistic == "iqm":
        squares = [_squared_iqm_error(x, stratum) for stratum, x in enumerate(samples)]
    error, df = welch_satterthwaite(squares, samples)
    quantile, name = _t(df), _small_sample_name(samples, statistic)
    if n >= BOOTSTRAP_FROM:
        quantile, name = max(quantile, _studentised_quantile(samples)), "studentised bootstrap"
    return Interval(estimate, estimate - quantile * error, estimate + quantile * error, n, name)


def _t(df: float) -> float:
    return float(special.stdtrit(df, (1 + LEVEL) / 2))


def _no_interval(estimate: float, n: int, noun: str = "seed") -> Interval:
    return Interval(estimate, np.nan, np.nan, n, f"{counted(n, noun)}: no interval")


def _small_sample_name(samples: Sequence[Scores], statistic: Statistic) -> str:
    t = "Student t" if len(samples) == 1 else "Welch-Satterthwaite t"
    untrimmed = statistic == "mean" or max(map(len, samples)) < 4
    return t if untrimmed else f"{t}, bootstrap error"


@functools.lru_cache(maxsize=128)
def resampling_weights(n: int, stratum: int, statistic: Statistic) -> Float[np.ndarray, "resamples n"]:
    """What n scores in ascending order weigh in the statistic of each resample; the same resamples in every call."""
    picks = np.sort(np.random.default_rng([n, stratum]).integers(n, size=(RESAMPLES, n)), axis=1)
    cut = int(0.25 * n) if statistic == "iqm" else 0
    kept = picks[:, cut : n - cut]
    cells = kept + n * np.arange(RESAMPLES)[:, None]
    return np.bincount(cells.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n) / kept.shape[1]


def _studentised_quantile(samples: Sequence[Scores]) -> float:
    """Of |mean - its expectation| / standard error, over resamples. Those without any spread have no such ratio."""
    offset, square = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for stratum, x in enumerate(samples):
        n = len(x)
        centred, weights = x - x.mean(), resampling_weights(n, stratum, "mean")
        means = weights @ centred
        offset += means
        square += (weights @ centred**2 - means**2) / (n - 1)
    spread = square > 1e-12 * square.max()
    return float(np.quantile(np.abs(offset[spread]) / np.sqrt(square[spread]), LEVEL))


def _squared_iqm_error(x: Scores, stratum: int) -> float:
    """Bootstrap variance; of 3 scores nothing is trimmed, and the mean's is known."""
    if len(x) < 4:
        return squared_error(x)
    return float(np.var(resampling_weights(len(x), stratum, "iqm") @ (x - x.mean())))


def _percentiles(samples: Sequence[Scores]) -> tuple[float, float]:
    resampled = np.mean([resampling_weights(len(x), stratum, "iqm") @ x for stratum, x in enumerate(samples)], axis=0)
    tail = special.ndtr(-_t(sum(len(x) - 1 for x in samples)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def improvement_interval(x: Sequence[object], y: Sequence[object]) -> Interval:
    """Of the probability that a run of X scores higher than one of Y, mean over datasets; methods as independent.

    The score interval of Newcombe (2006, Statistics in Medicine 25:559, method 5) at every number of seeds: bootstrap
    intervals have no width where every run of one beats every run of the other. Shared seeds make it too wide, not
    too narrow, where they make good runs of X and of Y coincide.
    """
    pairs = [(finite(a), finite(b)) for a, b in zip(x, y, strict=True)]
    n = min((min(len(a), len(b)) for a, b in pairs), default=0)
    if n == 0:
        return _no_interval(np.nan, n)
    estimate = float(np.mean([probability_of_improvement(a, b) for a, b in pairs]))
    if n < FEWEST:
        return _no_interval(estimate, n)
    low, high = _newcombe(estimate, [(len(a), len(b)) for a, b in pairs])
    return Interval(estimate, low, high, n, "Newcombe score")


def _newcombe(estimate: float, sizes: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Where the estimate lies 1.96 standard errors off, the error being that at the bound itself, not at the estimate.

    The error is Hanley and McNeil's (1982), exact for exponential scores; over datasets as if all were alike.
    """
    from scipy import optimize

    z = special.ndtri((1 + LEVEL) / 2)
    products = np.array([a * b for a, b in sizes])
    extras = np.array([(a + b) / 2 - 1 for a, b in sizes])

    def excess(p: float) -> float:
        variances = p * (1 - p) * (1 + extras * ((1 - p) / (2 - p) + p / (1 + p))) / products
        return (p - estimate) ** 2 - z**2 * variances.mean() / len(sizes)

    inside = min(max(estimate, 1e-9), 1 - 1e-9)  # 0 and 1 solve the equation themselves
    low = float(optimize.brentq(excess, 0, inside)) if estimate > 0 else 0.0  # type: ignore[arg-type]
    high = float(optimize.brentq(excess, inside, 1)) if estimate < 1 else 1.0  # type: ignore[arg-type]
    return low, high


@functools.cache
def fraction_interval(successes: int, n: int) -> Interval:
    """Of a fraction of n runs: Wilson's score interval (1927), which has a width even at 0 and at 1."""
    if n < FEWEST:
        return _no_interval(successes / n if n else np.nan, n, "run")
    from scipy import stats

    low, high = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return Interval(successes / n, float(low), float(high), n, "Wilson score")
