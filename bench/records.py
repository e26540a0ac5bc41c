"""A run's folder: append-only rows, config, status, checkpoint; and the tidy table that all of them make."""

import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

State = Literal["running", "done", "diverged", "failed", "skipped"]
RUN_COLUMNS = ("run", "estimator", "posterior", "dataset", "preset", "seed", "device")
COST_COLUMNS = ("step", "images", "decodes", "seconds")
COLUMNS = (*RUN_COLUMNS, *COST_COLUMNS, "split", "readout", "metric", "value", "n")
MARKER = "sweep.json"


def write_atomically(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the machine stops."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=1, default=str) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Empty if the file is not there or not whole."""
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def open_sweep(folder: Path) -> None:
    """Make `folder` a place for results. Raises ValueError if it holds something else or cannot be written."""
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; try --out with a folder that is new, empty, or holds a sweep")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise ValueError(
                f"{folder} holds something that is not a sweep; "
                "try --out with a folder that is new, empty, or holds one"
            )
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).is_file():
            write_json(folder / MARKER, {"made_by": "discrete-latents-bench", "format": 1})
        elif not os.access(folder / "runs", os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}); try another --out") from None


class RunFolder:
    """What one run leaves in results/NAME/runs/<run>/."""

    def __init__(self, sweep: Path, run: str) -> None:
        self.run = run
        self.path = sweep / "runs" / run
        self._rows: IO[bytes] | None = None

    @property
    def status(self) -> dict[str, Any]:
        """state, and what goes with it: reason, step, ...; empty if the run was never started."""
        return read_json(self.path / "status.json")

    def start(self, identity: Mapping[str, Any], config: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Empty the folder and open it for rows. `identity` is what RUN_COLUMNS are filled with."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        write_json(self.path / "config.json", {"identity": identity, "config": config, "provenance": provenance})
        self.set_status("running")
        self._rows = (self.path / "rows.jsonl").open("ab")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of COST_COLUMNS, split, readout, metric, value and n; on disk when this returns."""
        assert self._rows is not None
        self._rows.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        self._rows.flush()
        os.fsync(self._rows.fileno())

    def set_status(self, state: State, **details: Any) -> None:
        write_json(self.path / "status.json", {"state": state, **details})

    def finish(self, state: State, **details: Any) -> None:
        """Close the rows, then say how the run ended."""
        if self._rows is not None:
            self._rows.close()
        self.set_status(state, **details)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Every whole row; the last may be torn if the run was killed while writing it."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def load(sweep: str | Path) -> "pd.DataFrame":
    """The tidy table of a sweep: one row per (run, step, split, readout, metric), columns as in COLUMNS.

    Raises ValueError if `sweep` is not a folder that `bench run` made.
    """
    import pandas as pd

    sweep = Path(sweep)
    if not (sweep / MARKER).is_file():
        raise ValueError(f"{sweep} is not a sweep; try a folder that `bench run` made, such as results/digits-quick")
    frames = []
    for folder in sorted((sweep / "runs").iterdir()):
        identity = read_json(folder / "config.json").get("identity")
        rows = _read_rows(folder / "rows.jsonl")
        if identity and rows:
            frames.append(pd.DataFrame(rows).assign(**identity))
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    keys = ["run", "step", "split", "readout", "metric"]
    return table[list(COLUMNS)].drop_duplicates(subset=keys, keep="last", ignore_index=True)


def states(sweep: Path) -> list[dict[str, Any]]:
    """One entry per run: RUN_COLUMNS, `state`, and the `reason` or `step` that goes with it."""
    entries = []
    for folder in sorted((sweep / "runs").iterdir()):
        identity = read_json(folder / "config.json").get("identity")
        if identity:
            entries.append({**identity, **read_json(folder / "status.json")})
    return entries


def write_table(table: "pd.DataFrame", folder: Path) -> None:
    """Write results.parquet and results.csv."""
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    write_atomically(folder / "results.parquet", parquet.getvalue())
    write_atomically(folder / "results.csv", table.to_csv(index=False).encode())
