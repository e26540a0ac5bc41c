"""Statistics of arrays: against values worked out by hand, the published formulas, and scipy."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.stats import (
    fraction_interval,
    holm,
    improvement_interval,
    interval,
    iqm,
    paired_t_test,
    pareto_front,
    performance_profile,
    probability_of_improvement,
    sign_flip_test,
)
from bench.stats.scores import smallest_sign_flip_p

pytestmark = pytest.mark.filterwarnings("error")

STATISTICS = ("mean", "iqm")


def draws(*shape, seed=0):
    return np.random.default_rng(seed).gamma(4, size=shape)


def bounds(found):
    return np.array([found.low, found.high])


# what is estimated


def test_interquartile_mean_by_hand():
    assert iqm([8, 1, 7, 2, 6, 3, 5, 4]) == 4.5
    assert iqm([1e9, 1, 2, -1e9]) == 1.5
    # a quarter of 7 is not a whole run: one goes at either end
    assert iqm([100, 1, 2, 3, 4, 5, -100]) == 3


def test_interquartile_mean_of_fewer_than_four_is_the_mean():
    assert iqm([1, 2, 9]) == 4
    assert iqm([5.5]) == 5.5


@pytest.mark.parametrize("shape", [(4,), (5, 3), (10, 2), (13,), (40, 7)])
def test_interquartile_mean_is_scipys_trimmed_mean_of_all_scores(shape):
    scores = draws(*shape)
    assert iqm(scores) == pytest.approx(scipy_stats.trim_mean(scores, 0.25, axis=None), rel=1e-12)


# what rliable 1.2 (Agarwal et al. 2021) gives for these runs (rows) on three datasets (columns)
OURS = np.array([[17.1, 16.2, 25.0], [16.9, 16.4, 24.1], [17.3, 15.9, 26.2], [16.0, 16.6, 25.5], [17.0, 16.2, 24.8]])
THEIRS = np.array([[16.8, 16.5, 24.9], [17.0, 16.4, 24.2], [16.6, 16.1, 25.1], [16.7, 16.8, 24.0]])


def test_aggregates_agree_with_rliable():
    assert iqm(OURS) == pytest.approx(18.48888888888889)
    assert iqm(THEIRS) == pytest.approx(17.98333333333333)
    assert interval(list(OURS.T)).estimate == pytest.approx(19.41333333333333)
    assert improvement_interval(list(OURS.T), list(THEIRS.T)).estimate == pytest.approx(0.5833333333333334)
    np.testing.assert_allclose(
        performance_profile(OURS, np.array([16.0, 16.6, 20.0, 26.2])), [13 / 15, 9 / 15, 1 / 3, 0]
    )


def test_probability_of_improvement_by_hand():
    # of the nine pairs 3 beats all, 2 beats one and ties two, 1 beats one
    assert probability_of_improvement([1, 2, 3], [2, 2, 0]) == pytest.approx((1 + 2 + 3) / 9)
    assert probability_of_improvement([2, 2], [2, 2]) == 0.5
    assert probability_of_improvement([2, 3], [1]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_probability_of_improvement_is_mann_whitneys_u_over_all_pairs(seed):
    x, y = np.random.default_rng(seed).integers(0, 6, (2, 9)).astype(float)
    u = scipy_stats.mannwhitneyu(x, y[:7]).statistic
    assert probability_of_improvement(x, y[:7]) == pytest.approx(u / 63)


def test_a_run_without_a_score_is_above_no_threshold():
    np.testing.assert_array_equal(
        performance_profile([1.0, 2.0, np.nan, 3.0], np.array([0, 1, 2.5])), [0.75, 0.5, 0.25]
    )


def test_missing_values_are_left_out():
    assert iqm([1, np.nan, 2, np.inf, 3, 4, -np.inf]) == 2.5
    assert probability_of_improvement([1, np.nan], [0, np.inf]) == 1
    assert interval([[1, np.nan, 2, 3]]) == interval([[1, 2, 3]])


def test_nothing_gives_nan_not_an_error():
    assert math.isnan(iqm([]))
    assert math.isnan(iqm([np.nan]))
    assert math.isnan(probability_of_improvement([], [1]))
    assert np.isnan(performance_profile([], np.array([1.0, 2.0]))).all()
    assert math.isnan(paired_t_test([np.array([])]))
    assert math.isnan(sign_flip_test([np.array([])]))
    assert math.isnan(sign_flip_test([]))
    assert not holm([]).size
    assert not pareto_front(np.empty((0, 2))).size
    assert interval([[]]).method == interval([]).method == "0 seeds: no interval"
    assert improvement_interval([[]], [[1.0]]).method == "0 seeds: no interval"


# tests


def test_holm_by_hand():
    # in order of size: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, which must not be less than the one before
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_never_says_more_than_one_and_leaves_out_what_was_not_tested():
    np.testing.assert_allclose(holm([0.9, np.nan, 0.6]), [1, np.nan, 1])
    np.testing.assert_allclose(holm([np.nan, 0.02]), [np.nan, 0.02])


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_paired_test_of_one_dataset_is_scipys(n):
    x, y = draws(2, n)
    assert paired_t_test([x - y]) == pytest.approx(scipy_stats.ttest_rel(x, y).pvalue, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(3, 8), (5, 5), (12, 20)])
def test_paired_test_over_datasets_has_welchs_error_and_degrees_of_freedom(n, m):
    x, y = draws(n), 3 * draws(m, seed=1)
    # the mean of x and -y is half their difference
    expected = scipy_stats.ttest_ind(x, y, equal_var=False)
    assert paired_t_test([x, -y]) == pytest.approx(expected.pvalue, rel=1e-9)
    ours = interval([x, -y])
    if ours.n < 10:
        theirs = expected.confidence_interval()
        np.testing.assert_allclose(bounds(ours), np.array([theirs.low, theirs.high]) / 2, rtol=1e-9)
        assert ours.method == "Welch-Satterthwaite t"


def test_equal_differences_leave_no_doubt():
    assert paired_t_test([np.zeros(5)]) == 1
    assert paired_t_test([np.full(5, 0.1)]) == 0
    assert paired_t_test([np.full(5, 0.1) + 1e-18]) == 0
    assert math.isnan(paired_t_test([np.array([1.0])]))


@pytest.mark.parametrize("n", [1, 3, 6, 9])
def test_sign_flips_are_all_tried(n):
    gaps = draws(n) - 3
    sums = [abs(np.dot(signs, gaps)) for signs in itertools.product((1, -1), repeat=n)]
    assert sign_flip_test([gaps]) == pytest.approx(np.mean(np.array(sums) >= abs(gaps.sum()) - 1e-12))


@pytest.mark.parametrize("n", [1, 3, 6, 13, 14, 30])
def test_no_differences_give_a_smaller_sign_flip_p_than_equal_signs(n):
    assert sign_flip_test([1 + draws(n)]) == pytest.approx(smallest_sign_flip_p(n))


def test_sign_flips_weigh_every_dataset_the_same():
    few, many = np.array([1.0, 1.0]), np.array([-1.0, -1.0, -1.0, -1.0])
    assert sign_flip_test([few, many]) == 1
    assert sign_flip_test([np.concatenate([few, many])]) < 1


def test_pareto_front_by_hand():
    points = [[1, 5], [2, 3], [3, 3], [4, 1], [4, 2], [2, 3], [np.nan, 0], [0, np.inf]]
    np.testing.assert_array_equal(pareto_front(np.array(points)), [1, 1, 0, 1, 0, 1, 0, 0])


# intervals


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("n", "words"), [(1, "1 seed: no interval"), (2, "2 seeds: no interval")])
def test_too_few_seeds_are_said_so(n, words, statistic):
    found = interval([draws(n)], statistic)
    assert found.estimate == pytest.approx(draws(n).mean())
    assert not found.known
    assert math.isnan(found.high)
    assert (found.n, found.method) == (n, words)
    assert interval([draws(20), draws(n)], statistic).method == words


@pytest.mark.parametrize(
    ("n", "statistic", "method"),
    [
        (3, "mean", "Student t"),
        (9, "mean", "Student t"),
        (10, "mean", "studentised bootstrap"),
        (3, "iqm", "Student t"),
        (4, "iqm", "Student t, bootstrap error"),
        (9, "iqm", "Student t, bootstrap error"),
        (10, "iqm", "t-tailed percentile bootstrap"),
    ],
)
def test_the_method_is_named(n, statistic, method):
    assert interval([draws(n)], statistic).method == method


@pytest.mark.parametrize("n", range(3, 10))
def test_few_seeds_get_scipys_t_interval(n):
    expected = scipy_stats.ttest_1samp(draws(n), 0).confidence_interval()
    np.testing.assert_allclose(bounds(interval([draws(n)])), [expected.low, expected.high], rtol=1e-9)


def test_three_seeds_trim_nothing():
    assert interval([draws(3)], "iqm") == interval([draws(3)])


@pytest.mark.parametrize("n", [4, 6, 9])
def test_few_seeds_get_the_interquartile_mean_with_its_bootstrap_error(n):
    found = interval([draws(n)], "iqm")
    resampled = scipy_stats.bootstrap((draws(n),), lambda x, axis: scipy_stats.trim_mean(x, 0.25, axis), rng=1)
    half = scipy_stats.t.ppf(0.975, n - 1) * resampled.standard_error
    np.testing.assert_allclose(bounds(found), [found.estimate - half, found.estimate + half], rtol=0.02)


@pytest.mark.parametrize("n", [10, 25])
def test_many_seeds_get_the_symmetric_studentised_bootstrap(n):
    x = draws(n)
    mean, error = x.mean(), x.std(ddof=1) / n**0.5

    def ratio(sample, axis):
        return abs(sample.mean(axis) - mean) / (sample.std(axis, ddof=1) / n**0.5)

    resampled = scipy_stats.bootstrap((x,), ratio, method="percentile", rng=1).bootstrap_distribution
    quantile = np.quantile(resampled, 0.95)
    np.testing.assert_allclose(bounds(interval([x])), [mean - quantile * error, mean + quantile * error], rtol=0.03)


@pytest.mark.parametrize("n", [10, 25])
def test_many_seeds_get_percentiles_of_the_interquartile_mean_as_far_out_as_t(n):
    tail = scipy_stats.norm.cdf(-scipy_stats.t.ppf(0.975, n - 1))
    expected = scipy_stats.bootstrap(
        (draws(n),),
        lambda x, axis: scipy_stats.trim_mean(x, 0.25, axis),
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=1,
    ).confidence_interval
    np.testing.assert_allclose(bounds(interval([draws(n)], "iqm")), [expected.low, expected.high], rtol=0.02)


def test_several_datasets_are_resampled_each_on_its_own():
    samples = draws(3, 10)
    tail = scipy_stats.norm.cdf(-scipy_stats.t.ppf(0.975, 27))

    def mean_of_all(*samples, axis):
        return np.mean([scipy_stats.trim_mean(x, 0.25, axis) for x in samples], axis=0)

    expected = scipy_stats.bootstrap(
        samples, mean_of_all, confidence_level=1 - 2 * tail, method="percentile", rng=1
    ).confidence_interval
    found = interval(list(samples), "iqm")
    offsets = np.array([expected.low, expected.high]) - found.estimate
    np.testing.assert_allclose(bounds(found) - found.estimate, offsets, rtol=0.05)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_errors_of_datasets_average_out(statistic):
    x = np.random.default_rng(0).normal(size=30)
    one, four = (np.diff(bounds(interval([x] * count, statistic)))[0] for count in (1, 4))
    assert four == pytest.approx(one / 2, rel=0.06)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [3, 6, 10, 20])
def test_unit_and_origin_do_not_matter(n, statistic):
    plain, other = interval([draws(n)], statistic), interval([1e4 - 3e3 + 1e3 * draws(n)], statistic)
    np.testing.assert_allclose(bounds(other), 7e3 + 1e3 * bounds(plain), rtol=1e-9)
    turned = interval([-draws(n)], statistic)
    np.testing.assert_allclose(bounds(turned), -bounds(plain)[::-1], rtol=0.02)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [3, 6, 10])
def test_the_order_of_seeds_does_not_matter(n, statistic):
    x = draws(n)
    assert interval([x[::-1]], statistic) == interval([x], statistic) == interval([np.roll(x, 2)], statistic)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [4, 12])
def test_how_far_apart_datasets_lie_is_no_uncertainty(n, statistic):
    near, far = [draws(n), draws(n, seed=1)], [draws(n), draws(n, seed=1) + 1000]
    np.testing.assert_allclose(bounds(interval(far, statistic)), bounds(interval(near, statistic)) + 500, rtol=1e-9)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [3, 5, 10, 17])
def test_equal_values_have_an_interval_without_width(n, statistic):
    found = interval([np.full(n, 0.1)], statistic)
    assert found.low == found.estimate == found.high == pytest.approx(0.1)
    assert found.method == "all seeds equal"


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [4, 10, 11])
def test_one_value_that_differs_makes_a_finite_interval(n, statistic):
    found = interval([np.append(np.full(n - 1, 24.0), 23.0)], statistic)
    assert np.isfinite(bounds(found)).all()
    assert found.low < found.estimate <= found.high


def test_the_bootstrap_is_nowhere_narrower_than_t():
    lumpy = np.append(np.full(9, 1.0), 0.5)
    half = scipy_stats.t.ppf(0.975, 9) * lumpy.std(ddof=1) / 10**0.5
    assert interval([lumpy]).high - lumpy.mean() == pytest.approx(half)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_more_seeds_of_the_same_spread_narrow_the_interval(statistic):
    widths = [float(np.diff(bounds(interval([np.tile(draws(4), times)], statistic)))[0]) for times in (1, 2, 4, 16)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 4


@pytest.mark.parametrize(("x", "y"), [(draws(5), draws(7, seed=1)), (draws(10) + 2, draws(10, seed=1))])
def test_improvement_bounds_lie_196_of_their_own_standard_errors_away(x, y):
    found = improvement_interval([x], [y])
    for bound in bounds(found):
        q1, q2 = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        # Hanley and McNeil 1982, with the mean of the two sizes for both (Newcombe 2006, method 5)
        size = (len(x) + len(y)) / 2
        square = bound * (1 - bound) + (size - 1) * (q1 - bound**2) + (size - 1) * (q2 - bound**2)
        error = math.sqrt(square / (len(x) * len(y)))
        assert abs(found.estimate - bound) == pytest.approx(1.959964 * error, rel=1e-4)


def test_improvement_is_not_certain_because_every_run_won():
    found = improvement_interval([draws(5) + 100], [draws(5, seed=1)])
    assert (found.estimate, found.high) == (1, 1)
    assert 0.5 < found.low < 0.8
    turned = improvement_interval([draws(5, seed=1)], [draws(5) + 100])
    assert (turned.low, turned.high) == (0, pytest.approx(1 - found.low))
    more = improvement_interval([draws(5) + 100] * 3, [draws(5, seed=1)] * 3)
    assert found.low < more.low < 1


def test_improvement_over_datasets_is_the_mean_of_each():
    found = improvement_interval([[1, 2, 3], [0, 0, 0]], [[0, 0, 0], [1, 2, 3]])
    assert found.estimate == 0.5
    assert found.low == pytest.approx(1 - found.high)


def test_fractions_have_wilsons_interval():
    np.testing.assert_allclose(bounds(fraction_interval(0, 10)), [0, 0.2775], atol=1e-4)
    np.testing.assert_allclose(bounds(fraction_interval(8, 10)), [0.4902, 0.9433], atol=1e-4)
    assert fraction_interval(1, 2).method == "2 runs: no interval"
    assert math.isnan(fraction_interval(0, 0).estimate)
