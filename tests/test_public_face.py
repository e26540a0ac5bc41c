"""`import bench`: what the command line does, from Python."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.configs import TINY
from helpers.sweeps import ROOT, untimed
from helpers.synthetic_sweep import add_run, new_sweep, usual_sweep

import bench as face
from bench import records

SETTINGS = {"steps": 6, "eval_every": 3, "log_every": 2, "batch_size": 16}


def test_run_leaves_what_the_command_leaves_and_says_nothing(bench, capsys):
    assert bench("run", "-e", "fsq,vq", "--dataset", "digits", *TINY, "--seeds", "1", "--out", "typed")[0] == 0
    folder = face.run(["fsq", "vq"], "digits", preset="quick", seeds=1, out="called", **SETTINGS)
    assert folder == Path("called")
    assert capsys.readouterr() == ("", "")
    pd.testing.assert_frame_equal(untimed("typed"), untimed(folder))
    files = [
        # but what depends on the clock: methods whose times differ by chance have a figure of that
        {path.name for path in Path(name).glob("**/*") if path.suffix in (".png", ".csv", ".json")} - {"pareto.png"}
        for name in ("typed", folder)
    ]
    assert files[0] == files[1]


def test_run_goes_on_where_it_was(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = face.run("fsq", "digits", preset="quick", seeds=1, **SETTINGS)
    assert folder == Path("results/digits-quick")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/rows.jsonl")}
    assert face.run("fsq", "digits", preset="quick", seeds=1, **SETTINGS) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/rows.jsonl")} == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"estimator": "dapps"}, "did you mean daps?"),
        ({"dataset": "digit"}, "did you mean digits?"),
        ({"preset": "quik"}, "did you mean quick?"),
        ({"stepz": 5}, "did you mean steps?"),
        ({"lr": "fast"}, "lr=fast"),
        ({"metrics": "psnrr"}, "did you mean psnr?"),
    ],
)
def test_run_refuses_what_the_command_refuses(monkeypatch, tmp_path, changes, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        face.run(**{"estimator": "fsq", "dataset": "digits", "preset": "quick", **changes})
    assert words in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_is_a_warning_and_a_row_of_states(odd, monkeypatch, tmp_path):
    odd("raise OSError('no such luck')")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"^1 run failed; see "):
        folder = face.run("odd", "digits", preset="quick", seeds=1, **SETTINGS)
    (reason,) = [state["reason"] for state in records.states(folder) if state["state"] == "failed"]
    assert "no such luck" in reason


def test_load_and_report(tmp_path):
    sweep = usual_sweep(tmp_path / "sweep")
    pd.testing.assert_frame_equal(face.load(str(sweep)), records.load(sweep))
    page = face.report(sweep)
    assert page.parent == sweep
    assert page.read_text().startswith("<!doctype html>")


def test_compare_says_what_moved(tmp_path):
    folders = [new_sweep(tmp_path / name) for name in ("before", "after")]
    for folder, gain in zip(folders, (0.0, 3.0), strict=True):
        for seed in range(4):
            add_run(folder, "vq", seed=seed, psnr=20 + gain + 0.1 * seed)
    changes = face.compare(*folders).set_index("metric")
    assert changes["verdict"]["psnr"] == "better"
    assert changes["estimate"]["psnr"] == pytest.approx(3)


def test_compare_and_load_refuse_what_is_no_sweep(tmp_path):
    for call in (face.load, face.report, lambda folder: face.compare(folder, folder)):
        with pytest.raises(ValueError, match="is not a sweep"):
            call(tmp_path)
    with pytest.raises(ValueError, match="has no finished run"):
        face.compare(*[new_sweep(tmp_path / "new")] * 2)


def test_import_bench_loads_nothing_heavy():
    heavy = ("torch", "pandas", "numpy", "matplotlib", "pydantic", "typer", "estimators")
    code = f"import sys, bench; bench.run; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
