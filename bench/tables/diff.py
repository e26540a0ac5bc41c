"""`bench diff`: what changed between two sweeps in settings, and which metrics moved by more than the seeds do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from bench import records, stats
from bench.machine.files import read_json
from bench.records.folder import BASELINE
from bench.stats.words import number

KIND = ("estimator", "posterior", "dataset", "preset")
_OWN = ("seed", *KIND)
"""What tells runs apart, and so is no change of settings."""
QUIET = ("equal", "within seed noise", "only before", "only after")


def settings_changed(before: Path, after: Path) -> list[str]:
    """Lines such as `lr: 0.001 -> 0.002 (daps factorised, vq factorised)`; also of code, versions and hardware."""
    old, new = _settings(before), _settings(after)
    changes: dict[str, list[str]] = {}
    for kind in sorted(old.keys() & new.keys()):
        for key in sorted(old[kind].keys() | new[kind].keys()):
            values = old[kind].get(key, "absent"), new[kind].get(key, "absent")
            if values[0] != values[1]:
                changes.setdefault(f"{key}: {values[0]} -> {values[1]}", []).append(" ".join(kind[:2]))
    lines = [f"{change} ({', '.join(kinds)})" for change, kinds in changes.items()]
    for name, only in ((before, old.keys() - new.keys()), (after, new.keys() - old.keys())):
        lines += [f"only in {name}: {', '.join(kind)}" for kind in sorted(only)]
    return lines


def _settings(sweep: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Of the first run of each kind, nested ones with dotted names."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for folder in sorted((sweep / "runs").glob("*")):
        recorded = read_json(folder / "config.json")
        identity = recorded.get("identity", {})
        if (
            recorded.get("config")
            and identity.get("estimator") != BASELINE
            and all(column in identity for column in KIND)
        ):
            kind = tuple(str(identity[column]) for column in KIND)
            own = {key: value for key, value in recorded["config"].items() if key not in _OWN}
            provenance = recorded.get("provenance", {})
            made = {key: provenance.get(key) for key in ("git", "versions", "hardware")}
            found.setdefault(kind, dict(_flat({**own, "made with": made})))
    return found


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def moved(before: Path, after: Path) -> Any:
    """`stats.moved` of the final values of two sweeps. Raises ValueError if one is no sweep or has no finished run."""
    values = []
    for sweep in (before, after):
        values.append(stats.finals(records.load(sweep)))
        if values[-1].empty:
            raise ValueError(f"{sweep} has no finished run to compare; bench status {sweep} says why")
    return stats.moved(*values)


def table(changes: Any) -> Table:
    """What moved, or may have."""
    made = Table("estimator", "posterior", "metric", "before", "after", "change", "95 % interval", "verdict", box=None)
    for row in changes[~changes["verdict"].isin(QUIET)].to_dict("records"):
        known = row["low"] == row["low"]
        scale = (row["high"] - row["low"]) / 2 if known else row["estimate"]
        numbers = [number(row[key], scale or row[key] / 100) for key in ("before", "after", "estimate")]
        interval = f"{number(row['low'], scale)} to {number(row['high'], scale)}" if known else "-"
        made.add_row(row["estimator"], row["posterior"], row["metric"], *numbers, interval, row["verdict"])
    return made


def verdict(changes: Any) -> str:
    """One line: how many metrics moved, and how many did not."""
    counts = changes["verdict"].value_counts()
    return ", ".join(f"{count} {words}" for words, count in counts.items()) + (
        f" ({len(changes)} comparisons; differences seed by seed, paired t test, Holm-corrected per metric, 5 %)"
    )
