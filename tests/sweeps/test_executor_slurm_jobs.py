"""What is said to Slurm, and what its answers mean: here it is a few scripts that say what the test wants."""

import dataclasses
import json
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench import data, records
from bench.config import Preset
from bench.data import load_again
from bench.sweeps import executors as bench_executors
from bench.sweeps import plan as sweep
from bench.sweeps.execute import queue
from bench.sweeps.executors import Place
from bench.training.run import Job, perform

RUN = ["run", "--dataset", "digits", "--preset", "quick", "--set", "batch_size=16", "--set", "eval_images=40"]
SHORT = [*RUN, "--steps", "100", "--set", "eval_every=50", "--set", "log_every=20"]
ON_SLURM = ["--executor", "slurm", "--threads", "1"]


class Fake:
    """`queue` is what squeue prints; the environment and scripts of sbatch are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, body in {
            "squeue": "echo asked >> $0.calls; cat $0.out; exit $(cat $0.code)",
            "sbatch": "env > $0.env; cp $1 $0.script; cat $0.err >&2; cat $0.out; exit $(cat $0.code)",
            "scancel": 'echo "$@" >> $0.calls; : > $(dirname $0)/squeue.out',
            "srun": "",
        }.items():
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
        self.says("squeue", "")
        self.says("sbatch", "Submitted batch job 7")

    def says(self, name: str, out: str, code: int = 0, err: str = "") -> None:
        for suffix, text in {"out": out, "code": str(code), "err": err}.items():
            (self.folder / f"{name}.{suffix}").write_text(text + "\n" if text else "")

    def has(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is not installed; pip install '.[slurm]'")
    folder = tmp_path / "fake"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Fake(folder)


@pytest.fixture
def jobs(tmp_path) -> list[Job]:
    """The mean image and three runs."""
    dataset = data.load("digits")
    planned = sweep.plan(
        [sweep.Variant("fsq", "factorised", {"steps": 1})],
        range(3),
        preset=Preset("digits", "quick"),
        device="cpu",
        dataset=dataset,
        metrics=("psnr",),
        absent={},
        final_split="test",
    )
    records.open_sweep(tmp_path / "out")
    made = sweep.jobs(planned, tmp_path / "out", None)
    queue(made, fresh=False)
    return made


def adapter(tmp_path: Path, **options):
    device = "cuda" if "gpus" in options else "cpu"
    made: Any = Place("slurm", threads=3, time=60, **options).executor(data.load("digits"), tmp_path / "out", device)
    made.poll_seconds = 0
    return made


def name(tmp_path: Path) -> str:
    """Under which the only submission so far is in the queue."""
    (path,) = (tmp_path / "out" / "slurm").glob("bench-*.json")
    return path.stem


def test_one_array_has_all_runs_and_what_was_asked_for(fake, jobs, tmp_path):
    executor = adapter(tmp_path, workers=2, partition="long", gpus=1, sbatch=["account=me", "exclusive"])
    handles = executor.submit(jobs)
    assert [handle.number for handle in handles] == ["7_0", "7_1", "7_2", "7_3"]
    wanted = ["--array=0-3%2", "--partition=long", "--gpus-per-node=1", "--cpus-per-task=3", "--time=60", "--requeue"]
    for option in [*wanted, "--signal=USR2@120", "--account=me", "--exclusive", f"--job-name={name(tmp_path)}"]:
        assert f"#SBATCH {option}\n" in fake.has("sbatch.script")
    (job,) = executor.submit(jobs[:1])
    assert job.number == "7"


def test_a_job_is_over_when_slurm_says_so_and_not_when_it_is_busy(fake, jobs, tmp_path):
    executor = adapter(tmp_path)
    handles = executor.submit(jobs)
    lines = [f"{name(tmp_path)}|7|{i}|{state}" for i, state in enumerate(["RUNNING", "PENDING", "FAILED", "COMPLETED"])]
    fake.says("squeue", "\n".join([*lines, "somebody|s job|8|N/A|RUNNING"]))
    assert [handle.done() for handle in handles] == [False, False, True, True]
    fake.says("squeue", "", code=1)
    assert [handle.done() for handle in handles] == [False, False, True, True]
    fake.says("squeue", "\n".join(lines[:1]))
    assert [handle.done() for handle in handles] == [False, True, True, True]


def test_slurm_is_asked_once_for_all_and_not_too_often(fake, jobs, tmp_path):
    executor = adapter(tmp_path)
    handles = executor.submit(jobs)
    asked = fake.has("squeue.calls")
    executor.poll_seconds = 1000
    fake.says("squeue", "")
    assert not any(handle.done() for handle in handles)
    assert executor.submit([]) == []
    assert fake.has("squeue.calls") == asked


def test_why_a_job_died_is_what_it_said_last(fake, jobs, tmp_path):
    executor = adapter(tmp_path)
    handles = executor.submit(jobs)
    states = {1: "OUT_OF_MEMORY", 2: "COMPLETED", 3: "FAILED"}
    fake.says("squeue", "\n".join(f"{name(tmp_path)}|7|{i}|{state}" for i, state in states.items()))
    assert all(handle.done() for handle in handles)
    folder = tmp_path / "out" / "slurm"
    (folder / "7_1_0_log.err").write_text("a\nslurmstepd: error: Detected 1 oom_kill event\nbye\n\n")
    (folder / "7_3_0_result.pkl").write_bytes(pickle.dumps(("error", "Traceback\nModuleNotFoundError: no bench\n")))
    problems = [handle.exception() for handle in handles]
    assert str(problems[0]) == "its Slurm job 7_0 is gone: no reason given"
    assert str(problems[1]) == "its Slurm job 7_1 is OUT_OF_MEMORY: slurmstepd: error: Detected 1 oom_kill event"
    assert problems[2] is None
    assert str(problems[3]) == "ModuleNotFoundError: no bench"
    full = OSError(28, "No space left on device")
    (folder / "7_3_0_result.pkl").write_bytes(pickle.dumps(("success", full)))
    assert repr(handles[3].exception()) == repr(full)
    (folder / "7_3_0_result.pkl").write_bytes(pickle.dumps(("success", None)))
    assert handles[3].exception() is None


def test_another_command_finds_the_jobs_in_the_queue(fake, jobs, tmp_path):
    adapter(tmp_path).submit(jobs)
    first = name(tmp_path)
    lines = [f"{first}|7|{i}|{state}" for i, state in enumerate(["RUNNING", "PENDING", "TIMEOUT"])]
    fake.says("squeue", "\n".join([*lines, "bench-0|6|N/A|RUNNING"]))
    fake.says("sbatch", "Submitted batch job 9")
    handles = adapter(tmp_path).submit(list(reversed(jobs)))
    assert [handle.number for handle in handles] == ["9_0", "9_1", "7_1", "7_0"]
    (second,) = [path for path in (tmp_path / "out" / "slurm").glob("bench-*.json") if path.stem != first]
    assert json.loads(second.read_text())["runs"] == [jobs[3].run, jobs[2].run]
    assert "already in the queue as Slurm job 7_1" in (jobs[1].folder.path / "log.txt").read_text()
    assert "submitted as Slurm job 9_1" in (jobs[2].folder.path / "log.txt").read_text()


def test_the_first_refusal_ends_the_command_and_a_later_one_the_run(fake, jobs, tmp_path):
    fake.says("sbatch", "", code=1, err="sbatch: error: first\nsbatch: error: Invalid partition name specified")
    executor = adapter(tmp_path)
    with pytest.raises(ValueError, match="refuses the jobs: sbatch: error: Invalid partition name specified; see"):
        executor.submit(jobs)
    fake.says("sbatch", "Submitted batch job 7")
    executor.submit(jobs[:2])
    fake.says("sbatch", "", code=1, err="sbatch: error: too many jobs")
    (handle,) = executor.submit(jobs[2:3])
    assert handle.done()
    assert "too many jobs" in str(handle.exception())


def test_the_end_of_a_sweep_cancels_only_what_it_waits_for(fake, jobs, tmp_path):
    executor = adapter(tmp_path)
    executor.submit(jobs)
    lines = [f"{name(tmp_path)}|7|{i}|{state}" for i, state in enumerate(["COMPLETED", "RUNNING", "FAILED", "FAILED"])]
    fake.says("squeue", "\n".join([*lines, "other|8|N/A|RUNNING"]))
    executor.stop()
    assert fake.has("scancel.calls").splitlines() == ["--state=PENDING 7_1", "--signal=INT 7_1"]


@pytest.mark.parametrize("inside", [True, False])
def test_a_command_inside_of_a_job_does_not_pass_on_that_jobs_environment(fake, jobs, tmp_path, monkeypatch, inside):
    monkeypatch.setenv("SLURM_CONF", "here")
    monkeypatch.setenv("SBATCH_ACCOUNT", "me")
    if inside:
        monkeypatch.setenv("SLURM_JOB_ID", "3")
        monkeypatch.setenv("SLURM_MEM_PER_NODE", "10")
    adapter(tmp_path).submit(jobs)
    given = fake.has("sbatch.env").splitlines()
    assert "SLURM_CONF=here" in given
    assert ("SBATCH_ACCOUNT=me" in given) is not inside
    assert not any(line.startswith("SLURM_MEM") for line in given)
    assert os.environ["SBATCH_ACCOUNT"] == "me"


@pytest.mark.parametrize(
    ("signals", "state", "requeued"),
    [
        ([signal.SIGUSR2], "stopped", True),
        ([signal.SIGINT], "stopped", False),
        ([signal.SIGUSR2, signal.SIGINT], "stopped", False),
        ([signal.SIGUSR2], "done", False),
        ([], "failed", False),
    ],
)
def test_a_job_that_runs_out_of_time_goes_on_in_another_one(jobs, monkeypatch, signals, state, requeued):
    module = pytest.importorskip("bench.sweeps.executors.slurm")
    calls = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR2)}
    signal.signal(signal.SIGUSR2, lambda *arguments: calls.append(arguments))

    def perform(job, dataset, should_stop):
        assert not should_stop()
        for number in signals:
            os.kill(os.getpid(), number)
        assert should_stop() == bool(signals)
        job.folder.set_status(state)

    monkeypatch.setattr(module, "perform", perform)
    run = module.Run(jobs[1], data.load("digits").provenance, threads=1)
    try:
        assert run() is None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert calls == ([(signal.SIGUSR2, None)] if requeued else [])
    assert run.checkpoint().function is run


def test_what_keeps_a_job_from_its_run_is_handed_back(jobs, monkeypatch):
    module = pytest.importorskip("bench.sweeps.executors.slurm")
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    monkeypatch.setattr(module.signal, "getsignal", lambda _: print)
    monkeypatch.setattr(module, "perform", lambda *_: 1 / 0)
    assert repr(module.Run(jobs[1], {}, 1)()) == "ZeroDivisionError('division by zero')"


def test_a_node_without_the_folder_of_results_says_so(jobs, tmp_path):
    digits = data.load("digits")
    lost = dataclasses.replace(jobs[1], out=tmp_path / "not-mounted")
    with pytest.raises(ValueError, match=r"not-mounted/runs/\w+ is not here on .*; give --out a folder that all nodes"):
        perform(lost, digits)
    assert not lost.out.exists()


def test_the_images_on_a_node_must_be_those_of_the_plan(tmp_path):
    for split, shade in (("train", 3), ("train", 4), ("test", 5)):
        folder = tmp_path / "mine" / split
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 12), shade).save(folder / f"{shade}.png")
    there = data.load(f"folder:{tmp_path}/mine", image_size=8)
    again = load_again(there.name, there.provenance, there.fingerprint)
    assert again.shape == (1, 8, 8)
    assert again.provenance == there.provenance
    Image.new("L", (9, 12), 77).save(tmp_path / "mine" / "test" / "5.png")
    with pytest.raises(ValueError, match=r"folder:.*mine holds other images on .* than the run is for"):
        load_again(there.name, there.provenance, there.fingerprint)
    digits = data.load("digits")
    assert load_again("digits", digits.provenance, digits.fingerprint).fingerprint == digits.fingerprint


def test_without_submitit_the_error_says_what_to_type(bench, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "bench.sweeps.executors.slurm", raising=False)
    monkeypatch.delattr(bench_executors, "slurm", raising=False)
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, _, err = bench(*RUN, "-e", "fsq", *ON_SLURM)
    assert code == 2
    assert err == "bench: --executor slurm needs submitit, which is not installed; type pip install '.[slurm]'\n"
    assert not list(tmp_path.iterdir())


def test_where_there_is_no_slurm_the_error_says_so(bench, monkeypatch, tmp_path):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = bench(*RUN, "-e", "fsq", *ON_SLURM)
    assert code == 2
    assert "there is no sbatch here; type this on a login node of a Slurm site" in err


def test_a_slurm_that_does_not_answer_is_said_so(bench, fake, tmp_path):
    fake.says("squeue", "", code=1)
    code, _, err = bench(*RUN, "-e", "fsq", *ON_SLURM)
    assert code == 2
    assert "Slurm does not answer" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "1", "--device", "cpu"], "--gpus 1 goes with --device cuda, not with cpu"),
        (["--address", "x:1"], "--address goes with --executor ray, not with slurm"),
        (["--runs-per-gpu", "2"], "--runs-per-gpu goes with --executor local or ray, not with slurm"),
    ],
)
def test_a_mistake_is_one_clear_line(bench, fake, tmp_path, arguments, words):
    code, _, err = bench(*RUN, "-e", "fsq", *ON_SLURM, *arguments)
    assert code == 2
    assert words in err


def test_a_login_node_needs_no_gpu(fake, tmp_path):
    for asked, gpus, device in (("auto", None, "cpu"), ("auto", 2, "cuda"), ("cuda", None, "cuda")):
        place = Place("slurm", gpus=gpus, sbatch=["mem=4G", "--exclusive"])
        assert place.device(asked) == device
        with pytest.MonkeyPatch.context() as patch:
            made = []
            patch.setattr("bench.sweeps.executors.slurm.Slurm", lambda *given, made=made: made.append(given[2]))
            place.executor(data.load("digits"), tmp_path, device)
        assert made[0]["gpus_per_node"] == (None if device == "cpu" else gpus or 1)
        assert made[0]["additional_parameters"] == {"requeue": True, "mem": "4G", "exclusive": True}
