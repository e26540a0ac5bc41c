"""Which runs cost the same, the cost of a target, and the front of methods that none beats in both."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from helpers.stats_tables import A, B, C, diverged, only, run, several, table
from helpers.synthetic_sweep import add_run, new_sweep

from bench import stats
from bench.records.sweep import of_table, read

pytestmark = pytest.mark.filterwarnings("error")


def test_the_cost_of_a_target_is_that_of_its_first_crossing():
    cost, value = np.array([0.0, 10.0, 20.0, 30.0]), np.array([1.0, 3.0, 2.0, 5.0])
    assert stats.cost_of(cost, value, 2.5, "higher") == 7.5
    assert stats.cost_of(cost, value, 4.0, "higher") == pytest.approx(20 + 10 * 2 / 3)
    assert stats.cost_of(cost, value, 0.0, "higher") == 0
    assert stats.cost_of(cost, value, 5.0, "higher") == 30
    assert math.isnan(stats.cost_of(cost, value, 5.1, "higher"))
    assert stats.cost_of(cost, -value, -2.5, "lower") == 7.5
    assert math.isnan(stats.cost_of(np.array([]), np.array([]), 1.0, "lower"))


def frame_of(steps, decodes):
    """A method per entry: so many steps of ten images, each decoded so often."""
    kinds = enumerate(zip(steps, decodes, strict=True))
    return table(*(run((f"m{i}", "factorised"), 0, {"psnr": 20.0}, steps=(0, s), decodes=d) for i, (s, d) in kinds))


@pytest.mark.parametrize("budget", [240, 1000, 1230, 9999])
def test_runs_that_spent_one_budget_whole_cost_the_same_and_those_that_left_a_step_do_not(budget):
    decodes = (1, 3, 7, 8)
    steps = [budget // (10 * each) for each in decodes]
    assert "decodes" in of_table(frame_of(steps, decodes)).comparisons[0].equal_cost
    steps[1] -= 1
    assert "decodes" not in of_table(frame_of(steps, decodes)).comparisons[0].equal_cost


def test_at_equal_cost_is_what_runs_came_to_that_were_made_for_it():
    frame = table(several(A, [20.0, 22.0]), several(B, [40.0, 44.0], decodes=4, steps=(0, 10, 25)))
    pd.testing.assert_frame_equal(stats.at_cost(frame, "decodes"), stats.finals(frame))


def test_a_run_is_not_read_in_the_middle_of_its_schedule():
    frame = table(several(A, [20.0, 22.0]), several(B, [40.0, 44.0], decodes=4))
    words = (
        "digits, preset quick: runs ended at 1000 to 4000 decoder evaluations, which is no equal cost; "
        "try bench run --budget decodes=4000"
    )
    with pytest.raises(ValueError, match=words):
        stats.at_cost(frame, "decodes")
    for axis in ("step", "images"):
        pd.testing.assert_frame_equal(stats.at_cost(frame, axis), stats.finals(frame))
    # the clock was never asked to be equal
    with pytest.raises(ValueError, match="--budget seconds=50"):
        stats.at_cost(frame, "seconds")


def test_one_dataset_at_unequal_cost_is_enough_to_refuse():
    longer = several(B, [40.0], dataset="faces", steps=(0, 400))
    frame = table(several(A, [20.0]), several(A, [10.0], dataset="faces", steps=(0, 30)), longer)
    with pytest.raises(ValueError, match="faces, preset quick: runs ended at 30 to 400 steps"):
        stats.at_cost(frame, "step")


def test_runs_that_did_not_finish_are_not_compared_and_so_may_have_cost_anything():
    frame = table(several(A, [20.0, 21.0]), several(B, [40.0, 41.0]), diverged(B, 5, steps=(0, 10)))
    assert stats.at_cost(frame, "step")["ended"].value_counts()["diverged"] == 1


@pytest.mark.parametrize(
    ("budgets", "steps", "equal"),
    [
        (["seconds=1", "seconds=1"], (100, 105), True),
        (["seconds=1", "seconds=1"], (100, 112), False),  # the clock said otherwise
        (["seconds=1", "seconds=2"], (100, 100), False),
        (["", ""], (100, 100), False),  # by luck
        (["decodes=3200", "decodes=3200"], (100, 100), False),
    ],
)
def test_seconds_are_equal_only_where_they_were_the_budget_and_it_was_kept(tmp_path, budgets, steps, equal):
    sweep = new_sweep(tmp_path / "sweep")
    for name, budget, end in zip(("daps", "vq"), budgets, steps, strict=True):
        # a step takes 10 ms
        add_run(sweep, name, steps=(0, end), config={"budget": budget})
    (comparison,) = read(sweep).comparisons
    assert ("seconds" in comparison.equal_cost) == equal


def test_the_costs_of_a_comparison_are_said_in_words():
    equal_steps = of_table(frame_of((100, 100), (1, 4))).comparisons[0]
    assert stats.costs(equal_steps) == (
        "Compared at equal steps (100) and images (1000); not at equal decoder evaluations (1000 to 4000) and seconds "
        "of training (50)."
    )
    assert stats.mid_schedule(equal_steps).startswith("Against decoder evaluations and seconds of training, runs are")
    equal_decodes = of_table(frame_of((100, 25), (1, 4))).comparisons[0]
    assert stats.costs(equal_decodes).startswith("Compared at equal decoder evaluations (1000); not at equal steps (25")
    assert stats.costs(of_table(frame_of((100, 30), (1, 4))).comparisons[0]).startswith("Not compared at equal cost: ")
    alone = of_table(frame_of((100,), (1,))).comparisons[0]
    assert stats.costs(alone) == stats.mid_schedule(alone) == ""


def test_the_cost_of_a_target_has_a_mean_only_if_every_run_reached_it():
    frame = table(several(A, [20.0, 40.0]), several(B, [20.0, 5.0]), several(C, [20.0]), diverged(C, 1))
    found = stats.cost_to_target(frame, "psnr", 10.0, "decodes")
    row = only(found, estimator="a")
    assert (row["estimate"], row["reached"], row["runs"], row["unit"]) == (375.0, 2, 2, "decoder evaluations")
    for name in ("b", "c"):
        row = only(found, estimator=name)
        assert (row["reached"], row["runs"], row["method"]) == (1, 2, "reached by 1 of 2 runs: no mean")
        assert math.isnan(row["estimate"])


def test_a_method_that_was_not_measured_did_not_miss_the_target():
    frame = table(run(A, 0, {"elbo": -20.0}), run(B, 0, {"psnr": 20.0}), diverged(C, 0))
    found = stats.cost_to_target(frame, "elbo", -30.0, "step")
    assert set(found["estimator"]) == {"a", "c"}


def test_half_of_the_methods_reach_the_reachable_target_on_every_seed():
    names = [(name, "factorised") for name in "abcd"]
    finals = [[10.0, 12.0], [20.0, 22.0], [30.0, 33.0], [40.0, 44.0]]
    frame = table(*(several(name, values) for name, values in zip(names, finals, strict=True)))
    assert stats.reachable_target(frame, "psnr", "digits", "quick") == 20.0
    # an error falls from 0.5 to what is given
    errors = table(*(several(n, v, "mae", curve=[2.0, 1.0]) for n, v in zip(names, finals, strict=True)))
    assert stats.reachable_target(errors, "mae", "digits", "quick") == 33.0
    assert math.isnan(stats.reachable_target(frame, "ssim", "digits", "quick"))


def test_a_curve_that_rises_and_falls_reached_its_peak():
    frame = table(several(A, [10.0], steps=(0, 50, 100), curve=[0, 2, 1]))
    assert stats.reachable_target(frame, "psnr", "digits", "quick") == 20.0
    assert only(stats.cost_to_target(frame, "psnr", 15.0, "step"), estimator="a")["estimate"] == 37.5


def test_the_front_is_of_methods_that_are_not_beaten_in_both():
    def method(name, psnr, bits, decodes):
        both = [run((name, "factorised"), seed, {"psnr": psnr, "bits": bits}, decodes=decodes) for seed in range(3)]
        return itertools.chain(*both)

    values = stats.finals(table(method("a", 20.0, 24.0, 1), method("b", 18.0, 20.0, 8), method("c", 17.0, 24.0, 1)))
    against_bits = stats.rate_distortion(values)
    assert dict(zip(against_bits["estimator"], against_bits["on_front"], strict=True)) == {
        "a": True,
        "b": True,
        "c": False,
    }
    against_decodes = stats.pareto(values, "psnr", "decodes")
    assert dict(zip(against_decodes["estimator"], against_decodes["on_front"], strict=True)) == {
        "a": True,
        "b": False,
        "c": False,
    }
    row = only(against_decodes, estimator="b")
    assert (row["cost"], row["axis_unit"], row["quality"], row["unit"]) == (8000, "decoder evaluations", 18.0, "dB")


def test_more_of_a_cost_that_is_better_higher_is_cheaper():
    rows = [run(m, 0, {"psnr": 20.0}) for m in (A, B)]
    speeds = [
        {**r[-1], "split": "train", "readout": "", "metric": "images_per_second", "value": value}
        for r, value in zip(rows, (100.0, 300.0), strict=True)
    ]
    found = stats.pareto(stats.finals(table(*rows, speeds)), "psnr", "images_per_second")
    assert found["on_front"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: stats.at_cost(f, "hours"), "unknown cost 'hours'; try one of step, images, decodes, seconds"),
        (lambda f: stats.cost_to_target(f, "pnsr", 1.0, "step"), "unknown metric 'pnsr'; did you mean psnr"),
        (lambda f: stats.cost_to_target(f, "psnr", 1.0, "hours"), "unknown cost"),
        (lambda f: stats.reachable_target(f, "pnsr", "digits", "quick"), "unknown metric"),
        (lambda f: stats.lead(stats.finals(f), "pnsr", "digits", "quick"), "unknown metric"),
        (lambda f: stats.performance_profiles(stats.finals(f), "pnsr"), "unknown metric"),
        (lambda f: stats.pareto(stats.finals(f), "psnr", "hours"), "unknown metric 'hours'"),
        (
            lambda f: stats.pareto(stats.finals(f), "kl", "seconds"),
            "kl is neither better nor worse; try one of psnr",
        ),
        (lambda f: stats.cost_to_target(f, "usage", 0.5, "step"), "more usage is neither better nor worse"),
        (lambda f: stats.reachable_target(f, "perplexity", "digits", "quick"), "more perplexity is neither"),
    ],
)
def test_names_that_are_not_known_are_refused_with_those_that_are(call, words):
    with pytest.raises(ValueError, match=words):
        call(table(several(A, [1.0])))


def test_less_of_what_has_no_better_end_is_cheaper_and_more_of_it_is_above_a_threshold():
    finals = {A: {"psnr": 20.0, "bits": 8.0}, B: {"psnr": 20.0, "bits": 12.0}}
    values = stats.finals(table(*(run(method, 0, mine) for method, mine in finals.items())))
    found = stats.rate_distortion(values).set_index("estimator")
    assert found["on_front"].to_dict() == {"a": True, "b": False}
    profile = stats.performance_profiles(values, "bits", [10.0]).set_index("estimator")
    assert profile["estimate"].to_dict() == {"a": 0.0, "b": 1.0}
