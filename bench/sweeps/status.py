"""`bench status`: how far a sweep is, from the status files of its runs alone."""

import contextlib
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench import records
from bench.records.folder import BASELINE, RunFolder
from bench.text import counted, duration, seeds

ORDER = ("running", "interrupted", "stopped", "queued", "failed", "unknown", "diverged", "skipped", "done")
LISTED = 20
"""Lines for the runs of a state."""
WATCH_SECONDS = 1.0
WATCH_SHARE = 0.1
"""Of the time, that is spent on looking at large sweeps."""
PATIENCE_SECONDS = 60.0
"""Without any change, after which nobody is expected to go on with queued runs."""

Run = dict[str, Any]


def states(sweep: Path) -> list[Run]:
    """As `records.states`, with `interrupted` for runs that say they are running while nobody is running them."""
    found = records.states(sweep)
    for state in found:
        folder = RunFolder(sweep, state["run"])
        if state["state"] == "running" and not folder.taken():
            # it may have ended between the two looks
            state |= folder.status
            if state["state"] == "running":
                state |= {"state": "interrupted", "reason": "its process is gone; the same command goes on"}
    return found


def view(sweep: Path, found: Sequence[Run] | None = None) -> Group:
    """Counts of all states, and what there is to say of runs that are under way or did not end well. `found`: their
    states, where they are known."""
    found = states(sweep) if found is None else found
    by_state: dict[str, list[Run]] = {state: [] for state in ORDER}
    for run in sorted(found, key=lambda run: (run["estimator"], run["posterior"], run["seed"])):
        by_state.setdefault(run["state"], []).append(run)
    counts = ", ".join(f"{len(runs)} {state}" for state, runs in by_state.items() if runs)
    # tables and reports count without the mean image
    images = sum(run["estimator"] == BASELINE for run in found)
    words = {0: "", 1: ", one of them the mean image"}.get(images, f", {images} of them mean images")
    known = f"{counted(len(found), 'run')}{words}: {counts}" if found else "no runs"
    parts: list[RenderableType] = [Text(f"{sweep}: {known}")]
    running, queued = by_state["running"], by_state["queued"]
    if (left := seconds_left(running, queued)) is not None:
        condition = ", if queued runs take as long as the running ones" if queued else ""
        parts.append(Text(f"about {duration(left)} left{condition}"))
    if queued and not running and _unchanged_seconds(sweep) > PATIENCE_SECONDS:
        parts.append(Text("nobody seems to be working on what is queued; the same command goes on with it"))
    for state, runs in by_state.items():
        if state not in ("queued", "done"):
            parts += _sections(state, runs)
    return Group(*parts)


def _sections(state: str, runs: Sequence[Run]) -> Iterator[RenderableType]:
    """A heading for every reason, and under it what it is the reason for, a line for runs that differ in the seed."""
    by_reason: dict[str, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        # how a run diverged is in its step
        reason = "" if state == "diverged" else str(run.get("reason", ""))
        by_reason[reason][_kind(run)].append(run["seed"])
    lines = [(reason, *line) for reason, seeds_of in by_reason.items() for line in seeds_of.items()]
    for reason, listed in itertools.groupby(lines[:LISTED], key=lambda line: line[0]):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
        for justify in ("left", "left", "left", "right", "right", "right"):
            table.add_column(justify=justify, overflow="fold")
        for _, (estimator, posterior, *position), mine in listed:
            named = f"{'seed' if len(set(mine)) == 1 else 'seeds'} {seeds(mine)}"
            # as Text, since brackets would be read as markup
            table.add_row(*map(Text, (f"  {estimator}", posterior, named, *position)))
        yield Group(Text(f"\n{state}: {reason}" if reason else f"\n{state}", style="bold"), table)
    if unlisted := sum(len(mine) for _, _, mine in lines[LISTED:]):
        yield Text(f"  ... and {unlisted} more {state}")


def _kind(run: Run) -> tuple[str, ...]:
    """Estimator, posterior, and how far it is: step, speed, time left."""
    step, steps = run.get("step", 0), run.get("steps", 0)
    position = f"{step}/{steps}" if steps else f"step {step}" if step else ""
    pace = ("", "")
    if run["state"] == "running" and _is_measured(run):
        pace = (f"{run['steps_per_second']:.1f}/s", f"{duration(_own_seconds_left(run))} left")
    return str(run["estimator"]), str(run["posterior"]), position, *pace


def _is_measured(run: Run) -> bool:
    return bool(run.get("steps") and run.get("steps_per_second"))


def _own_seconds_left(run: Run) -> float:
    return (run["steps"] - run["step"]) / run["steps_per_second"]


def seconds_left(running: Sequence[Run], queued: Sequence[Run]) -> float | None:
    """An estimate for all of them: what is not measured takes as long as measured runs of the same estimator and
    posterior, or as long as the average of all, and as many run at a time as now. None if nothing is measured."""
    measured = [run for run in running if _is_measured(run)]
    if not measured:
        return None
    of_kind: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in measured:
        of_kind[run["estimator"], run["posterior"]].append(run["steps"] / run["steps_per_second"])
    usual = mean(seconds for kind in of_kind.values() for seconds in kind)
    begun = [_own_seconds_left(run) for run in measured]
    whole = [
        mean(of_kind.get((run["estimator"], run["posterior"]), [usual]))
        for run in (*running, *queued)
        if not _is_measured(run)
    ]
    return max(sum(begun + whole) / len(running), *begun, *whole)


def _unchanged_seconds(sweep: Path) -> float:
    """Since any run last changed its status."""
    return time.time() - max((path.stat().st_mtime for path in sweep.glob("runs/*/status.json")), default=0.0)


def watch(sweep: Path, console: Console) -> None:
    """Show the view until no run is left to wait for, or until interrupted."""
    with Live(console=console, auto_refresh=False, transient=True) as live, contextlib.suppress(KeyboardInterrupt):
        for found in _looks(sweep, threading.Event()):
            live.update(view(sweep, found), refresh=True)
            waiting = {run["state"] for run in found}
            if "running" not in waiting and not ("queued" in waiting and _unchanged_seconds(sweep) <= PATIENCE_SECONDS):
                break


@contextlib.contextmanager
def shown(sweep: Path, console: Console) -> Iterator[None]:
    """Show the view, always renewed, during the block."""
    over = threading.Event()

    def show() -> None:
        for found in _looks(sweep, over):
            live.update(view(sweep, found), refresh=True)

    with Live(console=console, auto_refresh=False, transient=True) as live:
        looking = threading.Thread(target=show, daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()


def _looks(sweep: Path, over: threading.Event) -> Iterator[list[Run]]:
    """The states again and again, until it is over."""
    while True:
        began = time.monotonic()
        yield states(sweep)
        if over.wait(max(WATCH_SECONDS, (time.monotonic() - began) / WATCH_SHARE)):
            return
