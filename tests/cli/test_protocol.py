"""A comparison that is written down before it runs, and what happens to who changes it afterwards."""

import json
from pathlib import Path

import pytest
from helpers.report_page import page_of, words

from bench import pages, records

SPEC = """
question: is fsq better than straight-through?
decides: psnr
estimator: [fsq, straight_through]
dataset: digits
preset: quick
seeds: 2
metrics: [psnr]
settings: {steps: 4, eval_every: 2, log_every: 2, batch_size: 16}
"""


@pytest.fixture
def spec(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(SPEC)
    return Path("mine.yaml")


def test_a_plan_is_frozen_run_and_named_on_the_page(bench, spec):
    code, out, err = bench("protocol", "freeze", "mine.yaml")
    assert code == 0, err
    frozen = json.loads(Path("mine.frozen.json").read_text())
    assert (frozen["protocol"], len(frozen["runs"])) == (2, 4)
    assert out.startswith(f"{frozen['hash']}, frozen on {frozen['frozen']}: 4 runs of mine.yaml")
    assert not Path("results").exists()
    assert bench("protocol", "freeze", "mine.yaml")[1] == out
    code, _, err = bench("protocol", "run", "mine.yaml")
    assert code == 0, err
    assert {run.name for run in records.read("results/mine").runs if not run.is_baseline} == set(frozen["runs"])
    pages.write(Path("results/mine"))
    sentence = f"Planned as {frozen['hash']} on {frozen['frozen']}, before the first run: 4 of 4 planned runs finished."
    assert sentence in words(page_of(Path("results/mine")).root)
    assert "protocol 2" in words(page_of(Path("results/mine")).root)
    # the same command again goes on, and so may another that adds to the folder: the page says so
    assert bench("protocol", "run", "mine.yaml")[0] == 0
    settings = ["--set", "steps=4", "--set", "eval_every=2", "--set", "log_every=2", "--set", "batch_size=16"]
    more = ["run", "-e", "fsq", "--dataset", "digits", "--preset", "quick", "--seeds", "3", "--metrics", "psnr"]
    assert bench(*more, *settings, "--out", "results/mine")[0] == 0
    assert "4 of 4 planned runs finished, and 1 run that the plan does not have." in words(
        page_of(Path("results/mine")).root
    )


def test_what_is_not_frozen_or_changed_since_does_not_run(bench, spec):
    code, _, err = bench("protocol", "run", "mine.yaml")
    assert (code, err) == (2, "bench: mine.yaml is not frozen; type bench protocol freeze mine.yaml\n")
    assert bench("protocol", "freeze", "mine.yaml")[0] == 0
    spec.write_text(SPEC.replace("seeds: 2", "seeds: 3").replace("steps: 4", "steps: 6"))
    for command in ("run", "freeze"):
        code, _, err = bench("protocol", command, "mine.yaml")
        assert code == 2
        assert "mine.yaml was frozen on" in err
        assert "has changed since: seeds, settings;" in err
    assert not Path("results").exists()


def test_code_that_changed_since_is_found_out(bench, spec, monkeypatch):
    assert bench("protocol", "freeze", "mine.yaml")[0] == 0
    monkeypatch.setattr("bench.sweeps.frozen.code_fingerprint", lambda name: "other")
    code, _, err = bench("protocol", "run", "mine.yaml")
    assert code == 2
    assert "has changed since: a preset, a default, the device, the images or the code" in err


def test_runs_from_before_the_plan_are_not_taken_for_planned(bench, spec):
    settings = ["--set", "steps=4", "--set", "eval_every=2", "--set", "log_every=2", "--set", "batch_size=16"]
    early = ["run", "-e", "fsq", "--dataset", "digits", "--preset", "quick", "--seeds", "1", "--metrics", "psnr"]
    assert bench(*early, *settings, "--out", "results/mine")[0] == 0
    assert bench("protocol", "freeze", "mine.yaml")[0] == 0
    code, _, err = bench("protocol", "run", "mine.yaml")
    assert code == 2
    assert err.endswith("bench: results/mine holds runs from before this plan; try another --out\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no keys"),
        ("- a list", "holds no keys"),
        ("{", "is no YAML"),
        ("dataset: digits", "estimator is missing; write estimator: core"),
        ("estimator: fsq", "dataset is missing"),
        ("estimator: fsq\ndataset: digits\nseed: 3", "no key 'seed'; did you mean seeds?"),
        ("estimator: fsq\ndataset: digits\nseeds: two", "seeds: 'two' is no whole number above 0"),
        ("estimator: fsq\ndataset: digits\nposterior: casual", "posterior: 'casual'; write factorised, causal or both"),
        ("estimator: fsq\ndataset: digits\nbudget: seconds=9", "differs between machines"),
        ("estimator: fsq\ndataset: digits\nbudget: 9", "has no unit"),
        ("estimator: fsk\ndataset: digits", "did you mean fsq?"),
        ("estimator: fsq\ndataset: digits\ndecides: pnsr", "did you mean psnr?"),
        ("estimator: fsq\ndataset: digits\nsettings: {lr: -1}", "lr=-1"),
        ("estimator: fsq\ndataset: digits\nsettings: 5", "settings: 5; write settings: {lr: 1e-3}"),
        ("estimator: fsq\ndataset: digits\nsettings: lr=1e-3", "write settings: {lr: 1e-3}"),
        ("estimator: fsq\ndataset: digits\nquestion: 2026-01-01", "question: 2026-01-01 is no text"),
        ("estimator: fsq\ndataset: digits\ndecides: kl", "more kl is neither better nor worse"),
        ("estimator: fsq\ndataset: digits\nmetrics: psnr\ndecides: ssim", "ssim is not among metrics: psnr"),
    ],
)
def test_a_mistake_in_a_specification_is_one_line(bench, spec, content, said):
    spec.write_text(content)
    code, out, err = bench("protocol", "freeze", "mine.yaml")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
    assert not Path("mine.frozen.json").exists()


def test_a_specification_that_is_not_there_is_one_line(bench):
    code, _, err = bench("protocol", "freeze", "nothing.yaml")
    assert (code, err) == (2, "bench: cannot read nothing.yaml: No such file or directory\n")
