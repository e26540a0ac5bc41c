"""An ablation from its name to its page, trained for real."""

import re

import pandas as pd
import pytest
from helpers.ablation_sweeps import PRESET, digits_plan

from bench import data, pages, records
from bench.sweeps import plan as sweep
from bench.training.run import perform

SETTINGS = {"steps": "12", "eval_every": "6", "log_every": "4", "batch_size": "16"}


def test_a_tiny_ablation_of_the_step_size_measures_what_the_rules_did(tmp_path):
    plan = digits_plan(
        "step_size", "step_size=fixed,ess_solve,greedy", "eta=0.1,10", "ess_target=0.5", settings=SETTINGS
    )
    loaded = data.load("digits")
    planned = sweep.plan(
        plan.variants,
        range(1),
        preset=PRESET,
        device="cpu",
        dataset=loaded,
        metrics=("psnr",),
        absent={},
        final_split="validation",
    )
    folder = tmp_path / "ablate-step_size"
    records.open_sweep(folder)
    plan.write_record(folder)
    for job in sweep.jobs(planned, folder, None):
        job.folder.queue(job.identity)
        perform(job, loaded)
    answer, paths = pages.write_study(folder)
    assert answer[0].startswith("Each rule at the best of its settings: the winner is step_size=")
    table = pd.read_csv(paths[1]).set_index("setting")
    assert set(table.index) == {
        "step_size=fixed, eta=0.1",
        "step_size=fixed, eta=10",
        "step_size=ess_solve, ess_target=0.5",
        "step_size=ess_solve, per_image=true",
        "step_size=greedy",
    }
    assert abs(table["last_eta"]["step_size=fixed, eta=0.1"] - 0.1) < 1e-6
    assert table["last_eta"]["step_size=greedy"] < 1e-6
    assert abs(table["last_ess"]["step_size=ess_solve, ess_target=0.5"] - 0.5) < 1e-2
    # a larger eta is a more even weighting
    assert table["last_ess"]["step_size=fixed, eta=10"] > table["last_ess"]["step_size=fixed, eta=0.1"]
    assert (table["last_realised_kl"] > 0).all()
    assert table["psnr"].between(8, 20).all()
    assert {path.name for path in paths} >= {"report.html", "settings.csv", "knobs.png", "training.png"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["stepsize"],
        ["lr", "--grid", "lr="],
        ["lr", "--grid", "lr=log:1:2"],
        ["lr", "--grid", "lrr=1,2"],
        ["step_size", "--grid", "ess_target=0.05"],
        ["lr", "--grid", "lr=log:1e-5:1:50", "--grid", "beta=linear:0.1:1:50"],
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line_and_leaves_nothing(bench, tmp_path, arguments):
    code, out, err = bench("ablate", *arguments, "--dataset", "digits", "--preset", "quick")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"bench: [^\n]+\n", err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_continues_and_adds_to_its_folder(bench, tmp_path):
    settings = [part for pair in SETTINGS.items() for part in ("--set", "=".join(pair))]
    common = ["--dataset", "digits", "--preset", "quick", "--seeds", "1", "--metrics", "psnr", *settings]
    code, out, _ = bench("ablate", "my_k", "--grid", "k=2,4", *common)
    folder = tmp_path / "results" / "ablate-my_k-digits-quick"
    assert code == 0
    assert "The winner is k=" in out
    first = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/rows.jsonl")}
    code, out, _ = bench("ablate", "my_k", "--grid", "k=4,8", *common)
    assert code == 0
    assert set(pd.read_csv(folder / "settings.csv")["setting"]) == {"k=2", "k=4", "k=8"}
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())
    # settings are chosen here
    assert set(records.load(folder)["split"]) == {"train", "validation"}
