"""Sweeps on a Slurm site: the table of an undisturbed one, whatever dies, and no job twice in the queue."""

import json
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
from helpers.clusters import commands, kill, slurm, slurm_site
from helpers.sweeps import alive, running, untimed, wait_for

from bench import records

RUN = ["run", "--dataset", "digits", "--preset", "quick", "--set", "batch_size=16", "--set", "eval_images=40"]
SHORT = [*RUN, "--steps", "100", "--set", "eval_every=50", "--set", "log_every=20"]
ON_SLURM = ["--executor", "slurm", "--threads", "1"]
HALFWAY = """
while problem.progress > 0.51 and not (TRACES / "go").exists():
    time.sleep(0.05)
"""
"""Runs wait there, so that there is something to kill."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with slurm_site(tmp_path_factory.mktemp("slurm")) as env:
        yield env


@pytest.fixture
def on_slurm(site, monkeypatch):
    """The options that bring a sweep to the site."""
    for name, value in site.items():
        monkeypatch.setenv(name, value)
    yield ON_SLURM
    slurm(site, "scancel", "--user=root")
    wait_for(lambda: not slurm(site, "squeue", "--noheader"))


@pytest.fixture
def begin(tmp_path):
    with commands(tmp_path) as begin:
        yield begin


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("runs/*/log.txt"))


def states(folder: Path) -> list[str]:
    return sorted(state["state"] for state in records.states(folder))


@pytest.mark.slow
def test_chaos_leaves_the_table_of_an_undisturbed_sweep(site, on_slurm, odd, begin, bench, tmp_path):
    """A worker is killed, then the command. One job makes room for another one, and one runs out of time."""
    odd(HALFWAY)
    arguments = [*SHORT, "-e", "odd", "--seeds", "3", "--checkpoint-every", "20"]
    chaos = tmp_path / "chaos"

    def halfway() -> list[int]:
        found = [state for state in running(chaos) if alive(state["pid"])]
        return [state["pid"] for state in found if list(chaos.glob(f"runs/{state['run']}/step-000000040-*"))]

    first = begin(*arguments, *on_slurm, "--out", str(chaos))
    wait_for(lambda: len(halfway()) == 2)
    kill(halfway()[0])
    wait_for(lambda: "trying again, 1 of 1" in logs(chaos))
    wait_for(lambda: len(halfway()) == 2)
    kill(first.pid)
    again = begin(*arguments, *on_slurm, "--out", str(chaos))
    wait_for(lambda: "already in the queue as Slurm job" in logs(chaos))
    assert len(halfway()) == 2
    slurm(site, "scancel", "--signal=USR2", "--state=RUNNING", "--partition=main")
    slurm(site, "sbatch", "--partition=urgent", f"--output={tmp_path}/urgent", "--wrap=true")
    wait_for(lambda: len(halfway()) == 1)
    (tmp_path / "site" / "go").touch()
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err

    submitted = [len(json.loads(path.read_text())["runs"]) for path in chaos.glob("slurm/bench-*.json")]
    assert sorted(submitted) == [1, 4]
    assert "the worker died: its Slurm job 1_" in logs(chaos)
    assert re.search(r"is FAILED: srun: error: .* Killed", logs(chaos))
    assert logs(chaos).count("going on from step 40") == 2
    assert logs(chaos).count("going on from step 52") == 1
    assert bench(*arguments, "--out", "undisturbed")[0] == 0
    pd.testing.assert_frame_equal(untimed(chaos), untimed("undisturbed"), check_exact=True)
    assert set(states(chaos)) == {"done"}
    lines = [path.read_bytes().splitlines() for path in chaos.glob("runs/*/rows.jsonl")]
    assert sum(map(len, lines)) == len(records.load(chaos))


@pytest.mark.slow
def test_ctrl_c_keeps_the_state_of_what_runs_and_empties_the_queue(site, on_slurm, odd, begin, tmp_path):
    odd(HALFWAY + "time.sleep(0.2)")
    stopped = tmp_path / "stopped"
    arguments = [*SHORT, "-e", "odd", "--seeds", "2", "--checkpoint-every", "100000", "--workers", "1"]
    process = begin(*arguments, *on_slurm, "--out", str(stopped))
    wait_for(lambda: running(stopped))
    # though the site has two cores
    assert slurm(site, "squeue", "--noheader", "--array", "--format=%T %r").splitlines() == [
        "PENDING JobArrayTaskLimit",
        "RUNNING None",
    ]
    (tmp_path / "site" / "go").touch()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped with 1 of 3 runs done; the same command goes on from here" in err
    assert states(stopped) == ["done", "queued", "stopped"]
    assert len(list(stopped.glob("runs/*/step-*.safetensors"))) == 1
    assert not slurm(site, "squeue", "--noheader")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--partition", "nowhere"], "partition"), (["--device", "cuda"], "generic resource")],
)
def test_what_the_site_does_not_have_is_said_in_its_words(site, on_slurm, bench, arguments, words):
    code, out, err = bench(*SHORT, "-e", "fsq", "--seeds", "1", *on_slurm, *arguments)
    assert code == 2, err
    assert "bench: Slurm refuses the jobs: " in err
    assert words in err
    assert "Traceback" not in out + err
    assert not slurm(site, "squeue", "--noheader")
