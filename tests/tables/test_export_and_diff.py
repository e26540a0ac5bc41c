"""`bench table` marks by its stated rule; `bench diff` tells seed noise from change."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import records
from bench.records.folder import RunFolder
from bench.tables import diff, export


def sweep(folder: Path, scores: dict[str, list[float]], **settings) -> Path:
    """One run per estimator and seed, whose PSNR and parameters are given."""
    records.open_sweep(folder)
    for estimator, values in scores.items():
        for seed, value in enumerate(values):
            run = RunFolder(folder, f"{estimator}-{seed}".replace(":", "-"))
            columns = {"posterior": "factorised", "dataset": "digits", "preset": "quick", "device": "cpu"}
            identity = {"run": run.run, "estimator": estimator, "seed": seed, **columns}
            provenance = {"git": "abc", "versions": {"torch": "2"}, "hardware": {"cpu": "x"}}
            run.start(identity, {**identity, "lr": 1e-3, "arguments": {"k": 8}, **settings}, provenance)
            where = {"step": 10, "images": 1, "decodes": 1, "seconds": 1.0, "split": "test", "readout": "sample"}
            rows = {"psnr": value, "elbo": float("nan")}
            run.append({**where, "metric": name, "value": number, "n": 9} for name, number in rows.items())
            run.finish("done")
    return folder


def near(middle: float, spread: float = 0.01) -> list[float]:
    return [middle + spread * gap for gap in (-1.0, 0.3, 1.0, -0.2, 0.1)]


@pytest.fixture
def folder(tmp_path):
    scores = {"daps": near(17.0), "vq": near(18.0), "fsq": [18.02, 17.97, 18.0, 17.99, 18.03], "a_b|&c": near(3.0)}
    return sweep(tmp_path / "sweep", scores)


def test_the_best_and_what_is_not_separable_from_it_are_bold(folder):
    text = export.write(records.load(folder), (), "markdown")
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert "**18.00" in lines["vq"]
    assert "**18.00" in lines["fsq"]
    assert "**" not in lines["daps"]
    assert "| 17.0004 [16.9913, 17.0095] |" in lines["daps"]
    assert list(lines)[2:4] == ["fsq", "vq"] or list(lines)[2:4] == ["vq", "fsq"]
    assert export.RULE in text


def test_intervals_are_those_of_the_statistics(folder):
    text = export.write(records.load(folder), ("psnr",), "csv")
    table = pd.read_csv(pd.io.common.StringIO(text)).set_index("estimator")
    values = np.array(near(17.0))
    half = 2.776 * values.std(ddof=1) / np.sqrt(5)
    assert table.loc["daps", "estimate"] == pytest.approx(values.mean())
    assert table.loc["daps", "high"] == pytest.approx(values.mean() + half, rel=1e-4)
    assert table["marked"].to_dict() == {"a_b|&c": False, "daps": False, "fsq": True, "vq": True}


def test_two_seeds_have_no_interval_and_only_the_best_is_bold(tmp_path):
    text = export.write(records.load(sweep(tmp_path / "s", {"daps": [17.0, 17.2], "vq": [17.1, 17.2]})), (), "markdown")
    assert text.count("**") == 2
    assert "(n=2)" in text
    assert "[" not in text.splitlines()[-1]


def test_what_users_named_cannot_break_the_table(folder):
    assert "a_b\\|&c" in export.write(records.load(folder), (), "markdown")
    latex = export.write(records.load(folder), (), "latex")
    assert r"a\_b|\&c" in latex
    assert latex.count("\\\\\n") == 5
    assert latex.count("&") - latex.count("\\&") == 5 * 2


def test_a_metric_that_was_not_measured_is_refused_by_name(folder):
    with pytest.raises(ValueError, match="'rfid' was not measured here; there are psnr"):
        export.write(records.load(folder), ("rfid",), "markdown")


def test_a_change_beyond_the_seeds_is_named_and_noise_is_not(folder, tmp_path):
    scores = {"daps": near(17.0, 0.02), "vq": near(17.5), "fsq": near(18.0)}
    after = sweep(tmp_path / "after", scores, lr=2e-3, arguments={"k": 16})
    lines = diff.settings_changed(folder, after)
    assert "lr: 0.001 -> 0.002 (daps factorised, fsq factorised, vq factorised)" in lines
    assert "arguments.k: 8 -> 16 (daps factorised, fsq factorised, vq factorised)" in lines
    assert any(line.startswith("only in") and "a_b|&c" in line for line in lines)
    verdicts = diff.moved(folder, after).query("metric == 'psnr'").set_index("estimator")["verdict"].to_dict()
    assert verdicts == {"daps": "within seed noise", "fsq": "within seed noise", "vq": "worse", "a_b|&c": "only before"}
    assert diff.table(diff.moved(folder, after)).row_count == 1


def test_a_sweep_differs_from_itself_in_nothing(folder):
    assert diff.settings_changed(folder, folder) == []
    assert set(diff.moved(folder, folder)["verdict"]) <= {"equal"}


def test_a_folder_without_finished_runs_is_refused(folder, tmp_path):
    records.open_sweep(tmp_path / "empty")
    with pytest.raises(ValueError, match="has no finished run"):
        diff.moved(folder, tmp_path / "empty")


def test_both_commands_print(bench, folder, tmp_path):
    code, out, _ = bench("table", str(folder), "--metrics", "psnr")
    assert code == 0
    assert "| vq | factorised |" in out
    after = sweep(tmp_path / "after", {"vq": near(17.5)})
    code, out, _ = bench("diff", str(folder), str(after))
    assert code == 0
    assert "worse" in out
    code, _, err = bench("diff", str(folder), "nowhere")
    assert code == 2
    assert "is not a sweep" in err
    assert json.loads((after / "sweep.json").read_text())["format"] == 1
