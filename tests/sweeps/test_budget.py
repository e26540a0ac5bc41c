"""A budget is spent whole: the steps of every estimator follow from it, and its schedules end where it ends."""

import json
import math
from pathlib import Path

import pytest
from helpers.configs import DIGITS, PIXELS, SPECS, config

from bench import records
from bench.build import skip_reason
from bench.config import Posterior, Preset
from bench.records.folder import RunFolder
from bench.sweeps import budget as budgets
from bench.sweeps.budget import Budget, Schedules, Timings, decodes_per_image, parse
from bench.sweeps.execute import remove
from bench.sweeps.executors import Place
from bench.sweeps.plan import Variant, jobs, plan
from bench.training.run import perform
from bench.training.step import Trainer

BATCH = 4
# one position of four codes: enumerating them takes four decodes
SMALL = {"batch_size": BATCH, "length": 1, "vocab": 4, "eval_images": 10, "decoder": "conv"}


def planned(spec: str, text: str, posterior: Posterior = "factorised", *, settings=SMALL, timings=None, seeds=(0,)):
    variant = Variant(spec, posterior, settings)
    return plan(
        [variant], seeds, preset=Preset("digits", "quick"), device="cpu", dataset=DIGITS, metrics=(), absent={},
        final_split="test",
        schedules=Schedules(parse(text), timings),
    )  # fmt: skip


def spent(sweep: Path, run: str):
    frame = records.load(sweep, run=run)
    return frame[["step", "images", "decodes", "seconds"]].max().to_dict()


@pytest.fixture
def positions(monkeypatch):
    """Of the schedules, at every step."""
    found, prepare = [], Trainer.prepare

    def noting(self, step):
        prepare(self, step)
        found.append(float(self.progress))

    monkeypatch.setattr(Trainer, "prepare", noting)
    return found


def trained(spec: str, text: str, posterior, folder: Path):
    """The config of the run that was done there."""
    sweep = planned(spec, text, posterior)
    records.open_sweep(folder)
    job = jobs(sweep, folder)[1]
    job.folder.queue(job.identity)
    perform(job, DIGITS)
    assert job.folder.status["state"] == "done", job.folder.status
    return job.config


CASES = [
    (spec, posterior)
    for spec in SPECS
    for posterior in ("factorised", "causal")
    if skip_reason(config(spec, family="digits", posterior=posterior, shape=DIGITS.shape, overrides=SMALL)) is None
]


@pytest.mark.parametrize(("spec", "posterior"), CASES)
def test_every_estimator_spends_its_decodes_to_within_one_step(spec, posterior, tmp_path):
    amount = 250
    made = trained(spec, f"decodes={amount}", posterior, tmp_path)
    cost = spent(tmp_path, made.digest)
    one_step = cost["decodes"] / made.steps
    assert cost["step"] == made.steps
    assert amount - one_step < cost["decodes"] <= amount


@pytest.mark.parametrize("spec", SPECS)
def test_the_schedules_of_every_estimator_end_with_its_budget(spec, positions, tmp_path):
    made = trained(spec, "decodes=100", "factorised", tmp_path)
    assert len(positions) == made.steps
    assert positions[-1] == 1.0


@pytest.mark.parametrize(("text", "steps"), [("images=99", 24), ("images=1e2", 25), ("steps=7", 7), ("steps=1_0", 10)])
def test_images_and_steps_are_spent_too(text, steps, tmp_path):
    made = trained("daps", text, "factorised", tmp_path)
    assert made.steps == steps
    assert spent(tmp_path, made.digest)["images"] == BATCH * steps


def test_the_decodes_of_a_plug_in_are_those_that_its_loss_reports(odd):
    odd("from dataclasses import replace; return replace(super().loss(problem), decodes=3)")
    made = config("odd", family="digits", shape=DIGITS.shape, overrides=SMALL)
    assert decodes_per_image(made, DIGITS.shape, PIXELS) == 3
    assert planned("odd", "decodes=120").runs[0].steps == 10


def test_a_plug_in_whose_loss_raises_is_named(odd):
    odd("raise RuntimeError('no luck')")
    with pytest.raises(ValueError, match="the decodes of odd cannot be counted: no luck"):
        planned("odd", "decodes=120", settings={**SMALL, "batch_size": 2})


def test_a_budget_decides_as_the_arguments_are_that_were_typed():
    assert planned("daps:k=5", "decodes=200").runs[0].steps == 200 // (5 * BATCH)


def test_runs_say_which_cost_their_schedules_were_made_for():
    runs = [planned("vq", text).runs[0] for text in ("decodes=8e3", "decodes=8_000", " decodes = 8000.0 ")]
    assert {run.budget for run in runs} == {"decodes=8000"}
    assert len({run.digest for run in runs}) == 1
    # as many steps, made for something else
    same = planned("vq", "steps=2000").runs[0]
    assert same.steps == runs[0].steps
    assert same.digest != runs[0].digest


@pytest.mark.parametrize("steps", [1, 3, 40, 999, 5000])
def test_every_run_has_as_many_looks_as_the_preset(steps):
    preset = config("vq", family="digits", shape=DIGITS.shape)
    made = planned("vq", f"steps={steps}").runs[0]
    for name in ("log_every", "eval_every"):
        looks = math.ceil(preset.steps / getattr(preset, name))
        every = getattr(made, name)
        assert every >= 1
        # as near as whole steps come
        assert math.ceil(steps / every) <= looks
        assert every == 1 or math.ceil(steps / (every - 1)) > looks


def test_looks_that_were_typed_stay():
    made = planned("vq", "steps=40", settings={**SMALL, "eval_every": "3"}).runs[0]
    assert (made.eval_every, made.log_every) == (3, 2)


def test_what_is_impossible_is_still_a_recorded_skip():
    (made,) = planned("vq", "decodes=8000", "causal").runs
    assert made.budget == "decodes=8000"
    assert skip_reason(made)


@pytest.mark.parametrize(
    ("text", "least"), [("decodes=31", "decodes=32"), ("images=3", "images=4"), ("steps=0.9", "steps=1")]
)
def test_a_budget_below_one_step_is_refused_with_the_least_that_fits(text, least):
    with pytest.raises(ValueError, match=f"{text} is less than one step of daps, factorised; try --budget {least} "):
        planned("daps", text)
    assert planned("daps", least).runs[0].steps == 1


@pytest.fixture
def clock(monkeypatch):
    """Seconds per step by estimator; what has been timed is noted."""
    taken, timed = {"vq": 0.5, "daps": 2.0}, []

    def seconds(config, *_):
        timed.append(config.estimator)
        return taken[config.estimator]

    monkeypatch.setattr(budgets, "seconds_per_step", seconds)
    return taken, timed


def timings(folder: Path, fresh: bool = False) -> Timings:
    return Timings(folder, DIGITS, 1, fresh=fresh)


def test_seconds_are_spent_by_the_time_that_a_step_takes_here(clock, tmp_path):
    mine = timings(tmp_path)
    assert [planned(name, "seconds=9", timings=mine).runs[0].steps for name in ("vq", "daps")] == [18, 4]
    with pytest.raises(ValueError, match=r"less than one step of daps, factorised; try --budget seconds=2 or more"):
        planned("daps", "seconds=1.9", timings=mine)


@pytest.mark.slow
def test_the_same_command_goes_on_with_the_same_runs(bench, clock):
    taken, timed = clock
    arguments = [
        "run",
        "-e",
        "vq,daps",
        "--dataset",
        "digits",
        "--preset",
        "quick",
        "--seeds",
        "1",
        "--metrics",
        "psnr",
    ]
    arguments += ["--budget", "seconds=9", "--set", "batch_size=4", "--set", "eval_images=10"]
    code, _, err = bench(*arguments)
    assert code == 0, err
    folder = Path("results/digits-quick")
    before, kept = sorted(run.name for run in folder.glob("runs/*")), (folder / "budget.json").read_text()
    taken.update(vq=1.0, daps=3.0)
    assert bench(*arguments)[0] == 0
    assert timed == ["vq", "daps"]
    assert sorted(run.name for run in folder.glob("runs/*")) == before
    assert (folder / "budget.json").read_text() == kept
    # anew: the runs that it had are replaced, not joined
    assert bench(*arguments, "--fresh")[0] == 0
    assert timed == ["vq", "daps"] * 2
    frame = records.load(folder)
    assert frame.groupby("estimator")["step"].max().to_dict() == {"vq": 9, "daps": 3, "baseline:mean": 0}
    assert len(list(folder.glob("runs/*"))) == 3


def test_of_two_commands_that_time_at_the_same_moment_one_counts(clock, tmp_path):
    first, second = timings(tmp_path), timings(tmp_path)
    planned("vq", "seconds=9", timings=first)
    clock[0]["vq"] = 1.0
    assert planned("vq", "seconds=9", timings=second).runs[0].steps == 9
    assert first.keep() is False
    assert second.keep() is True
    assert planned("vq", "seconds=9", timings=second).runs[0].steps == 18


def test_another_amount_or_seed_is_not_timed_again_and_other_settings_are(clock, tmp_path):
    mine = timings(tmp_path)
    planned("vq", "seconds=9", timings=mine)
    planned("vq", "seconds=90", timings=mine, seeds=(3, 4))
    assert clock[1] == ["vq"]
    planned("vq", "seconds=9", timings=mine, settings={**SMALL, "batch_size": 8})
    assert clock[1] == ["vq", "vq"]


@pytest.mark.slow
def test_steps_are_timed_in_a_process_of_their_own(tmp_path):
    made = planned("vq", "seconds=2", timings=timings(tmp_path)).runs[0]
    assert timings(tmp_path).keep() is False
    assert 2 < made.steps < 100_000


def test_an_ablation_under_a_budget_varies_what_was_typed_and_nothing_else(bench):
    arguments = ["ablate", "mine", "--grid", "k=2,8", "-e", "daps", "--dataset", "digits", "--budget", "decodes=2000"]
    arguments += ["--seeds", "1", "--metrics", "psnr", "--set", "batch_size=4", "--set", "eval_images=10"]
    code, _, err = bench(*arguments, "--workers", "1", "--out", "sweep")
    assert code == 0, err
    study = records.read("sweep")
    assert study.knobs == ["k"]  # type: ignore[attr-defined]
    assert [setting.label for setting in study.settings] == ["k=2", "k=8"]  # type: ignore[attr-defined]
    assert [setting.runs[0].config["steps"] for setting in study.settings] == [250, 62]  # type: ignore[attr-defined]
    # the mean image is no run of a setting, though it is scored with the config of one
    assert [len(setting.runs) for setting in study.settings] == [1, 1]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_methods_of_a_folder_are_told_apart_by_their_budgets_alone(bench):
    arguments = ["run", "-e", "vq", "--dataset", "digits", "--preset", "quick", "--seeds", "1", "--metrics", "psnr"]
    arguments += ["--set", "batch_size=4", "--set", "eval_images=10", "--out", "sweep"]
    for amount in ("decodes=80", "decodes=160"):
        assert bench(*arguments, "--budget", amount)[0] == 0
    (comparison,) = records.read("sweep").comparisons
    assert [method.variant for method in comparison.methods] == ["budget=decodes=80", "budget=decodes=160", ""]


def test_budget_json_is_for_people_too(clock, tmp_path):
    mine = timings(tmp_path)
    planned("vq", "seconds=9", timings=mine)
    mine.keep()
    (entry,) = json.loads((tmp_path / "budget.json").read_text()).values()
    assert entry == {"run": "vq factorised", "seconds_per_step": 0.5, "threads": 1}


@pytest.mark.parametrize("text", ["decodes=8000000", "seconds=0.5", "images=1"])
def test_the_text_of_a_budget_is_read_as_that_budget(text):
    assert str(parse(text)) == text
    assert parse(str(Budget("steps", 1e21))) == Budget("steps", 1e21)


def test_a_grid_cannot_decide_steps_that_a_budget_decides(bench, tmp_path):
    arguments = ["ablate", "mine", "--grid", "steps=5,6", "-e", "daps", "--dataset", "digits", "--budget", "images=1e4"]
    code, _, err = bench(*arguments)
    assert code == 2
    assert err == "bench: the steps follow from --budget images=10000; leave out either it or steps\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["ray", "slurm"])
def test_a_budget_in_seconds_is_for_runs_on_this_machine(place):
    with pytest.raises(ValueError, match=f"--executor {place} trains on others; try --budget decodes="):
        Place(place).threads_here("cpu")


@pytest.mark.parametrize(("options", "threads"), [({"threads": 3}, 3), ({"workers": 10_000}, 1)])
def test_steps_are_timed_with_the_threads_of_a_run(options, threads):
    assert Place("local", **options).threads_here("cpu") == threads


def test_runs_that_a_new_timing_replaces_are_removed_unless_they_are_under_way(tmp_path):
    for run in ("old", "kept"):
        RunFolder(tmp_path, run).queue({"run": run})
    remove(tmp_path, ["old", "never there"])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["kept"]
    with RunFolder(tmp_path, "kept").lock(), pytest.raises(ValueError, match="kept is under way in another process"):
        remove(tmp_path, ["kept"])
