"""The reader of a search for settings: which run is which trial."""

import json
import math
from pathlib import Path

import pytest
from helpers.synthetic_sweep import add_run
from helpers.tuning_sweeps import TRIALS, searched

from bench import records
from bench.records.methods import read_runs
from bench.records.tuning import FILE, SEED, Tuning, read_tuning, run_key, tuning


def values(found: Tuning) -> dict[str, list[float | None]]:
    return {
        search.estimator: [None if math.isnan(trial.value) else trial.value for trial in search.trials]
        for search in found.searches
    }


def test_trials_have_the_values_of_their_runs_in_any_order(tmp_path):
    folder = searched(tmp_path)
    assert values(read_tuning(folder)) == TRIALS
    runs, rows = read_runs(folder), records.load(folder)
    assert values(tuning(folder, rows, runs[::-1])) == TRIALS


def test_the_mean_image_which_is_measured_with_the_config_of_a_trial_is_none(tmp_path):
    folder = searched(tmp_path)
    of_trial = next(run for run in read_runs(folder) if run.estimator == "daps" and run.config["lr"] == 0.01)
    baseline = add_run(folder, "baseline:mean", "none", psnr=5.0, steps=[0], positions=0)
    content = json.loads((baseline / "config.json").read_text()) | {"config": dict(of_trial.config)}
    (baseline / "config.json").write_text(json.dumps(content))
    rows = records.load(folder)
    for first in (True, False):
        runs = sorted(read_runs(folder), key=lambda run: run.is_baseline != first)
        found = tuning(folder, rows, runs)
        assert values(found) == TRIALS
        assert found.comparison.methods[-1].is_baseline


def test_a_run_of_the_same_settings_by_another_command_is_no_trial(tmp_path):
    folder = searched(tmp_path)
    add_run(folder, "daps", seed=SEED, psnr=30.0, config={"lr": 0.02, "final_split": "test"})
    assert values(read_tuning(folder)) == TRIALS


def test_a_key_names_all_of_a_config_but_its_seed():
    config = {"lr": 0.1, "seed": 0, "arguments": {"k": 8}}
    assert run_key(config) == run_key({**config, "seed": 5})
    assert run_key(config) != run_key({**config, "lr": 0.2})


def test_a_folder_without_a_search_is_said_so(tmp_path: Path):
    folder = searched(tmp_path)
    (folder / FILE).unlink()
    with pytest.raises(ValueError, match="holds no search for settings"):
        read_tuning(folder)
