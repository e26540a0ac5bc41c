"""The tidy table that all runs of a sweep make, and the sweep's folder."""

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.atomic import read_json, write_atomically, write_json
from bench.run_folder import RUN_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

COST_COLUMNS = ("step", "images", "decodes", "seconds")
COLUMNS = (*RUN_COLUMNS, *COST_COLUMNS, "split", "readout", "metric", "value", "n")
MARKER = "sweep.json"


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


def check(sweep: Path) -> None:
    """Raises ValueError if `sweep` is not a folder that `bench run` made."""
    if not (sweep / MARKER).is_file():
        raise ValueError(f"{sweep} is not a sweep; try a folder that `bench run` made, such as results/digits-quick")


def load(sweep: str | Path) -> "pd.DataFrame":
    """The tidy table of a sweep: one row per (run, step, split, readout, metric), columns as in COLUMNS.

    Raises ValueError if `sweep` is not a folder that `bench run` made.
    """
    import pandas as pd

    sweep = Path(sweep)
    check(sweep)
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
    found = (read_json(folder / "status.json") for folder in sorted((sweep / "runs").iterdir()))
    return [status for status in found if "run" in status]


def write_table(table: "pd.DataFrame", folder: Path) -> None:
    """Write results.parquet and results.csv."""
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    write_atomically(folder / "results.parquet", parquet.getvalue())
    write_atomically(folder / "results.csv", table.to_csv(index=False).encode())
