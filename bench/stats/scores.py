"""Statistics of arrays of scores: what is estimated, and the tests between methods."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

Scores = Float[np.ndarray, " n"]
SIGN_FLIPS = 9999


def finite(values: object) -> Scores:
    """The values that are numbers, in their order; NaN and infinities count as missing."""
    array = np.asarray(values, dtype=float).ravel()
    return array[np.isfinite(array)]


def iqm(scores: object) -> float:
    """Interquartile mean: of the scores, flattened, without the lowest and the highest quarter, in their unit.

    n // 4 scores go at either end (Agarwal et al. 2021, arXiv:2108.13264), so under 4 scores it is the mean.
    NaN where there is no score.
    """
    ordered = np.sort(finite(scores))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean()) if len(ordered) else np.nan


def probability_of_improvement(x: object, y: object) -> float:
    """P(X > Y) + P(X = Y) / 2 for a run of X and a run of Y, any two: over all n_x n_y pairs, as rliable publishes it.

    Unpaired on purpose (Agarwal et al. 2021, arXiv:2108.13264): it asks what a new run of either would do. NaN where
    one of them has no score.
    """
    x, y = finite(x), finite(y)
    if not (x.size and y.size):
        return np.nan
    return float((np.sign(x[:, None] - y[None, :]).mean() + 1) / 2)


def performance_profile(scores: object, thresholds: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Fraction of runs that score above each threshold (Agarwal et al. 2021). NaN scores are above none, and count."""
    flat = np.asarray(scores, dtype=float).ravel()
    if not flat.size:
        return np.full(len(thresholds), np.nan)
    return (flat[:, None] > np.asarray(thresholds, dtype=float)).mean(0)


def holm(p: object) -> Float[np.ndarray, " m"]:
    """Holm's step-down adjusted p values (Holm 1979), in the order given. NaN is no test: it stays, uncounted."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return adjusted


def paired_t_test(strata: Sequence[Scores]) -> float:
    """Two-sided p of "the mean paired difference is zero", differences given per dataset.

    One dataset: Student's paired t test. Several: the mean of their means over its standard error, with the degrees
    of freedom of Welch and Satterthwaite. Differences all zero give 1, all equal and not zero give 0.
    """
    if not strata or min(map(len, strata)) < 2:
        return np.nan
    error, df = welch_satterthwaite([squared_error(x) for x in strata], strata)
    mean = abs(np.mean([np.mean(x) for x in strata]))
    if error == 0:
        return 0.0 if mean else 1.0
    return float(2 * special.stdtr(df, -mean / error))


def squared_error(x: Scores) -> float:
    """Of the mean. Exactly zero for equal values, where rounding would leave some 1e-32 for a test to divide by."""
    return 0.0 if np.ptp(x) <= 1e-12 * np.max(np.abs(x)) else float(np.var(x, ddof=1)) / len(x)


def welch_satterthwaite(squares: Sequence[float], strata: Sequence[Scores]) -> tuple[float, float]:
    """Standard error of a mean over datasets and its degrees of freedom, from the squared errors in each."""
    total = sum(squares)
    if total == 0:
        return 0.0, np.inf
    df = 1 / sum((square / total) ** 2 / (len(x) - 1) for square, x in zip(squares, strata, strict=True))
    return float(np.sqrt(total)) / len(strata), float(df)


def sign_flip_test(strata: Sequence[Scores]) -> float:
    """Two-sided p of the same by flipping signs of differences (Fisher 1935): exact, without a distribution.

    Holds if, were there no effect, a seed's scores could be swapped between the two methods. All 2^n signs up to
    n = 13, 9999 random ones above. NaN where a dataset has no difference.
    """
    if not strata or not all(map(len, strata)):
        return np.nan
    weighted = np.concatenate([np.asarray(x, dtype=float) / len(x) / len(strata) for x in strata])
    if len(weighted) == 1:
        return 1.0
    from scipy import stats

    rng = np.random.default_rng(0)
    result = stats.permutation_test(
        (weighted,), np.sum, permutation_type="samples", vectorized=True, n_resamples=SIGN_FLIPS, rng=rng
    )
    return float(result.pvalue)


def smallest_sign_flip_p(n: int) -> float:
    """2 / 2^n: 0.25 for 3 differences, 0.0625 for 5; under 0.05 from 6 on. Never under 2 / 10000."""
    return min(1.0, max(2.0 ** (1 - n), 2 / (SIGN_FLIPS + 1)))


def pareto_front(points: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Which points no other one beats: none is at least as low in every column and lower in one. NaN is on no front."""
    points = np.asarray(points, dtype=float)
    known = np.all(np.isfinite(points), axis=1)
    no_worse = np.all(points[:, None, :] <= points[None, :, :], axis=2)
    lower = np.any(points[:, None, :] < points[None, :, :], axis=2)
    return known & ~np.any(no_worse & lower, axis=0)
