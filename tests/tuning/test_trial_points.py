"""Points of trials: a sequence of each estimator's own that only gets longer."""

import warnings

import numpy as np
import pytest
from helpers.configs import config

import estimators
from bench.tuning.space import SHARED, knobs, points
from estimators import Range


def drawn(spec: str, count: int, fixed=()) -> list:
    return list(points(spec.partition(":")[0], knobs(spec, config(spec), fixed), count))


@pytest.mark.parametrize("spec", ["daps", "vq", "fsq", "gumbel_softmax:k=8", "straight_through"])
def test_more_trials_begin_with_the_fewer(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(spec, 15)[:7] == drawn(spec, 7)
    assert len({str(point) for point in drawn(spec, 15)}) == 15


def test_points_lie_in_the_space_and_fill_it():
    found = knobs("daps", config("daps"), ())
    made = [{**own, **shared} for own, shared in points("daps", found, 64)]
    for key, searched in {**found.arguments, **found.settings}.items():
        assert isinstance(searched, Range)
        values = np.array([point[key] for point in made], dtype=float)
        assert ((searched.low <= values) & (values <= searched.high)).all()
        # in every quarter of its range a quarter of them, up to rounding
        scale = np.log if searched.log else np.array
        low, high = scale(searched.low), scale(searched.high)
        quarters = np.histogram((scale(values) - low) / (high - low), bins=4, range=(0, 1))[0]
        assert quarters.tolist() == pytest.approx([16] * 4, abs=1)


def test_what_all_share_is_searched_around_the_preset():
    made = config("daps", overrides={"lr": "0.02", "beta": "3"})
    found = knobs("daps", made, ()).settings
    assert found == {"lr": Range(0.002, 0.2), "beta": Range(3 / SHARED["beta"], 3 * SHARED["beta"])}


def test_the_kl_weight_is_not_searched_where_it_means_nothing():
    assert list(knobs("vq", config("vq"), ()).settings) == ["lr"]
    unweighted = config("daps", overrides={"beta": "0", "beta_end": "0"})
    assert list(knobs("daps", unweighted, ()).settings) == ["lr"]


def test_what_is_given_is_not_searched():
    assert set(knobs("vq", config("vq"), ()).arguments) == set(estimators.space("vq"))
    assert "init" not in knobs("vq:init=random,revive=0", config("vq"), ()).arguments
    assert list(knobs("daps", config("daps"), ("lr",)).settings) == ["beta"]


def test_an_estimator_with_nothing_left_to_tune_is_refused():
    with pytest.raises(ValueError, match="fsq has nothing left to tune; leave out --set lr"):
        knobs("fsq", config("fsq"), ("lr",))


def test_variants_of_an_estimator_try_the_same_points_and_other_estimators_others():
    assert drawn("gumbel_softmax", 7) == drawn("gumbel_softmax:k=8", 7)
    assert drawn("gumbel_softmax", 7) != drawn("gumbel_rao", 7)
