"""`bench status`: how far a sweep is, from the status files of its runs alone."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench import records
from bench.run_folder import FINISHED, RunFolder

ORDER = ("running", "interrupted", "stopped", "queued", "failed", "diverged", "skipped", "done")
LISTED = 20
"""Runs of a state that are shown one by one."""
WATCH_SECONDS = 1.0


def states(sweep: Path) -> list[dict[str, Any]]:
    """As `records.states`, with `interrupted` for runs that say they are running while nobody is running them."""
    found = records.states(sweep)
    for state in found:
        if state["state"] == "running" and not RunFolder(sweep, state["run"]).taken():
            # it may have ended between the two looks
            state |= RunFolder(sweep, state["run"]).status
            state["state"] = "interrupted" if state["state"] == "running" else state["state"]
    return found


def view(sweep: Path) -> Group:
    """Counts of all states, and what there is to say of runs that are under way or did not end well."""
    found = states(sweep)
    counts = Counter(state["state"] for state in found)
    line = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state])
    table = Table("estimator", "posterior", "seed", "state", "step", "steps/s", "left", "why", box=None)
    for column in table.columns[2:3] + table.columns[4:7]:
        column.justify = "right"
    for state in ORDER:
        runs = [one for one in found if one["state"] == state and state not in ("queued", "done")]
        for run in runs[:LISTED]:
            table.add_row(*_cells(run), style="dim" if state in FINISHED else None)
        if len(runs) > LISTED:
            table.add_row(f"... and {len(runs) - LISTED} more {state}")
    head = Text(f"{sweep}: {len(found)} runs: {line or 'none'}")
    return Group(head, table) if table.row_count else Group(head)


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    step, steps, speed = run.get("step", 0), run.get("steps", 0), run.get("steps_per_second", 0)
    running = run["state"] == "running" and speed
    return (
        str(run["estimator"]),
        str(run["posterior"]),
        str(run["seed"]),
        run["state"],
        f"{step}/{steps}" if steps else str(step or ""),
        f"{speed:.1f}" if running else "",
        _duration((steps - step) / speed) if running else "",
        str(run.get("reason", "")),
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"


def watch(sweep: Path, console: Console) -> None:
    """Show the view until no run is left to wait for, or until interrupted."""
    with shown(sweep, console), contextlib.suppress(KeyboardInterrupt):
        while any(state["state"] in ("queued", "running") for state in records.states(sweep)):
            time.sleep(WATCH_SECONDS)


@contextlib.contextmanager
def shown(sweep: Path, console: Console) -> Iterator[None]:
    """Show the view, renewed once a second, during the block."""
    with Live(
        console=console, refresh_per_second=1 / WATCH_SECONDS, transient=True, get_renderable=lambda: view(sweep)
    ):
        yield
