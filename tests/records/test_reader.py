"""The reader of a sweep: which runs count, what a method is, what its last values and curves are, who is best."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.nasty_sweep import LEFT_OUT, SCORES, nasty_sweep
from helpers.synthetic_sweep import add_run, new_sweep, usual_sweep

from bench import records
from bench.metrics import catalogue
from bench.records.folder import RunFolder
from bench.records.methods import Method, Run, by_method, in_order, varying
from bench.records.sweep import NOTHING, tidy
from bench.records.table import VALUE_COLUMNS

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture
def sweep(tmp_path) -> Path:
    return new_sweep(tmp_path / "sweep")


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> records.Comparison:
    (one,) = records.read(nasty_sweep(tmp_path_factory.mktemp("nasty") / "sweep")).comparisons
    return one


def only(path: Path) -> records.Comparison:
    (one,) = records.read(path).comparisons
    return one


def named(comparison: records.Comparison) -> list[str]:
    return [method.name for method in comparison.methods]


# which runs count


def test_a_run_that_is_done_counts_with_its_last_evaluation_and_no_other_does(sweep):
    add_run(sweep, "vq", psnr=20.0, steps=(0, 50, 100))
    for seed, state in enumerate(("diverged", "stopped", "failed", "running"), start=1):
        add_run(sweep, "vq", seed=seed, psnr=99.0, state=state)
    add_run(sweep, "vq", seed=5, state="queued")
    add_run(sweep, "vq", seed=6, state="skipped")
    one = only(sweep)
    psnr = one.finals[one.finals["metric"] == "psnr"].set_index("seed")
    assert psnr["value"].dropna().to_dict() == {0: 20.0}
    assert psnr["ended"].to_dict() == {0: "done", 1: "diverged", 2: "unfinished", 3: "unfinished", 4: "unfinished"}
    assert one.means["psnr"] == {0: 20.0}
    assert set(one.curves["seed"]) == {0}
    assert one.endings(0) == "1 done, 1 diverged, 1 stopped, 1 failed, 1 running, 1 queued, 1 skipped"


def test_finals_have_their_columns_whatever_the_sweep_is(sweep, nasty):
    for finals in (records.read(sweep).finals, NOTHING.finals, nasty.finals):
        assert tuple(finals.columns) == VALUE_COLUMNS


def test_costs_are_final_values_at_any_step_and_of_the_baseline_there_are_none(sweep):
    usual = only(usual_sweep(sweep))
    assert set(usual.means["ms_per_step"].values()) == {10.0}
    assert usual.means["ms_per_step"].keys() == usual.means["psnr"].keys()
    assert "baseline:mean" not in set(usual.finals["estimator"])
    assert usual.baseline("psnr") == 11.5
    assert np.isnan(usual.baseline("ssim"))


def test_where_a_run_ended_is_said_with_its_step(sweep):
    add_run(sweep, "vq", psnr=20.0)
    for seed in (1, 2):
        add_run(sweep, "vq", seed=seed, state="diverged", status={"step": 40 * seed})
    assert only(sweep).endings(0) == "1 done, 2 diverged at step 40, 80"


def test_who_is_left_out_is_said_in_words(nasty, tmp_path):
    assert nasty.left_out == LEFT_OUT
    assert only(usual_sweep(tmp_path / "usual")).left_out == "1 skipped (vq, causal, seed 0)"
    made = new_sweep(tmp_path / "many")
    add_run(made, "vq", psnr=20.0)
    for name in ("a", "b", "c", "d"):
        add_run(made, name, state="failed")
    assert only(made).left_out == "4 failed (a, seed 0; b, seed 0; c, seed 0; ...)"


def test_a_run_whose_status_is_lost_is_unknown_and_one_that_says_nothing_is_unreadable(sweep):
    add_run(sweep, "vq", psnr=20.0)
    (add_run(sweep, "fsq", psnr=19.0) / "status.json").unlink()
    (sweep / "runs" / "nothing").mkdir()
    read = records.read(sweep)
    assert sorted(run.state for run in read.runs) == ["done", "unknown"]
    assert read.unreadable == ["nothing"]
    assert read.comparisons[0].left_out == "1 unknown (fsq, seed 0)"


def test_a_copy_of_a_folder_is_no_second_run(nasty):
    assert [len(runs) for index, runs in nasty.runs.items() if nasty.methods[index].name == "fsq"] == [4]


def test_reasons_are_those_recorded_or_what_the_state_means():
    run = Run("r", "vq", "factorised", "digits", "quick", 0, "diverged", {"step": 7})
    assert run.reason == "loss or gradient not finite at step 7"
    assert Run("r", "vq", "factorised", "digits", "quick", 0, "failed", {"reason": "no memory"}).reason == "no memory"


# rows


def test_rows_that_were_half_written_are_no_rows(nasty):
    assert nasty.means["ssim"][nasty.order[0]] == pytest.approx(np.mean(SCORES["daps:k=16"]))


def test_odd_rows_become_numbers_or_are_missing(sweep):
    folder = add_run(sweep, "vq", psnr=20.0)
    odd = {"step": 100, "images": 1, "decodes": 1, "seconds": 1.0, "split": "test", "readout": "sample", "n": 1}
    with (folder / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps({**odd, "metric": "ssim", "value": float("inf")}) + "\n")
        rows.write('[]\nnull\n{"step": 100}\n')
    one = only(sweep)
    assert "ssim" not in one.means
    assert one.means["psnr"] == {0: 20.0}


def test_tidy_keeps_what_comparisons_are_made_of():
    row = dict.fromkeys(records.COLUMNS, 1.0) | {"run": "a", "split": "test", "readout": "sample", "metric": "psnr"}
    others = [{**row, "readout": "mode"}, {**row, "split": "train", "metric": "term/ess"}, {**row, "step": None}]
    kept = [row, {**row, "split": "train", "metric": "ms_per_step"}, {**row, "split": "train", "metric": "diverged"}]
    table = tidy(pd.DataFrame([*others, *kept]).astype({"metric": "category"}))
    assert table["metric"].tolist() == ["psnr", "ms_per_step", "diverged"]
    assert table["metric"].dtype == object or str(table["metric"].dtype) in ("str", "string")


def test_every_metric_is_read_of_the_codes_that_it_is_defined_on(sweep):
    """A sampled code uses the whole codebook for no better reason than noise."""
    folder = add_run(sweep, "daps", psnr=20.0, metrics={"entropy": 7.0, "usage": 0.25, "usage/1": 0.5}, positions=0)
    other = {"step": 100, "images": 1, "decodes": 1, "seconds": 1.0, "split": "test", "n": 1, "value": 99.0}
    rows = [("psnr", "mode"), ("entropy", "mode"), ("usage", "sample"), ("usage/1", "sample")]
    folder.joinpath("rows.jsonl").open("a").writelines(
        json.dumps({**other, "metric": metric, "readout": readout}) + "\n" for metric, readout in rows
    )
    one = only(sweep)
    means = {metric: found[0] for metric, found in one.means.items() if catalogue.find(metric).kind != "cost"}
    assert means == {"psnr": 20.0, "entropy": 7.0, "usage": 0.25}
    assert one.by_position["value"].tolist() == [0.5]
    assert {catalogue.readout(name) for name in ("usage", "usage/3", "perplexity/0")} == {"mode"}
    assert {catalogue.readout(name) for name in ("psnr", "entropy", "of_a_plugin/2")} == {"sample"}


# methods


def test_settings_of_one_estimator_are_methods_of_their_own(sweep):
    for lr, score in ((0.01, 20.0), (0.002, 21.0)):
        for seed in range(2):
            add_run(sweep, "vq", seed=seed, psnr=score, config={"lr": lr})
    one = only(sweep)
    assert named(one) == ["vq · lr=0.002", "vq · lr=0.01"]
    assert one.means["psnr"] == {0: 21.0, 1: 20.0}
    assert [method.style for method in one.methods] == ["vq:lr=0.002", "vq:lr=0.01"]


def test_settings_that_differ_in_the_last_digit_are_not_one():
    assert varying([{"lr": 0.1234567}, {"lr": 0.1234568}]) == {"lr": ["0.1234567", "0.1234568"]}
    assert varying([{"arguments": {"k": 8}, "seed": 0}, {"arguments": {"k": 16}, "seed": 1}]) == {"k": ["8", "16"]}


def test_twins_go_by_the_names_of_their_runs(sweep):
    for name in ("x", "y"):
        folder = RunFolder(sweep, name)
        identity = {"run": name, "estimator": "vq", "posterior": "factorised", "dataset": "digits", "preset": "quick"}
        folder.start({**identity, "seed": 0, "device": "cpu"}, {"lr": 0.1}, {})
        folder.finish("done")
    assert named(only(sweep)) == ["vq · run=x", "vq · run=y"]


def test_a_run_that_never_started_is_like_the_others_of_its_method(sweep):
    add_run(sweep, "vq", psnr=20.0)
    add_run(sweep, "vq", seed=1, state="queued")
    assert {method.name: len(runs) for method, runs in by_method(records.read(sweep).runs).items()} == {"vq": 2}


def test_methods_are_read_in_families_factorised_first_baselines_last():
    names = ["baseline:mean", "yours", "fsq", "daps:k=16", "daps:k=4", "daps"]
    methods = [Method(name, posterior) for name in names for posterior in ("causal", "factorised")]
    ordered = in_order(methods)
    assert [method.name for method in ordered[::2]] == [
        "daps",
        "daps:k=4",
        "daps:k=16",
        "fsq",
        "yours",
        "baseline:mean",
    ]
    assert [method.posterior for method in ordered[:2]] == ["factorised", "causal"]


def test_only_what_shares_dataset_and_preset_is_compared(sweep):
    for dataset, preset in (("digits", "quick"), ("digits", "paper"), ("faces", "quick")):
        add_run(sweep, "vq", dataset=dataset, preset=preset)
    read = records.read(sweep)
    assert [one.title for one in read.comparisons] == [
        "digits, preset paper", "digits, preset quick", "faces, preset quick",
    ]  # fmt: skip
    assert len(read.finals[read.finals["metric"] == "psnr"]) == 3


def test_labels_name_the_posterior_where_there_are_several(sweep):
    add_run(sweep, "vq", psnr=20.0)
    add_run(sweep, "baseline:mean", "none", psnr=11.0)
    one = only(sweep)
    assert [one.label(index) for index in one.order] == ["vq", "baseline:mean"]
    add_run(sweep, "daps", "causal", psnr=21.0)
    one = only(sweep)
    assert [one.label(index) for index in one.order] == ["daps, causal", "vq, factorised", "baseline:mean"]


# order


def test_the_first_ranked_metric_that_was_measured_orders(nasty, tmp_path):
    assert nasty.metric == "ssim"
    assert [nasty.methods[index].name for index in nasty.order][: len(SCORES)] == list(SCORES)
    assert nasty.methods[nasty.order[-1]].is_baseline
    made = new_sweep(tmp_path / "sweep")
    add_run(made, "vq", psnr=None, metrics={"rfid": 30.0, "bits": 5.0})
    add_run(made, "daps", psnr=None, metrics={"rfid": 90.0, "bits": 9.0})
    one = only(made)
    assert (one.metric, [one.methods[index].name for index in one.order]) == ("rfid", ["vq", "daps"])
    assert one.methods[one.best("rfid") or 0].name == "vq"
    assert [one.methods[index].name for index in one.ordered_by("bits")] == ["daps", "vq"]


def test_of_equal_means_the_first_in_reading_order_is_best(sweep):
    for name in ("vq", "daps", "abc"):
        add_run(sweep, name, psnr=20.0)
    one = only(sweep)
    assert [one.methods[index].name for index in one.order] == ["daps", "vq", "abc"]
    assert one.best("psnr") == one.order[0]
    assert one.best("psnr", among=[2, 1]) == 1
    assert one.best("rfid") is None


def test_without_a_run_that_is_done_nothing_ranks(sweep):
    add_run(sweep, "vq", state="running")
    one = only(sweep)
    assert (one.metric, one.order, one.means, one.images) == (None, [0], {}, [])


def test_images_behind_the_values_are_counted(sweep):
    add_run(sweep, "vq", n=360)
    add_run(sweep, "daps", n=100)
    assert only(sweep).images == [100, 360]


# curves


def test_curves_are_of_finished_seeds_or_while_there_are_none_of_those_under_way(sweep):
    for seed, score in enumerate((20.0, 22.0)):
        add_run(sweep, "vq", seed=seed, psnr=score, validation=0.5)
    add_run(sweep, "vq", seed=2, psnr=99.0, state="running", steps=(0, 50))
    add_run(sweep, "daps", psnr=15.0, state="running", steps=(0, 50))
    add_run(sweep, "fsq", psnr=5.0, state="diverged", steps=(0, 50))
    one = only(sweep)
    points = one.shown_curves[one.shown_curves["metric"] == "psnr"].assign(
        name=lambda p: p["method"].map(named(one).__getitem__)
    )
    vq = points[(points["name"] == "vq") & (points["step"] == 100)].iloc[0]
    assert (vq["mean"], vq["low"], vq["high"], vq["seeds"], vq["decodes"]) == (21.5, 20.5, 22.5, 2, 3200)
    assert set(points["name"]) == {"vq", "daps"}
    assert set(one.lost_curves["estimator"]) == {"fsq"}
    assert set(one.curves["estimator"]) == {"vq"}
    assert not one.shown_curves["metric"].str.contains("/").any()


def test_codebook_use_by_position_is_the_mean_over_finished_seeds(sweep):
    for seed, usage in enumerate((0.5, 0.7)):
        add_run(sweep, "vq", seed=seed, usage=usage, positions=3)
    add_run(sweep, "vq", seed=2, usage=0.0, positions=3, state="diverged")
    table = only(sweep).by_position
    usage = table[table["measure"] == "usage"]
    assert usage["position"].tolist() == [0, 1, 2]
    assert usage["value"].tolist() == pytest.approx([0.6] * 3)
    assert NOTHING.by_position.empty


# tables alone, and what older versions left


def test_a_table_alone_tells_the_same_as_the_folders(sweep):
    here = only(usual_sweep(sweep))
    (there,) = records.of_table(records.load(sweep)).comparisons
    assert [there.methods[i].name for i in there.order] == [
        here.methods[i].name for i in here.order if here.runs[i][0].state != "skipped"
    ]
    assert there.means["psnr"] == {
        there.methods.index(here.methods[i]): value for i, value in here.means["psnr"].items()
    }


def test_in_a_table_alone_a_run_that_others_passed_was_stopped_and_one_that_diverged_says_so(sweep):
    add_run(sweep, "vq", psnr=20.0)
    add_run(sweep, "vq", seed=1, psnr=25.0, steps=(0, 50))
    add_run(sweep, "vq", seed=2, psnr=25.0, state="diverged")
    (one,) = records.of_table(records.load(sweep)).comparisons
    assert {run.seed: run.state for run in one.runs[0]} == {0: "done", 1: "stopped", 2: "diverged"}
    assert one.means["psnr"] == {0: 20.0}


def test_the_committed_reference_still_loads():
    (one,) = records.of_table(pd.read_parquet(REFERENCE / "digits-quick" / "results.parquet")).comparisons
    assert (one.title, one.metric) == ("digits, preset quick", "psnr")
    assert len(one.means["psnr"]) > 5
    assert one.baseline("psnr") == pytest.approx(11.45, abs=0.01)
    for name in ("results", "k"):
        (lab,) = records.of_table(pd.read_parquet(REFERENCE / "gradients-digits" / f"{name}.parquet")).comparisons
        assert {"method", "step", "decodes", "bias_squared", "variance"} <= set(lab.gradients.columns)
        assert len(lab.gradients)
        assert lab.means == {}
    assert not set(catalogue.names("gradient")) & set(one.means)


def test_a_copied_folder_without_configs_still_reads(sweep, tmp_path):
    usual_sweep(sweep)
    shutil.copytree(sweep, tmp_path / "copy")
    for path in (tmp_path / "copy" / "runs").glob("*/config.json"):
        path.unlink()
    assert only(tmp_path / "copy").means == only(sweep).means
