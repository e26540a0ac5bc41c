"""What is said of a lead, and of what moved between two sweeps."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.stats_tables import A, B, C, diverged, run, several, table
from scipy import stats as scipy_stats

from bench import stats
from bench.metrics.catalogue import find

pytestmark = pytest.mark.filterwarnings("error")


def lead(*methods, metric="psnr"):
    return stats.lead(stats.finals(table(*methods)), metric, "digits", "quick")


def test_a_lead_that_is_larger_than_the_noise_is_said_so():
    found = lead(several(A, [20.0, 21.0, 22.0]), several(B, [21.1, 21.9, 23.0]))
    assert (found.winner, found.runner_up, found.larger_than_noise) == (B, A, True)
    half = scipy_stats.t.ppf(0.975, 2) * np.std([1.1, 0.9, 1.0], ddof=1) / 3**0.5
    assert found.difference.low == pytest.approx(1 - half)
    assert found.sentence == (
        "The winner is b with 22.00 dB (95 % interval 19.63 to 24.37, 3 seeds, Student t); its lead of 1.00 dB over a "
        "is larger than the seed noise (paired difference 95 % interval 0.75 to 1.25 dB, 3 seeds, Student t)."
    )


def test_a_lead_that_is_not_larger_than_the_noise_is_said_so():
    found = lead(several(A, [20.0, 21.0, 22.0]), several(B, [20.5, 20.5, 22.5]))
    assert found.larger_than_noise is False
    assert "its lead of 0.2 dB over a is not larger than the seed noise" in found.sentence
    assert "interval -1.3 to 1.6 dB, 3 seeds" in found.sentence


def test_a_lower_value_leads_where_lower_is_better_and_its_lead_is_positive():
    found = lead(several(A, [5.0, 6.0, 7.0], "rfid"), several(B, [4.0, 5.1, 5.9], "rfid"), metric="rfid")
    assert (found.winner, found.larger_than_noise) == (B, True)
    assert found.difference.estimate == pytest.approx(1.0)
    assert "its lead of 1.00 over a is larger" in found.sentence


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (
            (several(A, [20.0, 21.0]), several(B, [18.5, 19.0])),
            "The winner is a with 20.50 dB (2 seeds: no interval); its lead of 1.8 dB over b cannot be told from seed "
            "noise (2 seeds: no interval).",
        ),
        ((several(A, [20.0]),), "The winner is a with 20.00 dB (1 seed: no interval); no other method has a value."),
        (
            (run(A, 0, {"psnr": 20.0}), run(B, 1, {"psnr": 19.0})),
            "it shares no seed with b, the next, so its lead cannot be told from seed noise.",
        ),
        ((several(A, [20.0, 21.0]), several(C, [18.0, 19.0])), "The winner is a (factorised) with"),
        ((several(A, [20.0] * 3), several(B, [20.0] * 3)), "its lead of 0 dB over b is not larger than the seed noise"),
        (
            (several(A, [20.0] * 3), several(B, [18.0] * 3)),
            "its lead of 2.0 dB over b is larger than the seed noise (paired difference 95 % interval 2.0 to 2.0 dB, "
            "3 seeds, all seeds equal)",
        ),
        (
            (several(A, [20.0, 21.0]), diverged(A, 2), diverged(A, 3), several(B, [18.0, 19.0]), diverged(B, 4)),
            "(2 seeds: no interval). 2 runs of a diverged and left no value. 1 run of b diverged and left no value.",
        ),
    ],
)
def test_leads_in_words(methods, words):
    assert words in lead(*methods).sentence


def test_of_equal_means_the_first_in_reading_order_leads_as_in_every_view():
    frame = table(several(("abc", "factorised"), [20.0] * 3), several(("vq", "factorised"), [20.0] * 3))
    assert stats.lead(stats.finals(frame), "psnr", "digits", "quick").winner == ("vq", "factorised")


def test_nobody_leads_where_nobody_has_a_value():
    assert lead(several(A, [np.nan] * 3)) is None
    assert lead(several(A, [1.0] * 3), metric="ssim") is None


def test_chance_is_seldom_called_a_lead():
    """Of five methods that are equal. Choosing the best of them does not help chance: the second was chosen too."""
    rng = np.random.default_rng(0)
    values = stats.finals(table(*(several((name, "factorised"), np.ones(6)) for name in "abcde")))
    larger = 0
    for _ in range(200):
        noise = np.repeat(rng.normal(size=6), 5).reshape(6, 5).T + rng.normal(size=(5, 6))
        larger += bool(stats.lead(values.assign(value=20 + noise.ravel()), "psnr", "digits", "quick").larger_than_noise)
    assert larger / 200 <= 0.05


def test_means_have_the_decimals_of_their_metric_and_differences_two_digits_of_their_uncertainty():
    found = stats.Interval(17.03398, 16.91, 17.158, 5, "Student t")
    assert stats.in_words(found, find("psnr")) == "17.03 dB (95 % interval 16.91 to 17.16, 5 seeds, Student t)"
    assert stats.in_words(found, find("elbo")) == "17.0 nats (95 % interval 16.9 to 17.2, 5 seeds, Student t)"
    assert stats.in_words(found, replace(find("psnr"), places=None)) == stats.in_words(found, find("psnr"))
    equal = stats.Interval(0.0, 0.0, 0.0, 3, "all seeds equal")
    assert stats.in_words(equal, find("ssim")).startswith("0.000 (95 % interval 0.000 to 0.000")
    missing = stats.Interval(np.nan, np.nan, np.nan, 0, "0 seeds: no interval")
    assert stats.in_words(missing, find("psnr")) == "– dB (0 seeds: no interval)"
    assert [stats.Interval(1.0, 1 - half, 1 + half, 5, "").places for half in (12.0, 0.3, 0.012)] == [0, 2, 3]
    assert stats.Interval(0.18, np.nan, np.nan, 2, "").places == 2


def test_nobody_leads_by_what_has_no_better_end():
    with pytest.raises(ValueError, match="more usage is neither better nor worse; try one of psnr, ssim"):
        lead(several(A, [0.5, 0.6], "usage"), several(B, [0.4, 0.3], "usage"), metric="usage")


# two sweeps


def moved(before, after):
    return stats.moved(stats.finals(table(*before)), stats.finals(table(*after)))


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([20.0, 21.0, 22.0], "equal"),
        ([20.0 * (1 + 1e-8), 21.0, 22.0], "equal"),
        ([21.0, 22.1, 22.9], "better"),
        ([19.0, 20.1, 20.9], "worse"),
        ([20.5, 20.7, 22.2], "within seed noise"),
        ([20.5, 21.5], "2 seeds: no interval"),
        ([20.0, 21.0], "equal"),
    ],
)
def test_what_moved_beyond_seed_noise(after, verdict):
    row = moved([several(A, [20.0, 21.0, 22.0])], [several(A, after)]).iloc[0]
    assert row["verdict"] == verdict
    assert (row["n_before"], row["n_after"]) == (3, len(after))
    assert row["before"] == np.mean([20.0, 21.0, 22.0][: len(after)])
    assert row["after"] == pytest.approx(np.mean(after))
    assert row["estimate"] == pytest.approx(np.mean(np.subtract(after, [20.0, 21.0, 22.0][: len(after)])), abs=1e-6)


def test_a_rise_of_what_should_be_low_is_worse():
    row = moved([several(A, [5.0, 6.0, 7.0], "rfid")], [several(A, [6.0, 7.1, 7.9], "rfid")]).iloc[0]
    assert (row["verdict"], row["unit"]) == ("worse", "1")


def test_what_only_one_sweep_has_is_listed():
    found = moved([several(A, [20.0] * 3), several(B, [1.0] * 3)], [several(A, [20.0] * 3), several(C, [1.0] * 3)])
    assert found.set_index("estimator")["verdict"].to_dict() == {"a": "equal", "b": "only before", "c": "only after"}


def test_sweeps_that_share_no_seed_are_not_compared():
    row = moved([several(A, [20.0] * 3)], [list(itertools.chain(*(run(A, s, {"psnr": 9.0}) for s in (7, 8, 9))))]).iloc[
        0
    ]
    assert (row["verdict"], row["before"], row["after"], row["n"]) == ("no shared seed", 20.0, 9.0, 0)


@pytest.mark.parametrize(("shift", "verdict"), [(1.0, "higher"), (-1.0, "lower")])
def test_what_has_no_better_end_is_higher_or_lower(shift, verdict):
    after = np.array([20.0, 21.0, 22.0]) + shift + [0.0, 0.1, -0.1]
    row = moved([several(A, [20.0, 21.0, 22.0], "bits")], [several(A, after, "bits")]).iloc[0]
    assert row["verdict"] == verdict
    frame = table(several(A, [20.0, 21.0, 22.0], "bits"), several(B, after, "bits"))
    row = stats.paired_differences(stats.finals(frame), A).iloc[0]
    assert (row["verdict"], row["improvement"] > 0.5) == (verdict, shift > 0)
