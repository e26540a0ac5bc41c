"""An ablation from its name to its page, trained for real."""

import pandas as pd
from ablation_sweeps import digits_plan

from bench import ablation, data, records, sweep
from bench.config import Preset
from bench.perform import perform

SETTINGS = {"steps": "12", "eval_every": "6", "log_every": "4", "batch_size": "16"}


def test_a_tiny_ablation_of_the_step_size_measures_what_the_rules_did(tmp_path):
    plan = digits_plan(
        "step_size", "step_size=fixed,ess_solve,greedy", "eta=0.1,10", "ess_target=0.5", settings=SETTINGS
    )
    loaded = data.load("digits")
    planned = sweep.plan(
        plan.variants,
        range(1),
        preset=Preset("digits", "quick"),
        device="cpu",
        dataset=loaded,
        metrics=("psnr",),
        absent={},
    )
    folder = tmp_path / "ablate-step_size"
    records.open_sweep(folder)
    plan.write_record(folder)
    for job in sweep.jobs(planned, folder, None):
        job.folder.queue(job.identity)
        perform(job, loaded)
    answer, paths = ablation.write_page(folder)
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
    assert {path.name for path in paths} >= {"ablation.html", "settings.csv", "knobs.png", "training.png"}
