"""Which runs count, how they are paired, and that odd tables give tables too."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.stats_tables import FAR_APART, A, B, C, diverged, only, run, several, table
from scipy import stats as scipy_stats

from bench import stats

pytestmark = pytest.mark.filterwarnings("error")


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


def test_two_finished_runs_of_one_seed_are_methods_of_their_own_and_never_averaged():
    frame = table(run(A, 0, {"psnr": 20.0}, name="x"), run(A, 0, {"psnr": 21.0}, name="y"))
    values = stats.finals(frame)
    assert dict(zip(values["estimator"], values["value"], strict=True)) == {"a · run=x": 20.0, "a · run=y": 21.0}


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
        stats.cost_to_target(frame, "psnr", 15.0, axis)
        stats.pareto(values, "psnr", axis)
    assert stats.at_cost(frame, "step").columns.tolist() == values.columns.tolist()
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
