"""`bench diff`: what changed between two sweeps in settings, and which metrics moved by more than the seeds do."""

from collections import defaultdict
from typing import Any

from rich.console import Group
from rich.text import Text

from bench import stats
from bench.metrics.catalogue import describe
from bench.records.methods import flattened
from bench.records.sweep import METHOD, SETTING, Sweep, Table
from bench.tables.views import Grid
from bench.text import number

_OWN = ("seed", *SETTING, *METHOD)
"""What tells runs apart, and so is no change of settings."""
QUIET = ("equal", "within seed noise", "only before", "only after")


def view(before: Sweep, after: Sweep) -> Group:
    """Settings that changed, a table of what moved or may have, and a line with how many did. Raises as `moved`."""
    changes = moved(before, after)
    grid = table(changes)
    lines = [Text(f"  {line}") for line in settings_changed(before, after)]
    return Group(*lines, *([grid.rich()] if grid.rows else []), Text(verdict(changes)))


def settings_changed(before: Sweep, after: Sweep) -> list[str]:
    """Lines such as `lr: 0.001 -> 0.002 (daps factorised, vq factorised)`; also of code, versions and hardware."""
    old, new = _settings(before), _settings(after)
    changes: dict[str, list[str]] = defaultdict(list)
    for method in sorted(old.keys() & new.keys()):
        for key in sorted(old[method].keys() | new[method].keys()):
            values = old[method].get(key, "absent"), new[method].get(key, "absent")
            if values[0] != values[1]:
                changes[f"{key}: {values[0]} -> {values[1]}"].append(" ".join(method[:2]))
    lines = [f"{change} ({', '.join(methods)})" for change, methods in changes.items()]
    for sweep, only in ((before, old.keys() - new.keys()), (after, new.keys() - old.keys())):
        lines += [f"only in {sweep.path}: {', '.join(method)}" for method in sorted(only)]
    return lines


def _settings(sweep: Sweep) -> dict[tuple[str, ...], dict[str, Any]]:
    """Of the first run of each method that has some, nested ones with dotted names."""
    found = {}
    for comparison in sweep.comparisons:
        for index, method in enumerate(comparison.methods):
            run = next((run for run in comparison.runs[index] if run.config and not run.is_baseline), None)
            if run is not None:
                own = {key: value for key, value in run.config.items() if key not in _OWN}
                made = {key: run.provenance.get(key) for key in ("git", "versions", "hardware")}
                found[method.name, method.posterior, *run.place] = dict(flattened({**own, "made with": made}))
    return found


def moved(before: Sweep, after: Sweep) -> Table:
    """`stats.moved` of the final values of two sweeps. Raises ValueError if one has no finished run."""
    for sweep in (before, after):
        if sweep.finals.empty:
            raise ValueError(f"{sweep.path} has no finished run to compare; bench status {sweep.path} says why")
    return stats.moved(before.finals, after.finals)


def table(changes: Table) -> Grid:
    """What moved, or may have: means of the seeds that both sweeps have, and their differences."""
    several = len(changes[SETTING].drop_duplicates()) > 1
    names = [*(SETTING if several else []), *METHOD]
    rows = []
    for row in changes[~changes["verdict"].isin(QUIET)].to_dict("records"):
        metric = describe(row["metric"])
        change = stats.Interval(*(row[key] for key in ("estimate", "low", "high", "n", "method")))
        low, middle, high = (number(value, change.places) for value in (change.low, change.estimate, change.high))
        places = change.places if metric.places is None else metric.places
        # means of different seeds are not each other's before and after
        own = ["", ""] if change.n else [f" (n={row[count]})" for count in ("n_before", "n_after")]
        means = [number(row[key], places) + n for key, n in zip(("before", "after"), own, strict=True)]
        interval = f"{low} to {high}" if change.known else "–"
        rows.append([*(row[key] for key in names), metric.heading, *means, middle, interval, row["verdict"]])
    head = [*names, "metric", "before", "after", "change", "95 % interval", "verdict"]
    return Grid(head, rows, "l" * (len(names) + 1) + "rrrrl")


def verdict(changes: Table) -> str:
    """One line: how many metrics moved, and how many did not."""
    counts = changes["verdict"].value_counts()
    how = "differences seed by seed, paired t test, Holm-corrected per metric, 5 %"
    return f"{', '.join(f'{n} {word}' for word, n in counts.items())} ({len(changes)} comparisons; {how})"
