"""Statistics of the tidy table: which runs count, how they are paired, and what is said about them."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from bench import stats
from bench.records import COLUMNS

pytestmark = pytest.mark.filterwarnings("error")

A, B, C = ("a", "factorised"), ("b", "factorised"), ("c", "causal")
FAR_APART = 0.01 * np.array([0.0, 1.0, -1.0, 2.0, 0.5, -0.5, 1.5, -1.5, 0.2, -0.2, 0.7, -0.7])
"""Of seeds, in dB: noise that is small against a difference of 1."""


def run(method, seed, finals, *, dataset="digits", preset="quick", steps=(0, 100), curve=None, decodes=1, name=None):
    """Rows of one run: `finals` by metric are reached on a straight line from 0, or on `curve`, fractions of them."""
    fractions = curve or [step / steps[-1] for step in steps]
    assert len(fractions) == len(steps)
    identity = {
        "run": name or f"{dataset}-{preset}-{'-'.join(method)}-{seed}",
        **{"estimator": method[0], "posterior": method[1], "dataset": dataset, "preset": preset},
        **{"seed": seed, "device": "cpu"},
    }
    rows = []
    for (step, fraction), (metric, value) in itertools.product(zip(steps, fractions, strict=True), finals.items()):
        cost = {"step": step, "images": 10 * step, "decodes": 10 * step * decodes, "seconds": 0.5 * step}
        measured = {**identity, **cost, "metric": metric, "n": 360, "value": fraction * value}
        rows.append({**measured, "split": "test", "readout": "sample"})
        rows.append({**measured, "split": "test", "readout": "mode", "value": -99.0})
        rows.append({**measured, "split": "train", "readout": "sample", "value": -99.0})
    return rows


def table(*rows):
    return pd.DataFrame(list(itertools.chain(*rows)), columns=list(COLUMNS))


def several(method, values, metric="psnr", **kwargs):
    """A run per value, seeds from 0."""
    return list(itertools.chain(*(run(method, seed, {metric: value}, **kwargs) for seed, value in enumerate(values))))


def diverged(method, seed, **kwargs):
    rows = run(method, seed, {"psnr": 3.0}, **kwargs)
    last = {**rows[-1], "split": "train", "readout": "", "metric": "diverged", "value": 40.0}
    return [*rows, last]


def only(frame, **wanted):
    """The one row that has these entries."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


# which values count


def test_a_final_value_is_that_of_the_last_evaluation_of_the_test_split_sampled():
    values = stats.finals(table(several(A, [20.0, 21.0], steps=(0, 50, 100))))
    assert values["value"].tolist() == [20.0, 21.0]
    assert values["step"].tolist() == [100, 100]
    assert values["ended"].tolist() == ["done", "done"]


def test_costs_are_values_too_and_the_baseline_is_not():
    rows = run(A, 0, {"psnr": 20.0})
    memory = {**rows[-1], "split": "train", "readout": "", "metric": "peak_memory", "value": 512.0}
    values = stats.finals(
        table(rows, [memory], run(("baseline:mean", "none"), 0, {"psnr": 11.0}, steps=(0,), curve=[1]))
    )
    assert dict(zip(values["metric"], values["value"], strict=True)) == {"peak_memory": 512.0, "psnr": 20.0}


def test_a_metric_that_is_measured_once_is_final_where_it_was_measured():
    rows = run(A, 0, {"psnr": 20.0, "rfid": 5.0}, steps=(0, 50, 100))
    once = [row for row in rows if row["metric"] != "rfid" or row["step"] == 100]
    assert set(stats.finals(table(once))["metric"]) == {"psnr", "rfid"}
    early = [row for row in rows if row["metric"] != "rfid" or row["step"] == 50]
    assert set(stats.finals(table(early))["metric"]) == {"psnr"}


def test_categorical_columns_give_the_same_table():
    frame = table(several(A, [20.0, 21.0, 20.5]), several(C, [19.0, 18.0, 18.5]))
    texts = ["run", "estimator", "posterior", "dataset", "preset", "device", "split", "readout", "metric"]
    categorical = frame.astype(dict.fromkeys(texts, "category"))
    pd.testing.assert_frame_equal(stats.finals(categorical), stats.finals(frame))
    pd.testing.assert_frame_equal(stats.summary(stats.finals(categorical)), stats.summary(stats.finals(frame)))


def test_runs_that_diverged_or_stopped_early_are_left_out_and_counted():
    frame = table(several(A, [20.0, 21.0, 22.0]), diverged(A, 3), run(A, 4, {"psnr": 5.0}, steps=(0, 40)))
    row = only(stats.summary(stats.finals(frame)), statistic="mean")
    assert (row["n"], row["estimate"], row["diverged"], row["unfinished"]) == (3, 21.0, 1, 1)


def test_a_run_that_got_further_and_diverged_leaves_the_others_finished():
    frame = table(several(A, [20.0, 21.0, 22.0]), diverged(A, 3, steps=(0, 900)))
    row = only(stats.summary(stats.finals(frame)), statistic="mean")
    assert (row["n"], row["diverged"], row["unfinished"]) == (3, 1, 0)


def test_a_method_whose_runs_all_diverged_has_its_line():
    frame = table(several(A, [20.0, 21.0, 22.0]), diverged(B, 0), diverged(B, 1))
    row = only(stats.summary(stats.finals(frame)), estimator="b", statistic="mean")
    assert (row["n"], row["diverged"], row["method"]) == (0, 2, "0 seeds: no interval")
    assert math.isnan(row["estimate"])


def test_a_diverged_run_of_a_method_without_elbo_does_not_give_it_one():
    nan = {"psnr": 18.0, "elbo": np.nan}
    frame = table(run(A, 0, {"psnr": 20.0, "elbo": -30.0}), run(B, 0, nan), diverged(B, 1))
    summary = stats.summary(stats.finals(frame))
    assert set(summary["metric"][summary["estimator"] == "b"]) == {"psnr"}


def test_two_finished_runs_of_one_seed_are_refused_with_a_remedy():
    frame = table(run(A, 0, {"psnr": 20.0}, name="x"), run(A, 0, {"psnr": 21.0}, name="y"))
    with pytest.raises(ValueError, match=r"a, factorised, seed 0 has 2 runs here \(x, y\).*--out"):
        stats.finals(frame)


def test_of_two_runs_of_one_seed_the_longer_counts():
    frame = table(run(A, 0, {"psnr": 20.0}, name="x"), run(A, 0, {"psnr": 25.0}, steps=(0, 900), name="y"))
    row = only(stats.summary(stats.finals(frame)), statistic="mean")
    assert (row["estimate"], row["n"], row["unfinished"]) == (25.0, 1, 1)


def test_a_table_with_many_values_per_run_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"try finals\(table\)"):
        stats.summary(table(several(A, [20.0])))
    twice = pd.concat([stats.finals(table(several(A, [20.0])))] * 2)
    with pytest.raises(ValueError, match="many values per run"):
        stats.paired_differences(twice, A)


# summaries


def test_summary_by_hand():
    summary = stats.summary(stats.finals(table(several(A, [1.0, 2.0, 3.0, 10.0]))))
    mean, middle = only(summary, statistic="mean"), only(summary, statistic="iqm")
    assert (mean["estimate"], middle["estimate"], mean["unit"], mean["n"]) == (4.0, 2.5, "dB", 4)
    assert mean["sd"] == pytest.approx(np.sqrt((9 + 4 + 1 + 36) / 3))
    assert mean["low"] == pytest.approx(4 - scipy_stats.t.ppf(0.975, 3) * mean["sd"] / 2)
    assert (mean["method"], middle["method"]) == ("Student t", "Student t, bootstrap error")


def test_two_seeds_have_a_mean_and_words_instead_of_an_interval():
    row = only(stats.summary(stats.finals(table(several(A, [1.0, 2.0])))), statistic="mean")
    assert (row["estimate"], row["n"], row["method"]) == (1.5, 2, "2 seeds: no interval")
    assert math.isnan(row["low"])
    assert math.isnan(row["high"])


def test_rows_over_all_datasets_average_datasets_not_runs():
    frame = table(several(A, [1.0, 2.0, 3.0]), several(A, [11.0, 12.0, 13.0, 14.0, 15.0], dataset="faces"))
    row = only(stats.summary(stats.finals(frame)), dataset=stats.ALL, statistic="mean")
    assert (row["estimate"], row["n"], row["method"]) == (7.5, 3, "Welch-Satterthwaite t")


def test_a_method_that_lacks_a_dataset_has_no_row_over_all_of_them():
    frame = table(several(A, [1.0] * 3), several(A, [2.0] * 3, dataset="faces"), several(B, [1.0] * 3))
    summary = stats.summary(stats.finals(frame))
    assert set(summary["estimator"][summary["dataset"] == stats.ALL]) == {"a"}


def test_presets_are_not_averaged():
    frame = table(several(A, [1.0] * 3), several(A, [2.0] * 3, dataset="faces", preset="paper"))
    assert stats.ALL not in set(stats.summary(stats.finals(frame))["dataset"])


# differences


def test_differences_are_taken_seed_by_seed():
    levels = np.array([10.0, 20.0, 30.0, 15.0, 25.0])
    frame = table(several(A, levels), several(B, levels + 1 + FAR_APART[:5]))
    row = only(stats.paired_differences(stats.finals(frame), A), estimator="b")
    assert row["estimate"] == pytest.approx(1 + FAR_APART[:5].mean())
    assert row["high"] - row["low"] < 0.1
    assert row["p"] == pytest.approx(scipy_stats.ttest_rel(levels + 1 + FAR_APART[:5], levels).pvalue, rel=1e-6)
    assert (row["verdict"], row["n"], row["reference_estimator"]) == ("better", 5, "a")
    assert row["p_sign_flip"] == row["p_sign_flip_smallest"] == 2 / 2**5
    # unpaired, the same runs hardly differ
    assert row["improvement"] == pytest.approx(15 / 25)


def test_only_seeds_that_both_have_count():
    shared = [run(A, seed, {"psnr": 10.0 * seed}) + run(B, seed, {"psnr": 10.0 * seed + 1}) for seed in (2, 4, 5)]
    frame = table(*shared, run(A, 7, {"psnr": 500.0}), run(B, 8, {"psnr": -500.0}))
    row = only(stats.paired_differences(stats.finals(frame), A), estimator="b")
    assert (row["n"], row["estimate"]) == (3, 1.0)


def test_lower_is_better_where_the_metric_says_so():
    frame = table(several(A, 5 + FAR_APART, "rfid"), several(B, 4 - FAR_APART, "rfid"))
    row = only(stats.paired_differences(stats.finals(frame), A), estimator="b")
    assert row["estimate"] == pytest.approx(-1 - 2 * FAR_APART.mean())
    assert (row["verdict"], row["improvement"]) == ("better", 1.0)
    assert only(stats.paired_differences(stats.finals(frame), B), estimator="a")["verdict"] == "worse"


def test_holm_corrects_for_all_methods_and_datasets_of_a_metric():
    noise = {name: np.random.default_rng(i).normal(size=6) for i, name in enumerate("abcd")}
    frame = table(
        *(several((name, "factorised"), 20 + x) for name, x in noise.items()),
        *(several((name, "factorised"), 30 - x, dataset="faces") for name, x in noise.items()),
        *(several((name, "factorised"), x, "elbo") for name, x in noise.items()),
    )
    # the two metrics of a run were written as two runs: join them
    frame = frame.drop_duplicates(["run", "step", "split", "readout", "metric"])
    found = stats.paired_differences(stats.finals(frame), A)
    single = found[(found["metric"] == "psnr") & (found["dataset"] != stats.ALL)]
    together = found[(found["metric"] == "psnr") & (found["dataset"] == stats.ALL)]
    assert single["comparisons"].tolist() == [6] * 6
    assert together["comparisons"].tolist() == [3] * 3
    np.testing.assert_allclose(single["p_holm"], stats.holm(single["p"]))
    np.testing.assert_allclose(together["p_holm"], stats.holm(together["p"]))
    assert found["comparisons"][found["metric"] == "elbo"].tolist() == [3] * 3


def test_a_difference_that_holm_does_not_let_pass_is_not_separable():
    rng = np.random.default_rng(1)
    a = 20 + rng.normal(size=5)
    b = a + np.array([0.2, 0.3, 0.9, 1.0, 0.4])
    alone = stats.paired_differences(stats.finals(table(several(A, a), several(B, b))), A)
    assert alone["verdict"].tolist() == ["better"]
    others = [several((f"x{i}", "factorised"), 20 + rng.normal(size=5)) for i in range(6)]
    crowd = stats.paired_differences(stats.finals(table(several(A, a), several(B, b), *others)), A)
    row = only(crowd, estimator="b")
    assert row["p"] == alone["p"].iloc[0] < 0.05 < row["p_holm"]
    assert row["verdict"] == "not separable"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([20.0, 21.0, 22.0], "equal"),
        ([20.0 + 1e-7, 21.0, 22.0 - 1e-7], "equal"),
        ([20.1, 21.1, 22.1], "better"),
        ([20.0, 21.1, 21.9], "not separable"),
        ([20.5, 21.5], "2 seeds: no interval"),
        ([20.0], "equal"),
    ],
)
def test_verdicts(values, verdict):
    frame = table(several(A, [20.0, 21.0, 22.0]), several(B, values))
    assert only(stats.paired_differences(stats.finals(frame), A), estimator="b")["verdict"] == verdict


def test_methods_that_share_no_seed_are_not_compared():
    frame = table(several(A, [20.0, 21.0, 22.0]), *(run(B, seed, {"psnr": 9.0}) for seed in (7, 8, 9)))
    row = only(stats.paired_differences(stats.finals(frame), A), estimator="b")
    assert (row["n"], row["verdict"]) == (0, "no shared seed")
    assert math.isnan(row["p"])


def test_an_unknown_reference_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="no runs of daps, causal to compare with; try one of: a, factorised; c, causal"
    ):
        stats.paired_differences(stats.finals(table(several(A, [1.0]), several(C, [1.0]))), ("daps", "causal"))


def test_profiles_count_runs_better_than_each_threshold_and_diverged_ones_as_worse_than_all():
    frame = table(several(A, [1.0, 2.0, 3.0]), diverged(A, 3), run(A, 4, {"psnr": 9.0}, steps=(0, 40)))
    profile = stats.performance_profiles(stats.finals(frame), "psnr", [0.5, 2.0, 3.0])
    assert profile["estimate"].tolist() == [0.75, 0.25, 0.0]
    assert set(profile["n"]) == {4}
    lower = stats.performance_profiles(
        stats.finals(table(several(A, [1.0, 2.0, 3.0], "rfid"))), "rfid", [0.5, 2.0, 3.5]
    )
    assert lower["estimate"].tolist() == [0, pytest.approx(1 / 3), 1]


def test_profiles_span_all_values_unless_told_otherwise():
    profile = stats.performance_profiles(stats.finals(table(several(A, [1.0, 2.0]), several(C, [5.0, 3.0]))), "psnr")
    assert (profile["threshold"].min(), profile["threshold"].max()) == (1.0, 5.0)


# equal cost


def test_values_lie_on_the_line_between_evaluations_and_nowhere_past_them():
    cost, value = np.array([0.0, 10.0, 30.0]), np.array([1.0, 2.0, 6.0])
    assert [stats.value_at(cost, value, x) for x in (0, 5, 10, 20, 30)] == [1.0, 1.5, 2.0, 4.0, 6.0]
    assert math.isnan(stats.value_at(cost, value, 30.001))
    assert math.isnan(stats.value_at(cost, value, -0.001))
    assert math.isnan(stats.value_at(np.array([]), np.array([]), 1))


def test_the_cost_of_a_target_is_that_of_its_first_crossing():
    cost, value = np.array([0.0, 10.0, 20.0, 30.0]), np.array([1.0, 3.0, 2.0, 5.0])
    assert stats.cost_of(cost, value, 2.5, "higher") == 7.5
    assert stats.cost_of(cost, value, 4.0, "higher") == pytest.approx(20 + 10 * 2 / 3)
    assert stats.cost_of(cost, value, 0.0, "higher") == 0
    assert stats.cost_of(cost, value, 5.0, "higher") == 30
    assert math.isnan(stats.cost_of(cost, value, 5.1, "higher"))
    assert stats.cost_of(cost, -value, -2.5, "lower") == 7.5
    assert math.isnan(stats.cost_of(np.array([]), np.array([]), 1.0, "lower"))


@pytest.mark.parametrize(("axis", "budget"), [("step", 50), ("images", 500), ("decodes", 500), ("seconds", 25.0)])
def test_at_equal_cost_every_run_has_its_value_there(axis, budget):
    # b takes four decodes a step: at 500 it is at step 12.5
    frame = table(several(A, [20.0, 22.0]), several(B, [40.0, 44.0], decodes=4))
    summary = stats.summary(stats.at_cost(frame, axis, budget))
    assert only(summary, estimator="a", statistic="mean")["estimate"] == pytest.approx(10.5)
    expected = 42 / 8 if axis == "decodes" else 21.0
    assert only(summary, estimator="b", statistic="mean")["estimate"] == pytest.approx(expected)


def test_without_a_budget_it_is_what_every_run_of_the_dataset_got_to():
    frame = table(
        several(A, [20.0, 22.0]),
        several(B, [40.0, 44.0], steps=(0, 400)),
        several(A, [10.0], dataset="faces", steps=(0, 30)),
        diverged(A, 5, steps=(0, 10)),
    )
    assert stats.common_budget(frame, "step").to_dict() == {("digits", "quick"): 100, ("faces", "quick"): 30}
    summary = stats.summary(stats.at_cost(frame, "step"))
    assert only(summary, estimator="b", statistic="mean")["estimate"] == pytest.approx(10.5)
    row = only(summary, estimator="a", statistic="mean", dataset="digits")
    assert (row["estimate"], row["diverged"]) == (21.0, 1)


def test_what_a_run_had_not_reached_or_not_measured_is_missing():
    rows = run(A, 0, {"psnr": 20.0, "rfid": 5.0})
    once = [row for row in rows if row["metric"] != "rfid" or row["step"] == 100]
    values = stats.at_cost(table(once), "step", 50)
    assert values.set_index("metric")["value"].to_dict() == {"psnr": 10.0, "rfid": pytest.approx(np.nan, nan_ok=True)}
    assert stats.at_cost(table(once), "step", 101)["value"].isna().all()
    assert stats.at_cost(table(once), "step", 100).set_index("metric")["value"].to_dict() == {"psnr": 20.0, "rfid": 5.0}


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
        (lambda f: stats.common_budget(f, "psnr"), "unknown cost 'psnr'"),
        (lambda f: stats.cost_to_target(f, "pnsr", 1.0, "step"), "unknown metric 'pnsr'; try one of psnr"),
        (lambda f: stats.cost_to_target(f, "psnr", 1.0, "hours"), "unknown cost"),
        (lambda f: stats.reachable_target(f, "pnsr", "digits", "quick"), "unknown metric"),
        (lambda f: stats.lead(stats.finals(f), "pnsr", "digits", "quick"), "unknown metric"),
        (lambda f: stats.performance_profiles(stats.finals(f), "pnsr"), "unknown metric"),
        (lambda f: stats.pareto(stats.finals(f), "psnr", "hours"), "unknown metric 'hours'"),
    ],
)
def test_names_that_are_not_known_are_refused_with_those_that_are(call, words):
    with pytest.raises(ValueError, match=words):
        call(table(several(A, [1.0])))


# words


def lead(*methods, metric="psnr"):
    return stats.lead(stats.finals(table(*methods)), metric, "digits", "quick")


def test_a_lead_that_is_larger_than_the_noise_is_said_so():
    found = lead(several(A, [20.0, 21.0, 22.0]), several(B, [21.1, 21.9, 23.0]))
    assert (found.winner, found.runner_up, found.larger_than_noise) == (B, A, True)
    half = scipy_stats.t.ppf(0.975, 2) * np.std([1.1, 0.9, 1.0], ddof=1) / 3**0.5
    assert found.difference.low == pytest.approx(1 - half)
    assert found.sentence == (
        "The winner is b with 22.0 dB (95 % interval 19.6 to 24.4, 3 seeds, Student t); its lead of 1.00 dB over a is "
        "larger than the seed noise (paired difference 95 % interval 0.75 to 1.25 dB, 3 seeds, Student t)."
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


def test_numbers_have_two_digits_of_their_uncertainty():
    assert stats.in_words(stats.Interval(17.03398, 16.91, 17.158, 5, "Student t"), "dB") == (
        "17.03 dB (95 % interval 16.91 to 17.16, 5 seeds, Student t)"
    )
    assert stats.in_words(stats.Interval(81234.5, 80000.0, 82469.0, 5, "Student t"), "1") == (
        "81200 (95 % interval 80000 to 82500, 5 seeds, Student t)"
    )
    assert stats.in_words(stats.Interval(0.0, 0.0, 0.0, 3, "all seeds equal"), "1").startswith(
        "0 (95 % interval 0 to 0"
    )
    assert stats.in_words(stats.Interval(np.nan, np.nan, np.nan, 0, "0 seeds: no interval"), "dB") == (
        "- dB (0 seeds: no interval)"
    )


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
    assert (row["before"], row["n_before"], row["n_after"]) == (21.0, 3, len(after))
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
    assert row["verdict"] == "no shared seed"


# degenerate tables


TABLES = {
    "empty": table(),
    "one run": table(several(A, [20.0])),
    "nothing but missing values": table(several(A, [np.nan] * 3), several(B, [np.nan] * 3)),
    "infinite values": table(several(A, [20.0, np.inf, 21.0]), several(B, [-np.inf, 19.0, 18.0])),
    "constant": table(several(A, [20.0] * 12), several(B, [20.0] * 12)),
    "evaluated before training only": table(several(A, [20.0] * 3, steps=(0,), curve=[1.0])),
    "nothing but diverged runs": table(diverged(A, 0), diverged(A, 1)),
    "the baseline alone": table(run(("baseline:mean", "none"), 0, {"psnr": 11.0}, steps=(0,), curve=[1.0])),
    "huge": table(several(A, [1e35, -1e35, 2e35]), several(B, [3e30] * 3)),
}


@pytest.mark.parametrize("name", TABLES)
def test_odd_tables_give_tables_not_tracebacks(name):
    frame = TABLES[name]
    values = stats.finals(frame)
    methods = sorted(set(zip(values["estimator"], values["posterior"], strict=True)))
    assert list(stats.summary(values)["method"].unique()) == list(stats.summary(values)["method"].dropna().unique())
    for method in methods:
        stats.paired_differences(values, method)
    for axis in ("decodes", "seconds"):
        assert stats.at_cost(frame, axis).columns.tolist() == values.columns.tolist()
        assert stats.at_cost(frame, axis, 50.0)["value"].notna().sum() <= len(frame)
        stats.cost_to_target(frame, "psnr", 15.0, axis)
        stats.pareto(values, "psnr", axis)
    stats.performance_profiles(values, "psnr")
    stats.rate_distortion(values)
    stats.reachable_target(frame, "psnr", "digits", "quick")
    found = stats.lead(values, "psnr", "digits", "quick")
    assert found is None or found.sentence.endswith(".")
    assert set(stats.moved(values, values)["verdict"]) <= {"equal"}


def test_infinite_values_are_missing():
    found = stats.summary(stats.finals(TABLES["infinite values"]))
    row = only(found, estimator="a", statistic="mean")
    assert (row["estimate"], row["n"]) == (20.5, 2)
