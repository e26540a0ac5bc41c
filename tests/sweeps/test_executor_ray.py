"""Sweeps on a Ray cluster: the table of an undisturbed one, whatever dies."""

import errno
import signal
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from helpers.clusters import RayCluster, commands, descendants, kill, ray_cluster
from helpers.sweeps import alive, running, untimed, wait_for

from bench import records
from bench.sweeps import executors as bench_executors
from bench.sweeps.execute import WorkerDied

RUN = ["run", "--dataset", "digits", "--preset", "quick", "--set", "batch_size=16", "--set", "eval_images=40"]
SHORT = [*RUN, "--steps", "100", "--set", "eval_every=50", "--set", "log_every=20"]
ON_RAY = ["--executor", "ray", "--threads", "1"]
HALFWAY = """
while problem.progress > 0.5 and not (TRACES / "go").exists():
    time.sleep(0.05)
"""
"""Runs wait there, so that there is something to kill."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ray_cluster(tmp_path_factory.mktemp("ray")) as cluster:
        yield cluster


@pytest.fixture
def on_ray(cluster: RayCluster, monkeypatch, tmp_path):
    """The options that bring a sweep to the cluster, which has the plug-ins of the test too."""
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    cluster.plugins.unlink(missing_ok=True)
    cluster.plugins.symlink_to(tmp_path / "site")
    return [*ON_RAY, "--address", cluster.address]


@pytest.fixture
def begin(tmp_path):
    with commands(tmp_path) as begin:
        yield begin


def logs(sweep: Path) -> str:
    return "".join(path.read_text() for path in sweep.glob("runs/*/log.txt"))


def test_without_ray_the_error_says_what_to_type(bench, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "bench.sweeps.executors.ray", raising=False)
    monkeypatch.delattr(bench_executors, "ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = bench(*RUN, "-e", "fsq", *ON_RAY)
    assert code == 2
    assert err == "bench: --executor ray needs Ray, which is not installed here; type pip install '.[ray]'\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--address", "127.0.0.1:9"], "--address 127.0.0.1:9: Connection refused; try the HOST:PORT"),
        (["--address", "here"], "--address here: "),
        (["--workers", "2"], "--workers goes with --executor local or slurm, not with ray"),
        (["--partition", "long"], "--partition goes with --executor slurm, not with ray"),
    ],
)
def test_a_mistake_is_one_clear_line(bench, tmp_path, arguments, words):
    pytest.importorskip("ray")
    code, out, err = bench(*RUN, "-e", "fsq", *ON_RAY, *arguments)
    assert code == 2, err
    assert words in err
    assert err.count("\n") == 1
    assert out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threads", "3"], "no node of the Ray cluster has 3 CPU, the most is 2"),
        (["--device", "cuda"], "no node of the Ray cluster has 1 GPU, the most is 0"),
    ],
)
def test_what_no_node_has_is_refused(bench, monkeypatch, arguments, words):
    adapter = pytest.importorskip("bench.sweeps.executors.ray")
    monkeypatch.setattr(adapter, "connect", lambda address: None)
    monkeypatch.setattr(adapter, "largest", {"CPU": 2, "GPU": 0}.get)
    code, _, err = bench(*RUN, "-e", "fsq", *ON_RAY, *arguments)
    assert code == 2
    assert words in err


def test_why_a_task_died_is_one_line(monkeypatch):
    adapter = pytest.importorskip("bench.sweeps.executors.ray")
    from ray import exceptions

    def handle(problem: Exception | None):
        future: Future[None] = Future()
        task = SimpleNamespace(future=lambda: future)
        made = adapter._Handle(task)
        assert not made.done()
        future.set_exception(problem) if problem else future.set_result(None)
        assert made.done()
        return made.exception()

    full = OSError(errno.ENOSPC, "No space left on device")
    assert handle(None) is None
    assert handle(exceptions.RayTaskError("_work", "Traceback", full)) is full
    assert str(handle(exceptions.OutOfMemoryError("a long story. And more"))).startswith(
        "killed by Ray because the mem"
    )
    died = handle(exceptions.NodeDiedError("Task failed because its node is dead. Node IP: 10.0.0.1\nand more"))
    assert isinstance(died, WorkerDied)
    assert str(died) == "NodeDiedError: Task failed because its node is dead"


@pytest.mark.slow
def test_scheduling_takes_less_than_a_second_per_run(on_ray, begin, tmp_path):
    """One at a time, runs that have nothing to do."""
    process = begin(*RUN, "-e", "vq", "--posterior", "causal", "--seeds", "30", *on_ray, "--threads", "2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "raylet" not in out + err
    ended = [path.stat().st_mtime for path in tmp_path.glob("results/*/runs/*/status.json")]
    assert len(ended) == 31
    assert (max(ended) - min(ended)) / 30 < 1


@pytest.mark.slow
def test_ctrl_c_keeps_the_state_of_what_runs_and_drops_what_waits(on_ray, odd, begin, tmp_path):
    odd(HALFWAY + "time.sleep(0.2)")
    arguments = [*SHORT, "-e", "odd", "--seeds", "3", "--checkpoint-every", "100000", "--out", "stopped"]
    process = begin(*arguments, *on_ray)
    wait_for(lambda: len(running(tmp_path / "stopped")) == 2)
    (tmp_path / "site" / "go").touch()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped with 1 of 4 runs done; the same command goes on from here" in err
    assert "Traceback" not in out + err
    ended = [state["state"] for state in records.states(tmp_path / "stopped")]
    assert sorted(ended) == ["done", "queued", "stopped", "stopped"]
    assert len(list(tmp_path.glob("stopped/runs/*/step-*.safetensors"))) == 2


@pytest.mark.slow
def test_chaos_leaves_the_table_of_an_undisturbed_sweep(cluster, on_ray, odd, begin, bench, tmp_path):
    """A worker is killed, then the command, then a node."""
    odd(HALFWAY)
    arguments = [*SHORT, "-e", "odd", "--seeds", "4", "--checkpoint-every", "20"]
    sweep = tmp_path / "chaos"
    with cluster.node("second") as second:

        def at_work() -> tuple[list[int], list[int]]:
            """Halfway on the first node, and on the second."""
            there = descendants(second.pid)
            states = [state for state in running(sweep) if alive(state["pid"])]
            pids = [state["pid"] for state in states if list(sweep.glob(f"runs/{state['run']}/step-000000040-*"))]
            return [pid for pid in pids if pid not in there], [pid for pid in pids if pid in there]

        first = begin(*arguments, *on_ray, "--out", str(sweep))
        wait_for(lambda: all(at_work()))
        kill(at_work()[0][0])
        wait_for(lambda: "trying again" in logs(sweep))
        workers = [pid for node in at_work() for pid in node]
        kill(first.pid)
        wait_for(lambda: not any(alive(pid) for pid in workers))
        again = begin(*arguments, *on_ray, "--out", str(sweep))
        wait_for(lambda: all(at_work()))
        kill(second.pid, *descendants(second.pid))
        (tmp_path / "site" / "go").touch()
        out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert "raylet" not in out + err
    assert "the worker died: WorkerCrashedError" in logs(sweep)
    assert "the worker died: NodeDiedError" in logs(sweep)
    assert "going on from step 40" in logs(sweep)
    assert bench(*arguments, "--out", "undisturbed")[0] == 0
    pd.testing.assert_frame_equal(untimed(sweep), untimed("undisturbed"), check_exact=True)
    assert {state["state"] for state in records.states(sweep)} == {"done"}
    lines = [path.read_bytes().splitlines() for path in sweep.glob("runs/*/rows.jsonl")]
    assert sum(map(len, lines)) == len(records.load(sweep))
