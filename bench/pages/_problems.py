"""Runs that did not end well, or have not ended, and why."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.pages._metrics import seeds_in_words
from bench.pages._sweep import Method, Run, Setting, Sweep

TRACEBACK_LINES = 40
SHOWN_PROBLEMS = 200
RANKS = {"failed": 0, "diverged": 1, "stopped": 2, "running": 3, "queued": 4, "skipped": 5}
"""Order of what did not end well."""


@dataclass(frozen=True)
class Problem:
    """Runs of a method that did not end well, or have not ended, for one reason."""

    state: str
    method: Method
    seeds: str
    runs: list[Run]
    reason: str
    traceback: str
    """Of the first run."""


def problems(sweep: Sweep, setting: Setting) -> tuple[list[Problem], int]:
    """What kept runs from being done, failures first, at most SHOWN_PROBLEMS; and how many there are."""
    groups: dict[tuple[int, str, str], list[Run]] = defaultdict(list)
    for index, runs in setting.runs.items():
        for run in runs:
            if run.state != "done":
                groups[index, run.state, _reason(run)].append(run)
    order = sorted(groups, key=lambda group: RANKS.get(group[1], RANKS["stopped"]))
    shown = [
        Problem(
            state=state,
            method=setting.methods[index],
            seeds=seeds_in_words([run.seed for run in groups[index, state, reason]]),
            runs=groups[index, state, reason],
            reason=reason,
            traceback=_traceback(sweep.path, groups[index, state, reason][0]),
        )
        for index, state, reason in order[:SHOWN_PROBLEMS]
    ]
    return shown, len(groups)


def _reason(run: Run) -> str:
    if reason := run.status.get("reason"):
        return str(reason)
    step = run.status.get("step")
    at = f" at step {step}" if step is not None else ""
    words = {
        "diverged": f"loss or gradient not finite{at}",
        "running": f"still running, or its process died{at}",
        "stopped": f"stopped{at}; the same command goes on",
        "queued": "not started yet",
    }
    return words.get(run.state, "")


def _traceback(sweep: Path, run: Run) -> str:
    """Its last lines, if there is one."""
    try:
        text = (sweep / "runs" / run.name / "traceback.txt").read_text(errors="replace")
    except OSError:
        return ""
    lines = text.rstrip().splitlines()
    return "\n".join((["…"] if len(lines) > TRACEBACK_LINES else []) + lines[-TRACEBACK_LINES:])
