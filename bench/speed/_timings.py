"""What was timed, as a table, and what became slower than the committed one says."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.machine.files import write_atomically, write_json
from bench.machine.provenance import git_commit, hardware, package_versions
from bench.tables import Grid
from bench.text import number

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
"""Of a checkout; there is none in an installed package."""
KEY = ("dataset", "estimator", "posterior", "precision", "batch")
SLOWER = 1.25
"""Times the reference's ratio, from where on it is said: two runs on one machine differ by less."""

COLUMNS = {
    "ms/step": (lambda t: t.ms, 1),
    "GFLOP": (lambda t: t.gflop, 2),
    "floor ms": (lambda t: t.floor_ms, 1),
    "time / floor": (lambda t: t.ratio, 2),
    "GB": (lambda t: t.gigabytes, 2),
    "bytes ms": (lambda t: t.traffic_ms, 1),
    "sampling ms": (lambda t: t.sampling_ms, 1),
    "sampling / floor": (lambda t: t.sampling_ratio, 2),
    "loop overhead %": (lambda t: t.loop_percent, 1),
}
NAMES = ("dataset", "estimator", "posterior")


@dataclass(frozen=True)
class Timing:
    """Median times of one estimator, the work that they were spent on, and what the machine did meanwhile."""

    dataset: str
    estimator: str
    posterior: str
    precision: str
    batch: int
    ms: float
    """Of one optimiser step."""
    gflop: float
    gigabytes: float
    gflop_per_second: float
    gigabytes_per_second: float
    sampling_ms: float
    """Of drawing the step's k codes per image without a gradient; NaN where positions are not drawn one by one."""
    sampling_gflop: float
    loop_percent: float
    """Time of the training loop outside the step (data, logging), as a percentage of the step."""

    @property
    def floor_ms(self) -> float:
        """The step's arithmetic at the rate of a large matrix product."""
        return 1e3 * self.gflop / self.gflop_per_second

    @property
    def traffic_ms(self) -> float:
        """The step's bytes at the rate of a large copy."""
        return 1e3 * self.gigabytes / self.gigabytes_per_second

    @property
    def ratio(self) -> float:
        return self.ms / self.floor_ms

    @property
    def sampling_ratio(self) -> float:
        return self.sampling_ms * self.gflop_per_second / (1e3 * self.sampling_gflop)


def table(timings: Sequence[Timing], names: Sequence[str] = NAMES) -> Grid:
    """One line per timing."""
    rows = [
        [*(getattr(timing, name) for name in names), *(number(value(timing), p) for value, p in COLUMNS.values())]
        for timing in timings
    ]
    return Grid([*names, *COLUMNS], rows, "l" * len(names) + "r" * len(COLUMNS))


def write(folder: Path, timings: Sequence[Timing], device: str, command: str) -> list[Path]:
    """speed.md for people and speed.json for `compare`; rows of other devices that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    here = {"command": command, "commit": git_commit(), "hardware": hardware(), "versions": package_versions()}
    rows = [{**vars(timing), "ratio": timing.ratio, "sampling_ratio": timing.sampling_ratio} for timing in timings]
    data, page = folder / "speed.json", folder / "speed.md"
    known = json.loads(data.read_text()) if data.exists() else {}
    known[device] = {**here, "rows": rows}
    write_json(data, known)
    write_atomically(page, _page(known).encode())
    return [data, page]


def load(folder: Path, device: str) -> pd.DataFrame:
    """The rows for a device. Raises ValueError if there are none."""
    path = folder / "speed.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if device not in known:
        raise ValueError(f"{path} has no timings for {device}; make some with bench speed --write {folder}")
    return pd.DataFrame(known[device]["rows"])


@dataclass(frozen=True)
class Change:
    """A ratio to the floor that the reference has too."""

    what: str
    then: float
    now: float

    @property
    def slower(self) -> bool:
        return self.now > SLOWER * self.then

    def __str__(self) -> str:
        return f"{self.what}: {self.now:.2f} times its floor, was {self.then:.2f}"


def compare(reference: pd.DataFrame, timings: Sequence[Timing]) -> Iterator[Change]:
    """Steps and sampling of the timings that the reference has at the same batch size."""
    for timing in timings:
        rows = reference[(reference[list(KEY)] == [getattr(timing, key) for key in KEY]).all(axis=1)]
        for _, row in rows.iterrows():
            name = f"{timing.dataset}, {timing.estimator}, {timing.posterior}"
            yield Change(f"{name}, step", float(row["ratio"]), timing.ratio)
            if not math.isnan(timing.sampling_ratio):
                yield Change(f"{name}, sampling", float(row["sampling_ratio"]), timing.sampling_ratio)


def _page(known: Mapping[str, dict]) -> str:
    fields = Timing.__dataclass_fields__
    parts = [
        "# Speed: a training step against its arithmetic",
        "The floor is the step's matrix products and convolutions, counted, at the rate of a large product in the same "
        "precision that was timed in between the steps; `time / floor` is what compares between machines. `GB` is what "
        "operations read and write one by one, and `bytes ms` what a large copy of as much would take: where that is "
        "the larger one, the step is bound by memory. `sampling`: drawing the step's codes position by position, "
        "without a gradient. `loop overhead`: data and logging, outside the step.",
    ]
    for device, found in known.items():
        where = found["hardware"]
        machine = where.get("gpu") if device == "cuda" else f"{where['threads']} threads of {where['cpu']}"
        parts.append(f"## {device}: {machine}")
        parts.append(f"Command: `{found['command']}`, at commit {str(found['commit'])[:7]}, "
                     f"torch {found['versions']['torch']}, Python {found['versions']['python']}.")  # fmt: skip
        rows = pd.DataFrame(found["rows"])
        for (dataset, precision, batch), group in rows.groupby(["dataset", "precision", "batch"], sort=False):
            timings = [Timing(**{name: row[name] for name in fields}) for row in group.to_dict("records")]
            parts.append(f"### {dataset}, paper size, {batch} images per step, {precision}")
            parts.append(table(timings, NAMES[1:]).markdown())
    return "\n\n".join(parts) + "\n"
