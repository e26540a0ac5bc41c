"""Expected best of n trials against going through all subsets; gains and places of a search."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.tuning_sweeps import searched

from bench.records.tuning import read_tuning
from bench.stats.tuning import counts, expected_best, rows


def brute(values: list[float], n: int, sign: int) -> float:
    scores = [sign * value for value in values]
    return sign * float(np.mean([max(subset) for subset in itertools.combinations(scores, n)]))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("values", [[3.0], [1.0, 1.0, 2.0], [5.0, -1.0, 2.5, 0.0, 2.5, 9.0], [1.0, 3.0, 2.0]])
def test_the_expected_best_is_the_mean_over_all_subsets(values, sign):
    for n in range(1, len(values) + 1):
        assert expected_best(values, n, sign) == pytest.approx(brute(values, n, sign), abs=1e-12)


def test_the_expected_best_of_one_is_the_mean_and_of_all_the_best():
    values = np.random.default_rng(0).normal(size=16).tolist()
    assert expected_best(values, 1) == pytest.approx(np.mean(values))
    assert expected_best(values, 16) == max(values)
    assert expected_best(values, 16, sign=-1) == min(values)


def test_there_is_no_expected_best_without_values_or_of_more_than_there_are():
    assert math.isnan(expected_best([math.nan, math.nan], 1))
    assert math.isnan(expected_best([1.0], 2))
    assert math.isnan(expected_best([], 1))


def test_numbers_of_trials_double_up_to_all():
    assert [counts(n) for n in (1, 2, 6, 16)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16]]


def test_a_search_in_numbers(tmp_path: Path):
    by_estimator = {one.search.estimator: one for one in rows(read_tuning(searched(tmp_path)))}
    daps, vq, fsq = (by_estimator[name] for name in ("daps", "vq", "fsq"))
    # trials 10, 12, lost (counts as the worst of all, 10), 11; then 2 dB better than the default on each of three seeds
    assert daps.best is not None
    assert daps.best.number == 1
    assert (daps.gain.estimate, daps.gain.n) == (pytest.approx(2.0), 3)
    assert daps.lost == 1
    assert daps.quartiles == (10.5, 11.0, 11.5)
    assert daps.expected == {n: pytest.approx(brute([10.0, 12.0, 10.0, 11.0], n, 1)) for n in (1, 2, 4)}
    # the first of two best trials, and the default is the tuned one
    assert vq.best is not None
    assert vq.best.number == 0
    assert vq.tuned == vq.default
    assert vq.gain.estimate == 0.0
    # nothing came of it
    assert fsq.best is None
    assert fsq.gain.n == 0
    assert fsq.rank == {}
    assert {one: by_estimator[one].rank[4] for one in ("daps", "vq")} == {"daps": 2, "vq": 1}
    assert [one.search.estimator for one in rows(read_tuning(tmp_path))] == ["vq", "daps", "fsq"]
