"""`bench status`: what it says of sweeps in every state, and when watching ends."""

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from bench import cli, records
from bench.records.folder import BASELINE, RunFolder
from bench.sweeps import status

GONE = "its process is gone; the same command goes on"
NOBODY = "nobody seems to be working on what is queued; the same command goes on with it"


@pytest.fixture
def sweep(tmp_path) -> Path:
    records.open_sweep(tmp_path / "sweep")
    return tmp_path / "sweep"


@pytest.fixture
def alive():
    """Lets runs be somebody's until the end of the test."""
    with ExitStack() as locks:
        yield lambda folder: locks.enter_context(folder.lock())


numbers = count()


def add(sweep: Path, state: str, estimator="vq", posterior="factorised", seed=0, **details: object) -> RunFolder:
    run = f"{next(numbers):08}"
    what = {"estimator": estimator, "posterior": posterior, "dataset": "digits", "preset": "quick", "seed": seed}
    folder = RunFolder(sweep, run)
    folder.start({"run": run, **what, "device": "cpu"}, {}, {})
    folder.finish(state, **details)  # pyright: ignore[reportArgumentType]
    return folder


def age(sweep: Path, seconds: float) -> None:
    for path in sweep.glob("runs/*/status.json"):
        then = time.time() - seconds
        os.utime(path, (then, then))


def shown_by(draw: Callable[[Console], object], width: int = 160) -> str:
    file = io.StringIO()
    draw(Console(file=file, width=width, force_terminal=False))
    return file.getvalue()


def text(sweep: Path, width: int = 160) -> str:
    return shown_by(lambda console: console.print(status.view(sweep)), width)


def lines(sweep: Path, width: int = 300) -> list[str]:
    """Without what makes columns of them."""
    return [" ".join(line.split()) for line in text(sweep, width).splitlines()]


def test_every_state_is_counted_and_explained(sweep, alive):
    alive(add(sweep, "running", "daps:k=16", "causal", 3, step=250, steps=1000, steps_per_second=12.34))
    add(sweep, "running", "ppo", step=7, steps=9, steps_per_second=1.0)
    add(sweep, "stopped", "fsq", seed=2, reason="was asked to stop")
    add(sweep, "queued", "lfq")
    add(sweep, "failed", "rebar", "causal", reason="RuntimeError: no luck")
    (add(sweep, "done", "relax").path / "status.json").write_bytes(b"")
    for seed in range(3):
        add(sweep, "diverged", "reinmax", seed=seed, step=12, reason="the loss was not finite at step 12")
        add(sweep, "skipped", "vq", "causal", seed=seed, reason="vq needs the factorised posterior")
        add(sweep, "done", "straight_through", seed=seed, seconds=3.0)
    assert lines(sweep) == [
        f"{sweep}: 15 runs: 1 running, 1 interrupted, 1 stopped, 1 queued, 1 failed, 1 unknown, 3 diverged, "
        "3 skipped, 3 done",
        # 61 s, and then 81 s
        "about 2m 22s left, if queued runs take as long as the running ones",
        "",
        "running",
        "daps:k=16 causal seed 3 250/1000 12.3/s 1m 01s left",
        "",
        f"interrupted: {GONE}",
        "ppo factorised seed 0 7/9",
        "",
        "stopped: was asked to stop",
        "fsq factorised seed 2",
        "",
        "failed: RuntimeError: no luck",
        "rebar causal seed 0",
        "",
        "unknown: its status.json is lost",
        "relax factorised seed 0",
        "",
        "diverged",
        "reinmax factorised seeds 0–2 step 12",
        "",
        "skipped: vq needs the factorised posterior",
        "vq causal seeds 0–2",
    ]


def test_a_run_that_ends_between_two_looks_is_not_called_interrupted(sweep, monkeypatch):
    folder = add(sweep, "running")
    taken = RunFolder.taken

    def end_first(self):
        folder.finish("failed", reason="no luck")
        return taken(self)

    monkeypatch.setattr(RunFolder, "taken", end_first)
    (run,) = status.states(sweep)
    assert (run["state"], run["reason"]) == ("failed", "no luck")


def test_runs_are_listed_in_the_order_of_their_names(sweep):
    for estimator, posterior, seed in [("vq", "causal", 1), ("fsq", "causal", 5), ("vq", "causal", 0), ("vq", "a", 7)]:
        add(sweep, "failed", estimator, posterior, seed, reason="no luck", step=seed)
    assert [line.split()[:4] for line in lines(sweep)[3:]] == [
        ["fsq", "causal", "seed", "5"],
        ["vq", "a", "seed", "7"],
        ["vq", "causal", "seed", "0"],
        ["vq", "causal", "seed", "1"],
    ]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([4], "seed 4"),
        ([1, 0], "seeds 0, 1"),
        ([0, 2, 4], "seeds 0, 2, 4"),
        ([12, 3, 4, 5, 0, 11], "seeds 0, 3–5, 11, 12"),
        ([7, 7, 7], "seed 7"),
    ],
)
def test_runs_that_differ_in_the_seed_share_a_line(sweep, seeds, words):
    for seed in seeds:
        add(sweep, "failed", seed=seed, reason="no luck")
    assert lines(sweep)[-1] == f"vq factorised {words}"


def test_a_reason_that_many_runs_share_is_said_once(sweep):
    for estimator in ("vq", "fsq"):
        add(sweep, "failed", estimator, reason="no luck")
    add(sweep, "failed", "lfq", reason="no memory")
    assert [line for line in lines(sweep) if line.startswith("failed")] == ["failed: no luck", "failed: no memory"]


@pytest.mark.parametrize("reasons", [1, 7, 25])
def test_a_long_list_is_cut_and_says_how_many_runs_are_not_in_it(sweep, reasons):
    for number in range(status.LISTED + 5):
        for seed in range(2):
            add(sweep, "failed", f"estimator{number:02}", seed=seed, reason=f"reason {number % reasons}")
    add(sweep, "stopped", reason="was asked to stop")
    found = lines(sweep)
    assert sum("estimator" in line for line in found) == status.LISTED
    assert found[-1] == "... and 10 more failed"
    assert "stopped: was asked to stop" in found


LONG = "gumbel_rao:inner=64,k=1,temperature=0.5"


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_cut_off_on_a_narrow_terminal(sweep, alive, width):
    reason = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB of which 1.1 GiB are free."
    add(sweep, "failed", LONG, reason=reason)
    alive(add(sweep, "running", LONG, step=12500, steps=100000, steps_per_second=31.25))
    shown = text(sweep, width)
    assert max(map(len, shown.splitlines())) <= width
    assert reason in " ".join(shown.split())
    name = [line.split(" factorised")[0] for line in shown.splitlines()]
    assert "".join(name).replace(" ", "").count(LONG) == 2
    assert all(word in shown for word in ("12500/100000", "31.2/s", "46m 40s left"))
    assert max(map(len, text(sweep, 40).splitlines())) <= 40


def test_brackets_in_names_and_reasons_are_shown_as_they_are(sweep):
    add(sweep, "failed", "fsq:levels=[red],x=[/]", reason="ValueError: [bold]levels[/bold] :smile: [/]")
    shown = text(sweep)
    assert "fsq:levels=[red],x=[/]" in shown
    assert "ValueError: [bold]levels[/bold] :smile: [/]" in shown


def test_it_says_how_many_runs_there_are_and_that_one_is_the_mean_image(sweep):
    add(sweep, "done", BASELINE, "none")
    assert lines(sweep) == [f"{sweep}: 1 run, one of them the mean image: 1 done"]
    for seed in range(2):
        add(sweep, "done", seed=seed)
    assert lines(sweep) == [f"{sweep}: 3 runs, one of them the mean image: 3 done"]
    add(sweep, "queued", BASELINE, "none")
    assert lines(sweep) == [f"{sweep}: 4 runs, 2 of them mean images: 1 queued, 3 done"]


def test_a_state_of_a_later_version_is_counted_and_listed_like_the_others(sweep):
    add(sweep, "archived", reason="kept elsewhere")
    add(sweep, "done")
    assert lines(sweep) == [
        f"{sweep}: 2 runs: 1 done, 1 archived",
        "",
        "archived: kept elsewhere",
        "vq factorised seed 0",
    ]


def test_a_sweep_without_runs_has_none(sweep):
    assert text(sweep) == f"{sweep}: no runs\n"


def running(step: int, steps: int, speed: float, estimator: str = "vq") -> status.Run:
    run = {"estimator": estimator, "posterior": "causal", "state": "running", "step": step, "steps": steps}
    return {**run, "steps_per_second": speed}


def other(state: str, estimator: str = "vq") -> status.Run:
    return {"estimator": estimator, "posterior": "causal", "state": state}


@pytest.mark.parametrize(
    ("runs", "queued", "seconds"),
    [
        ([], [], None),
        ([], [other("queued")], None),
        ([other("running")], [other("queued")], None),
        ([running(0, 100, 0.0)], [], None),
        ([running(40, 100, 2.0)], [], 30),
        ([running(100, 100, 2.0)], [], 0),
        # side by side
        ([running(40, 100, 2.0), running(90, 100, 1.0)], [], 30),
        # one after the other
        ([running(40, 100, 2.0)], [other("queued")] * 3, 30 + 3 * 50),
        ([running(40, 100, 2.0), running(90, 100, 1.0)], [other("queued")] * 4, (30 + 10 + 4 * 75) / 2),
        # each like its own kind, and like the average if there is none
        (
            [running(0, 100, 1.0), running(0, 100, 4.0, "fsq")],
            [other("queued"), other("queued", "fsq"), other("queued", "ppo")],
            (100 + 25 + 100 + 25 + 62.5) / 2,
        ),
        # no sooner than the longest of them
        ([running(99, 100, 1.0), running(0, 100, 1.0, "fsq")], [other("queued", "fsq")], 201 / 2),
        ([running(99, 100, 1.0), running(30, 40, 0.1, "fsq")], [other("queued", "fsq")], 400),
        # one that has just begun has all of it before it
        ([running(50, 100, 1.0), other("running")], [], 100),
    ],
)
def test_time_left_is_what_hand_and_paper_give(runs, queued, seconds):
    assert status.seconds_left(runs, queued) == seconds


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (3599, "59m 59s"), (100 * 3600, "100h 00m")]
)
def test_durations_are_for_people(sweep, alive, seconds, words):
    alive(add(sweep, "running", step=0, steps=1000, steps_per_second=1000 / seconds))
    assert lines(sweep)[1] == f"about {words} left"


def test_it_says_if_nobody_works_on_what_is_queued(sweep, alive):
    at_work = add(sweep, "running")
    add(sweep, "queued")
    assert NOBODY not in text(sweep)
    age(sweep, 3600)
    assert NOBODY in text(sweep)
    alive(at_work)
    assert NOBODY not in text(sweep)


def test_nobody_is_missed_where_nothing_is_queued(sweep):
    add(sweep, "done")
    add(sweep, "running")
    age(sweep, 3600)
    assert NOBODY not in text(sweep)


def watched(sweep: Path, seconds: float = 20) -> threading.Thread:
    thread = threading.Thread(target=lambda: shown_by(lambda console: status.watch(sweep, console)), daemon=True)
    thread.start()
    thread.join(seconds)
    return thread


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(status, "WATCH_SECONDS", 0.02)


@pytest.mark.parametrize("state", ["done", "failed", "skipped", "diverged", "stopped"])
def test_watching_ends_if_there_is_nothing_to_wait_for(sweep, state):
    add(sweep, state)
    assert not watched(sweep).is_alive()


def test_watching_waits_for_the_last_run(sweep, alive, impatient):
    folder = add(sweep, "running")
    lock = ExitStack()
    lock.enter_context(folder.lock())
    thread = watched(sweep, 0.3)
    assert thread.is_alive()
    folder.finish("done")
    lock.close()
    thread.join(20)
    assert not thread.is_alive()


def test_watching_ends_when_nobody_is_left_who_would_run_what_is_queued(sweep, impatient):
    add(sweep, "queued")
    add(sweep, "running")
    thread = watched(sweep, 0.3)
    assert thread.is_alive()
    age(sweep, 3600)
    thread.join(20)
    assert not thread.is_alive()


def test_looking_takes_a_tenth_of_the_time_at_most(sweep, monkeypatch, impatient):
    looks = []

    def slow(sweep):
        looks.append(time.monotonic())
        time.sleep(0.05)
        return [other("running") | {"seed": 0}]

    monkeypatch.setattr(status, "states", slow)
    with status.shown(sweep, Console(file=io.StringIO())):
        time.sleep(1.2)
    assert 2 <= len(looks) <= 4


def test_the_view_is_renewed_while_it_is_shown_and_gone_afterwards(sweep, impatient):
    file, before = io.StringIO(), threading.active_count()
    # a terminal that can move its cursor, also where the tests run without one
    with status.shown(sweep, Console(file=file, force_terminal=True, width=400, _environ={"TERM": "xterm"})):
        for state in ("failed", "skipped"):
            add(sweep, state, reason=f"a reason to be {state}")
            deadline = time.monotonic() + 20
            while f"1 {state}" not in file.getvalue():
                assert time.monotonic() < deadline
                time.sleep(0.01)
    assert threading.active_count() == before
    # the lines are erased one by one
    assert file.getvalue().rstrip().endswith("\x1b[2K")


def test_the_command_prints_the_view(sweep, monkeypatch, capsys):
    add(sweep, "failed", reason="no luck")
    for arguments in (["status", str(sweep)], ["status", str(sweep), "--watch"]):
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
        assert capsys.readouterr().out == text(sweep)
