"""Sweeps that survive: failures are data, nothing finished is lost or done twice."""

import dataclasses
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.configs import DIGITS, tiny
from helpers.sweeps import alive, running, start, untimed, wait_for

from bench import data, records
from bench.sweeps import plan
from bench.sweeps.executors import OPTIONS, Place

RUN = ["run", "--dataset", "digits", "--preset", "quick", "--set", "batch_size=16", "--set", "eval_images=40"]
TINY = [*RUN, "--steps", "6", "--set", "eval_every=3", "--set", "log_every=2"]
LONGER = [*RUN, "--steps", "400", "--set", "eval_every=100", "--set", "log_every=20", "--checkpoint-every", "20"]


def states(sweep: str | Path) -> dict[tuple[str, int], dict]:
    return {(state["estimator"], state["seed"]): state for state in records.states(Path(sweep))}


@pytest.mark.slow
def test_a_run_that_raises_is_recorded_and_tried_again_and_the_others_go_on(bench, odd):
    notes = odd("note('tried'); raise RuntimeError('no luck')")
    code, _, err = bench(*TINY, "-e", "odd,straight_through", "--seeds", "1", "--retries", "2", "--out", "sweep")
    assert code == 1
    assert "1 run failed" in err
    assert notes() == ["tried"] * 3
    failed = states("sweep")["odd", 0]
    assert failed["state"] == "failed"
    assert failed["reason"] == "RuntimeError: no luck"
    assert states("sweep")["straight_through", 0]["state"] == "done"
    run = Path("sweep/runs") / failed["run"]
    assert "odd_estimator.py" in (run / "traceback.txt").read_text()
    assert "trying again, 2 of 2" in (run / "log.txt").read_text()


def test_a_failed_run_is_tried_again_by_the_next_command(bench, odd):
    odd("if first_time('fail'): raise RuntimeError('no luck')")
    arguments = [*TINY, "-e", "odd", "--seeds", "1", "--retries", "0", "--out", "sweep"]
    assert bench(*arguments)[0] == 1
    assert bench(*arguments)[0] == 0
    assert states("sweep")["odd", 0]["state"] == "done"


def test_a_worker_that_is_killed_is_replaced_and_goes_on_from_its_checkpoint(bench, odd):
    odd("if problem.progress > 0.8 and first_time('kill'): os.kill(os.getpid(), signal.SIGKILL)")
    arguments = [*TINY, "-e", "odd", "--seeds", "2", "--checkpoint-every", "2"]
    assert bench(*arguments, "--out", "killed")[0] == 0
    assert bench(*arguments, "--out", "undisturbed")[0] == 0
    pd.testing.assert_frame_equal(untimed("killed"), untimed("undisturbed"), check_exact=True)
    logs = [path.read_text() for path in Path("killed").glob("runs/*/log.txt")]
    assert len(logs) == 1
    assert "killed (SIGKILL)" in logs[0]
    assert "going on from step 4" in logs[0]


def test_a_run_whose_workers_always_die_has_failed(bench, odd):
    odd("os.kill(os.getpid(), signal.SIGKILL)")
    code, _, _ = bench(*TINY, "-e", "odd,straight_through", "--seeds", "1", "--out", "sweep")
    assert code == 1
    assert states("sweep")["odd", 0]["state"] == "failed"
    assert "memory ran out" in states("sweep")["odd", 0]["reason"]
    assert states("sweep")["straight_through", 0]["state"] == "done"


def test_workers_train_side_by_side_and_leave_the_same_rows(bench):
    for workers in ("1", "3"):
        code, _, err = bench(*TINY, "-e", "fsq,vq", "--seeds", "3", "--workers", workers, "--out", workers)
        assert code == 0, err
    pd.testing.assert_frame_equal(untimed("1"), untimed("3"), check_exact=True)


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        ({}, ["0", "7"]),
        ({"runs_per_gpu": 2}, ["0", "0", "7", "7"]),
        ({"workers": 3}, ["0", "0", "7"]),
        ({"workers": 1}, ["0"]),
    ],
)
def test_every_worker_has_a_gpu_to_itself_unless_told_otherwise(monkeypatch, tmp_path, options, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,7")
    pool: Any = Place("local", **options).executor(data.load("digits"), tmp_path, "cuda")
    assert sorted(pool._gpus.get() for _ in gpus) == gpus
    assert pool._gpus.empty()
    pool.stop()


def test_fresh_runs_again_what_is_finished_and_nothing_else_is_kept(bench):
    arguments = [*TINY, "-e", "fsq", "--seeds", "1", "--out", "sweep"]
    bench(*arguments)
    (run,) = [path for path in Path("sweep/runs").iterdir() if (path / "samples.png").exists()]
    (run / "traceback.txt").write_text("old")
    assert bench(*arguments, "--fresh")[0] == 0
    assert not (run / "traceback.txt").exists()
    assert (run / "samples.png").exists()


@pytest.mark.slow
def test_the_same_command_goes_on_after_everything_was_killed(tmp_path, bench):
    arguments = [*LONGER, "-e", "fsq,straight_through", "--seeds", "2", "--workers", "2"]
    sweep = tmp_path / "killed"
    for _ in range(2):
        process = start(*arguments, "--out", str(sweep), cwd=tmp_path)
        wait_for(lambda: len(running(sweep)) == 2)
        workers = [state["pid"] for state in running(sweep)]
        process.kill()
        process.communicate()
        # nobody tells the workers: they see for themselves that they are not wanted any more
        wait_for(lambda: not any(alive(pid) for pid in workers), 30)  # noqa: B023
    code, _, err = bench(*arguments, "--out", "killed")
    assert code == 0, err
    assert bench(*arguments, "--out", "undisturbed")[0] == 0
    pd.testing.assert_frame_equal(untimed("killed"), untimed("undisturbed"), check_exact=True)


@pytest.mark.slow
def test_ctrl_c_keeps_everything_and_says_how_to_go_on(tmp_path, bench):
    arguments = [*LONGER, "-e", "fsq", "--seeds", "2", "--workers", "2", "--checkpoint-every", "100000"]
    sweep = tmp_path / "stopped"
    process = start(*arguments, "--out", str(sweep), cwd=tmp_path)
    wait_for(lambda: len(running(sweep)) == 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped with 1 of 3 runs done; the same command goes on from here" in err
    ended = [state["state"] for state in states(sweep).values()]
    assert ended.count("stopped") == 2
    assert len(list(sweep.glob("runs/*/step-*.safetensors"))) == 2
    assert bench(*arguments, "--out", "stopped")[0] == 0
    assert bench(*arguments, "--out", "undisturbed")[0] == 0
    assert all("going on from step" in path.read_text() for path in sweep.glob("runs/*/log.txt"))
    pd.testing.assert_frame_equal(untimed("stopped"), untimed("undisturbed"), check_exact=True)


@pytest.mark.slow
def test_two_commands_on_one_folder_share_the_work_and_do_nothing_twice(tmp_path, odd):
    notes = odd("note(f'{problem.noise.initial_seed()} {problem.progress}')")
    arguments = [*LONGER, "-e", "odd", "--seeds", "4", "--out", "shared", "--checkpoint-every", "100000"]
    commands = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    for command in commands:
        _, err = command.communicate(timeout=300)
        assert command.returncode == 0, err
    steps = notes()
    assert len(steps) == 4 * 400
    assert len(set(steps)) == len(steps)
    assert {state["state"] for state in states(tmp_path / "shared").values()} == {"done"}


@pytest.mark.slow
def test_a_command_takes_over_the_run_of_one_that_dies(tmp_path, odd):
    arguments = [*LONGER, "-e", "odd", "--seeds", "1", "--out", "shared"]
    odd("time.sleep(0.02)")
    first = start(*arguments, cwd=tmp_path)
    wait_for(lambda: running(tmp_path / "shared"))
    second = start(*arguments, cwd=tmp_path)
    (worker,) = [state["pid"] for state in running(tmp_path / "shared")]
    wait_for(lambda: not alive(worker) or second.poll() is not None or _age(second) > 8)
    assert alive(worker)
    assert second.poll() is None
    first.kill()
    os.kill(worker, signal.SIGKILL)
    first.communicate()
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert states(tmp_path / "shared")["odd", 0]["state"] == "done"


def _age(process: subprocess.Popen) -> float:
    """Seconds since a process began."""
    return (float(Path("/proc/uptime").read_text().split()[0])) - int(
        Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    ) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_sweep_cleanly_and_it_goes_on_with_space(small_disk, tmp_path, bench):
    arguments = [*TINY, "-e", "fsq", "--seeds", "4", "--checkpoint-every", "2"]
    ballast = small_disk / "ballast"
    (small_disk / "sweep").mkdir()
    ballast.write_bytes(bytes(200 * 1024))
    code, _, err = bench(*arguments, "--out", str(small_disk / "sweep"))
    assert code == 1
    assert "is full; free some space, and the same command goes on" in err
    assert "Traceback" not in err
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, _, err = bench(*arguments, "--out", str(small_disk / "sweep"))
    assert code == 0, err
    assert not list(small_disk.glob("sweep/runs/*/.*.partial"))
    assert bench(*arguments, "--out", "undisturbed")[0] == 0
    pd.testing.assert_frame_equal(untimed(small_disk / "sweep"), untimed("undisturbed"), check_exact=True)


def test_tensorboard_gets_the_rows_of_the_table(bench):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    code, _, err = bench(*TINY, "-e", "fsq", "--seeds", "1", "--out", "sweep", "--tensorboard")
    assert code == 0, err
    (board,) = Path("sweep/tensorboard").iterdir()
    assert board.name.startswith("fsq-factorised-seed-0-")
    events = event_accumulator.EventAccumulator(str(board)).Reload()
    found = {event.step: event.value for event in events.Scalars("test/sample/psnr")}
    frame = records.load("sweep", metric="psnr", split="test", readout="sample", estimator="fsq")
    assert found == pytest.approx(dict(zip(frame["step"], frame["value"], strict=True)))


def test_of_runs_that_differ_in_seed_or_data_alone_one_is_built(monkeypatch):
    built = []
    monkeypatch.setattr(plan, "_fitting", set())
    monkeypatch.setattr(plan, "build", lambda config, shape, pixels: built.append(config))
    for changes in ({}, {"seed": 1}, {"fingerprint": "other"}, {"metrics": ()}, {"device": "cuda"}):
        plan.check_parts(tiny("fsq").model_copy(update=changes), DIGITS.shape)
    assert len(built) == 1
    plan.check_parts(tiny("fsq", width=16), DIGITS.shape)
    plan.check_parts(tiny("fsq"), (1, 16, 16))
    assert len(built) == 3


def test_parts_that_do_not_fit_are_refused_each_time():
    for _ in range(2):
        with pytest.raises(ValueError, match="levels"):
            plan.check_parts(tiny("fsq:levels=2,2"), DIGITS.shape)


@pytest.mark.parametrize("name", ["local", "ray", "slurm"])
def test_an_option_is_refused_where_it_does_nothing_and_every_one_has_its_words(name):
    fields = {field.name for field in dataclasses.fields(Place)} - {"name", "core_each"}
    assert OPTIONS.keys() == fields
    for key, option in OPTIONS.items():
        assert option.help.endswith(option.about)
        if name in option.executors:
            Place(name, **{key: 1})
            continue
        with pytest.raises(ValueError, match=f"--{key.replace('_', '-')} goes with --executor .*, not with {name}"):
            Place(name, **{key: 1})
