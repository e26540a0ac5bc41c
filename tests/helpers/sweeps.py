"""What tests of whole sweeps share."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bench import records
from bench.records.folder import RunFolder

ROOT = Path(__file__).parents[2]
TIMED = ("ms_per_step", "images_per_second", "peak_memory")


def untimed(folder: str | Path) -> pd.DataFrame:
    """The table of a sweep without what a clock or the system says, and in one order."""
    frame = records.load(folder)
    frame = frame[~frame["metric"].isin(TIMED)].drop(columns="seconds")
    return frame.sort_values(["run", "step", "split", "readout", "metric"]).reset_index(drop=True)


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """`bench ARGUMENTS` in a process of its own, at one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    """Until it holds; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def running(sweep: Path) -> list[dict]:
    """Status of the runs that a living process is at work on, and says how far it is."""
    if not (sweep / "runs").is_dir():
        return []
    return [state for state in records.states(sweep) if state["state"] == "running" and "pid" in state]


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def written_rows(folder: RunFolder) -> pd.DataFrame:
    """As written, line by line, without what a clock or the system says."""
    frame = pd.DataFrame([json.loads(line) for line in (folder.path / "rows.jsonl").read_text().splitlines()])
    return frame[~frame["metric"].isin(TIMED)].drop(columns="seconds").reset_index(drop=True)
