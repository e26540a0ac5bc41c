"""Two hundred kills at random moments, and the table is that of an undisturbed sweep."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.sweeps import start, untimed

from bench import records

KILLS = 200
MEAN_SECONDS = 0.35
"""Between kills."""
COORDINATOR = 0.05
"""Share of kills that hit the command itself instead of one of its workers."""
RUN = ["run", "-e", "daps,vq:codebook=ema", "--dataset", "digits", "--preset", "quick", "--set", "batch_size=16"]
SETTINGS = ["--steps", "300", "--set", "eval_images=40", "--set", "eval_every=100", "--set", "log_every=7"]
SURVIVAL = ["--workers", "2", "--retries", "100000", "--checkpoint-every", "8"]


def children(pid: int) -> list[int]:
    """Processes of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def workers(coordinator: subprocess.Popen) -> list[int]:
    """What the command's fork server has forked."""
    return [worker for helper in children(coordinator.pid) for worker in children(helper)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_no_row_is_lost_doubled_or_different(tmp_path, bench, capsys):
    seed = random.SystemRandom().randrange(10**6)
    with capsys.disabled():
        print(f"\nchaos seed {seed}", file=sys.stderr)
    dice = random.Random(seed)
    kills = restarts = 0
    seeds = 2

    def begin() -> subprocess.Popen[str]:
        return start(*RUN, *SETTINGS, *SURVIVAL, "--seeds", str(seeds), "--out", str(tmp_path / "chaos"), cwd=tmp_path)

    command = begin()
    while kills < KILLS:
        time.sleep(dice.expovariate(1 / MEAN_SECONDS))
        if command.poll() is not None:
            _, err = command.communicate()
            assert command.returncode in (0, -signal.SIGKILL), err
            seeds += 4 * (command.returncode == 0)  # all done before the last kill: there is more to do
            restarts += 1
            command = begin()
        elif found := workers(command):
            with contextlib.suppress(ProcessLookupError):  # it came to its end in between
                os.kill(command.pid if dice.random() < COORDINATOR else dice.choice(found), signal.SIGKILL)
                kills += 1
    command.communicate(timeout=300)
    code, _, err = bench(*RUN, *SETTINGS, *SURVIVAL, "--seeds", str(seeds), "--out", "chaos")
    assert code == 0, err
    with capsys.disabled():
        print(f"{kills} kills, {restarts} starts of the command, {seeds} seeds", file=sys.stderr)
    assert bench(*RUN, *SETTINGS, "--workers", "2", "--seeds", str(seeds), "--out", "undisturbed")[0] == 0
    pd.testing.assert_frame_equal(untimed("chaos"), untimed("undisturbed"), check_exact=True)
    assert {state["state"] for state in records.states(tmp_path / "chaos")} == {"done"}
    lines = [path.read_bytes().splitlines() for path in (tmp_path / "chaos").glob("runs/*/rows.jsonl")]
    assert sum(map(len, lines)) == len(records.load("chaos"))
    assert any("going on from step" in path.read_text() for path in (tmp_path / "chaos").glob("runs/*/log.txt"))
