"""The command line, as a person uses it: end to end on digits, and with what a tired person types."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.configs import TINY
from helpers.sweeps import TIMED
from PIL import Image

from bench import records
from bench.cli.options import Training
from bench.metrics.catalogue import METRICS

TIMES = ["seconds", "run"]


def digits(*arguments: str) -> list[str]:
    return ["run", "--dataset", "digits", *TINY, *arguments]


def untimed(folder: str | Path) -> pd.DataFrame:
    frame = records.load(folder)
    return frame[~frame.metric.isin(TIMED)].drop(columns="seconds").reset_index(drop=True)


def test_a_sweep_leaves_a_tidy_table_figures_and_a_folder_per_run(bench):
    code, out, err = bench(*digits("--estimator", "daps,vq", "--posterior", "both", "--seeds", "2"))
    assert code == 0, err
    sweep = Path("results/digits-quick")
    frame = records.load(sweep)
    assert list(frame.columns) == list(records.COLUMNS)
    assert set(frame.estimator) == {"daps", "vq", "baseline:mean"}
    assert set(frame[frame.estimator == "daps"].posterior) == {"factorised", "causal"}
    assert not frame.duplicated(["run", "step", "split", "readout", "metric"]).any()
    test = frame[(frame.split == "test") & (frame.estimator == "daps")]
    looks = frame[(frame.split == "validation") & (frame.estimator == "daps")]
    assert set(looks.step) == {0, 3, 6}
    assert set(looks[(looks.step == 3) & (looks.readout == "mode")].metric) == {"usage", "perplexity", "entropy"}
    assert set(test.step) == {6}
    assert set(test.readout) == {"sample", "mode"}
    assert (test.n == 360).all()
    assert {"psnr", "ssim", "mae", "log_lik", "kl", "bits", "elbo", "beta_elbo", "usage", "perplexity"} <= set(
        test.metric
    )
    assert {"entropy", "mutual_information", "capacity"} <= set(test.metric)
    assert {f"usage/{i}" for i in range(4)} <= set(test.metric)
    final = frame[(frame.step == 6) & (frame.estimator == "daps")]
    assert (final.images == 96).all()
    assert (final.decodes == 96 * 8).all()
    assert frame[(frame.estimator == "vq") & (frame.metric == "elbo")].value.isna().all()
    assert frame[(frame.estimator == "daps") & (frame.metric == "elbo")].value.notna().all()
    pd.testing.assert_frame_equal(pd.read_parquet(sweep / "results.parquet"), frame, check_dtype=False)
    assert len(pd.read_csv(sweep / "results.csv")) == len(frame)
    assert {path.stem for path in (sweep / "figures").glob("*.png")} >= {"final", "curves", "reconstructions"}

    states = {(state["estimator"], state["posterior"], state["seed"]): state for state in records.states(sweep)}
    assert states["vq", "causal", 0]["state"] == "skipped"
    assert "factorised posterior only" in states["vq", "causal", 0]["reason"]
    assert states["daps", "causal", 1]["state"] == "done"
    run = sweep / "runs" / states["daps", "causal", 1]["run"]
    recorded = json.loads((run / "config.json").read_text())
    assert recorded["config"]["arguments"]["k"] == 8
    assert recorded["provenance"]["versions"]["torch"] == version("torch")
    assert set(recorded["provenance"]["absent"]) == {"lpips", "rfid"}
    assert recorded["provenance"]["dataset"]["n_test"] == 360
    assert Image.open(run / "samples.png").size == (12 * 8, 2 * 8)
    assert "baseline:mean" in out
    assert "2 skipped" in out
    assert "without lpips" in err


def test_a_finished_run_is_not_run_again_unless_fresh(bench):
    arguments = digits("--estimator", "straight_through", "--seeds", "1")
    assert bench(*arguments)[0] == 0
    (rows,) = [
        p
        for p in Path("results/digits-quick/runs").glob("*/rows.jsonl")
        if "term" not in p.name and p.stat().st_size > 5000
    ]
    before = rows.stat().st_mtime_ns
    assert bench(*arguments)[0] == 0
    assert rows.stat().st_mtime_ns == before
    assert bench(*arguments, "--fresh")[0] == 0
    assert rows.stat().st_mtime_ns > before


def test_a_second_command_adds_to_the_same_sweep(bench):
    bench(*digits("--estimator", "fsq", "--seeds", "1"))
    bench(*digits("--estimator", "straight_through", "--seeds", "1"))
    assert set(records.load("results/digits-quick").estimator) == {"fsq", "straight_through", "baseline:mean"}


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_same_seed_gives_bitwise_the_same_rows(bench, posterior):
    for out in ("one", "two"):
        code, _, err = bench(*digits("--estimator", "core", "--posterior", posterior, "--seeds", "1", "--out", out))
        assert code == 0, err
    pd.testing.assert_frame_equal(untimed("one"), untimed("two"), check_exact=True)


def test_what_a_group_brings_and_is_impossible_is_skipped_with_its_reason_and_nothing_else_is(bench):
    arguments = digits("--estimator", "score_functions", "--seeds", "1", "--set", "vocab=64", "--posterior", "both")
    code, out, err = bench(*arguments, "--steps", "1")
    assert code == 0, err
    states = {(state["estimator"], state["posterior"]): state for state in records.states(Path("results/digits-quick"))}
    skipped = {key: state["reason"] for key, state in states.items() if state["state"] == "skipped"}
    assert set(skipped) == {("carms", "factorised"), ("carms", "causal"), ("rebar", "causal"), ("relax", "causal")}
    assert "vocab is 64, and may be 2 to 16" in skipped["carms", "factorised"]
    assert "factorised posterior only" in skipped["rebar", "causal"]
    assert {state["state"] for key, state in states.items() if key not in skipped} == {"done"}
    assert "4 skipped" in out
    again = bench("run", "-e", "carms", *arguments[1:3], *TINY)
    assert again[0] == 2
    assert "may be 2 to 16" in again[2]


def test_plot_draws_from_the_records_alone(bench):
    bench(*digits("--estimator", "fsq", "--seeds", "1", "--out", "sweep"))
    for path in Path("sweep/figures").glob("*.png"):
        path.unlink()
    Path("sweep/results.parquet").unlink()
    code, out, _ = bench("plot", "sweep")
    assert code == 0
    assert "fsq" in out
    assert list(Path("sweep/figures").glob("*.png"))


def test_a_run_that_diverges_is_recorded_with_its_step_and_the_sweep_goes_on(bench):
    code, out, _ = bench(*digits("--estimator", "fsq,straight_through", "--seeds", "1", "--set", "lr=1e30"))
    assert code == 0
    states = records.states(Path("results/digits-quick"))
    diverged = [state for state in states if state["state"] == "diverged"]
    assert len(diverged) == 2
    assert all(1 <= state["step"] <= 6 for state in diverged)
    frame = records.load("results/digits-quick")
    assert (frame[frame.metric == "diverged"].value == [state["step"] for state in diverged]).all()
    assert "1 diverged at step" in out


@pytest.mark.slow
def test_a_killed_sweep_continues_to_the_rows_of_an_undisturbed_one(bench, tmp_path):
    arguments = ["--estimator", "fsq,straight_through", "--seeds", "1", "--set", "batch_size=32"]
    command = ["run", "--dataset", "digits", "--preset", "quick", "--steps", "300", *arguments]
    bench(*command, "--out", "undisturbed")
    for pause in (0.5, 1.5, 3.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.cli", *command, "--out", str(tmp_path / "killed")],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("killed/runs/*/rows.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert records.load("killed") is not None
    code, _, err = bench(*command, "--out", "killed")
    assert code == 0, err
    pd.testing.assert_frame_equal(untimed("undisturbed"), untimed("killed"), check_exact=True)


def zero_byte_folder(path: Path) -> Path:
    for split in ("train", "test"):
        (path / split).mkdir(parents=True)
    return path


MISTAKES = [
    (["--estimator", "dapps"], "unknown estimator 'dapps'; did you mean daps?"),
    (["--estimator", "daps:kk=2"], "did you mean k?"),
    (["--estimator", ","], "--estimator is empty"),
    (["--estimator", "coree"], "did you mean core?"),
    (["--estimator", "core:k=2"], "core is a group, which has no arguments"),
    (["--estimator", "core,carms"], "carms goes through all pairs of codes"),
    (["--estimator", "quantizers", "--set", "length=5"], "length=5 patches do not tile"),
    (["--estimator", "reinforce:k=1"], "try k=2 or baseline=ema"),
    (["--estimator", "fsq:levels=8,8,8"], "levels=8,8,8 give 512 codes, vocabulary is 64; try levels=8,8"),
    (["--preset", "quik"], "did you mean quick?"),
    (["--set", "lerning_rate=1"], "no such setting"),
    (["--set", "length=5"], "length=5 patches do not tile an image of 8 x 8 pixels; try --set length=4"),
    (["--set", "length=64", "--set", "decoder=conv"], "patches of 1 x 1"),
    (["--metrics", "psnrr"], "unknown metric 'psnrr'; did you mean psnr?"),
    (["--metrics", "rfid"], "--metrics rfid"),
    (["--image-size", "16"], "folder:PATH"),
    (["--out", "/dev/null/x"], "cannot be written"),
    (["--dataset", "digit"], "digits"),
    (["--dataset", "folder:nowhere"], "nowhere"),
    (["--dataset", "folder:"], "folder:"),
    (["--dataset", "empty"], "empty"),
    (["--seeds", "0"], "seeds"),
    (["--steps", "-3"], "steps"),
    (["--budget", "8e6"], "--budget 8e6 has no unit; try decodes=8e6, images=1e6, steps=2000 or seconds=60"),
    (["--budget", "2h"], "--budget 2h has no unit; try decodes=8e6"),
    (["--budget", "decode=8"], "--budget decode=8: no unit 'decode'; did you mean decodes?"),
    (["--budget", "decodes=nan"], "'nan' is no number above 0"),
    (["--budget", "decodes=-8e6"], "'-8e6' is no number above 0"),
    (["--budget", "images="], "'' is no number above 0; try decodes=8e6"),
    (["--budget", "images=8e6"], "the steps follow from --budget images=8000000; leave out either it or steps"),
    (["--posterior", "autoregressive"], "posterior"),
    (["--set", "lr=inf"], "lr=inf: input should be a finite number"),
    (["--estimator", "daps:eta=nan"], "daps:eta=nan is not a finite number"),
    (["--sedes", "3"], "No such option: --sedes"),
    (["--out", "~nobody-of-that-name/x"], "home of somebody not known here"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_clear_line_exit_code_2_and_nothing_written(bench, tmp_path, arguments, words):
    zero_byte_folder(tmp_path / "empty")
    before = sorted(tmp_path.rglob("*"))
    base = ["run", "--estimator", "fsq", "--dataset", "digits", *TINY, "--seeds", "1"]
    for flag in arguments[::2]:
        if flag in base and flag != "--set":
            at = base.index(flag)
            del base[at : at + 2]
    code, out, err = bench(*base, *arguments)
    assert code == 2, err
    assert words in err
    assert "Traceback" not in err
    assert out == ""
    assert err.startswith("bench: ")
    assert err.count("\n") == 1, err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_says_what_would_run_and_how_long_and_writes_nothing(bench, tmp_path):
    code, out, err = bench(*digits("-e", "fsq,quantizers", "--posterior", "both", "--seeds", "3"), "--dry-run")
    assert (code, err) == (0, "")
    assert out.startswith("36 runs on digits: 1294 images to learn from, 143 for validation, 360 for the test; into")
    assert re.search(r"^fsq, factorised: 3 runs of 6 steps of [\d.]+ ms: ", out, re.MULTILINE)
    assert "fsq, causal: skipped: fsq emits vectors" in out
    assert re.search(r"^without lpips: [^\n;]+; try bench fetch weights$", out, re.MULTILINE)
    assert re.search(r"^about .* of training", out, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_home_is_spelled_out_before_anything_is_written(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code, _, err = bench(*digits("--estimator", "fsq", "--seeds", "1", "--out", "~/mine"))
    assert code == 0, err
    assert (tmp_path / "home/mine/sweep.json").is_file()
    assert bench("status", "~/mine")[0] == 0
    assert not (tmp_path / "~").exists()


def test_names_with_brackets_are_names(bench):
    for folder in ("[/]", "a[/b]"):
        code, out, err = bench(*digits("--estimator", "fsq", "--seeds", "1", "--out", folder))
        assert code == 0, err
        assert f"  {folder}/results.parquet" in out
        for command in ("status", "plot", "table", "report"):
            assert bench(command, folder)[0] == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_so(bench):
    code, _, err = bench(*digits("--estimator", "fsq", "--device", "cuda"))
    assert code == 2
    assert "try --device cpu" in err


def test_a_folder_that_holds_something_else_is_left_alone(bench, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("do not lose me")
    code, _, err = bench(*digits("--estimator", "fsq", "--out", "mine"))
    assert code == 2
    assert "mine holds something that is not a sweep" in err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_plot_of_what_is_no_sweep_is_refused(bench, tmp_path):
    for name in ("nowhere", "."):
        code, _, err = bench("plot", name)
        assert code == 2
        assert "is not a sweep" in err


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("estimators", ["daps", "k=8", "reinforce", "baseline=loo", "factorised only"]),
        ("spaces", ["all", "lr: the preset's / 10", "daps", "eta: 0.3 to 300 (log)"]),
        ("groups", ["core", "daps", "score_functions", "carms", "quantizers", "all"]),
        ("datasets", ["digits", "1x8x8", "cifar10", "folder:PATH"]),
        ("presets", ["digits", "quick", "cifar10", "paper", "steps=250000"]),
        ("metrics", ["psnr", "dB", "rfid", "elbo", "nats", "ms_per_step"]),
    ],
)
def test_lists_are_one_line_each(bench, what, words):
    code, out, _ = bench("list", what)
    assert code == 0
    for word in words:
        assert word in out
    assert all(line.strip() for line in out.splitlines())


def test_the_list_of_metrics_says_a_direction_only_where_there_is_one(bench):
    lines = {line.split()[0]: line for line in bench("list", "metrics")[1].splitlines()}
    assert lines["psnr"].endswith("[dB, higher is better]")
    assert lines["bits"].endswith("[bits]")
    assert all(("is better" in line) == bool(METRICS[name].better) for name, line in lines.items())


def test_failed_runs_are_counted_in_words_and_make_exit_code_1(bench, odd):
    odd("raise OSError('no such luck')")
    code, _, err = bench(*digits("-e", "odd", "--seeds", "1"))
    assert code == 1
    assert "bench: 1 run failed; see results/digits-quick/runs/*/traceback.txt" in err


@pytest.mark.parametrize("command", ["run", "ablate"])
def test_every_command_that_trains_has_the_options_of_training(bench, command):
    code, out, _ = bench(command, "--help")
    assert code == 0
    for field in fields(Training):
        flag = {"settings": "--set"}.get(field.name, "--" + field.name.replace("_", "-"))
        assert f"{flag} " in out


def test_list_of_something_else_names_what_there_is(bench):
    code, _, err = bench("list", "estimatorz")
    assert code == 2
    assert "estimators" in err


def test_doctor_says_what_is_here_and_where_it_looked(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    code, out, _ = bench("doctor")
    assert code == 0
    for word in ("torch", "device", "cifar10", str(tmp_path / "data"), "inception", str(tmp_path / "torch"), "missing"):
        assert word in out


def test_fetch_names_what_can_be_fetched(bench):
    code, _, err = bench("fetch", "cifar1")
    assert code == 2
    assert "did you mean cifar10?" in err


@pytest.mark.parametrize("command", ["run", "ablate", "gradients"])
def test_what_is_advised_for_images_of_several_sizes_is_an_option_there(bench, tmp_path, command):
    for name, size in (("train/a.png", (8, 8)), ("train/b.png", (9, 8)), ("test/c.png", (8, 8))):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)
    what = {"ablate": ["beta"]}.get(command, ["-e", "daps"])
    code, _, err = bench(command, *what, "--dataset", "folder:mine")
    assert code == 2
    assert "give --image-size N" in err
    assert "--image-size " in bench(command, "--help")[1]


def test_images_of_ones_own_train_through_a_folder(bench, tmp_path):
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 20), ("test", 6)):
        (tmp_path / "mine" / split / "cats").mkdir(parents=True)
        for i in range(count):
            pixels = torch.randint(0, 256, (12, 14, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(tmp_path / "mine" / split / "cats" / f"{i}.png")
    arguments = ["run", "-e", "fsq", "--dataset", "folder:mine", "--image-size", "8", *TINY, "--set", "vocab=16"]
    code, _, err = bench(*arguments, "--set", "length=4", "--seeds", "1")
    assert code == 0, err
    frame = records.load("results/folder-mine-quick")
    assert set(frame.dataset) == {"folder:mine"}
    assert (frame[frame.split == "test"].n == 6).all()
