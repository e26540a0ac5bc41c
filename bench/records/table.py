"""The tidy table that all runs of a sweep make, and the sweep's folder."""

import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine.devices import cores
from bench.machine.files import is_partial, read_json, replacing, write_json
from bench.machine.provenance import PROTOCOL
from bench.records.folder import RUN_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

COST_COLUMNS = ("step", "images", "decodes", "seconds")
COLUMNS = (*RUN_COLUMNS, *COST_COLUMNS, "split", "readout", "metric", "value", "n")
VALUE_COLUMNS = (*RUN_COLUMNS, *COST_COLUMNS, "metric", "value", "n", "ended", "method")
"""Columns of a table of values: one row per run and metric. `estimator` is the method's name, `method` its index;
`step` and its kin are what the value had cost; `ended` is done, diverged or unfinished."""
KEYS = ("run", "step", "split", "readout", "metric")
"""What tells rows apart."""
MARKER = "sweep.json"
SLICE = 1_000_000
"""Rows that are written at a time."""


def open_sweep(folder: Path) -> None:
    """Make `folder` a place for results. Raises ValueError if it holds something else or cannot be written."""
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; try --out with a folder that is new, empty, or holds a sweep")
        # the marker is looked for last: another command may be making the same sweep at this moment
        if folder.is_dir() and _holds_something_else(folder) and not (folder / MARKER).is_file():
            raise ValueError(
                f"{folder} holds something that is not a sweep; "
                "try --out with a folder that is new, empty, or holds one"
            )
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).is_file():
            write_json(folder / MARKER, {"made_by": "discrete-latents-bench", "format": 1, "protocol": PROTOCOL})
        elif not os.access(folder / "runs", os.W_OK):
            raise PermissionError(13, "Permission denied")
        elif (its := read_json(folder / MARKER).get("protocol", 1)) != PROTOCOL and any((folder / "runs").iterdir()):
            raise ValueError(
                f"{folder} holds runs of protocol {its}, which do not compare with these (protocol {PROTOCOL}); "
                "try another --out"
            )
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}); try another --out") from None


def _holds_something_else(folder: Path) -> bool:
    """Than a sweep that is just being made: an empty runs/ and a marker that is being written."""
    names = {entry.name for entry in folder.iterdir() if not is_partial(entry)}
    return bool(names - {"runs"}) or ("runs" in names and any((folder / "runs").iterdir()))


def check(sweep: Path) -> None:
    """Raises ValueError if `sweep` is not a folder that `bench run` made."""
    if not (sweep / MARKER).is_file():
        raise ValueError(f"{sweep} is not a sweep; try a folder that `bench run` made, such as results/digits-quick")


def load(
    sweep: str | Path, columns: Iterable[str] | None = None, **only: str | int | Collection[str] | Collection[int]
) -> "pd.DataFrame":
    """The tidy table of a sweep: one row per (run, step, split, readout, metric), columns as in COLUMNS.

    `columns` are those to return; `only` chooses rows by a value, or several, of RUN_COLUMNS and KEYS:

        load("results/digits-quick", columns=["estimator", "seed", "value"], metric="psnr", split="test", step=[0, 500])

    What is not asked for is dropped run by run, before there is a table. Text columns are categoricals. Of rows that
    were written twice the last counts; there are no rows that were not written whole, nor runs that do not say what
    they are. A folder without runs that has a results.parquet, as older gradient labs left it, gives that. Raises
    ValueError if `sweep` is not a folder that `bench run` made, and for what is not a column.
    """
    from bench.records import _rows

    sweep = Path(sweep)
    check(sweep)
    columns = COLUMNS if columns is None else _columns(columns, COLUMNS, "return")
    _columns(only, [column for column in COLUMNS if column in (*RUN_COLUMNS, *KEYS)], "choose rows by")
    allowed = {column: _values(column, values) for column, values in only.items()}
    of_runs = {column: allowed.pop(column) for column in RUN_COLUMNS if column in allowed}
    everything = list(_runs(sweep))
    exported = sweep / "results.parquet"
    if not everything and exported.is_file():
        return _rows.exported(exported, columns, {**of_runs, **allowed})
    runs = [
        (folder, run) for folder, run in everything if all(run[column] in values for column, values in of_runs.items())
    ]
    # more threads than that would only wait for each other
    with ThreadPoolExecutor(cores()) as pool:
        tables = list(pool.map(lambda run: _rows.read(run[0] / "rows.jsonl", columns, allowed), runs))
    return _rows.frame([run for _, run in runs], tables, columns)


def _columns(columns: Iterable[str], valid: Collection[str], purpose: str) -> list[str]:
    columns = [columns] if isinstance(columns, str) else list(columns)
    for column in columns:
        if column not in valid:
            raise ValueError(f"there is no column {column!r} to {purpose}; try {', '.join(valid)}")
    return columns


def _values(column: str, values: Any) -> list[Any]:
    values = [values] if isinstance(values, str | Integral) else list(values)
    kind, name = (Integral, "a whole number") if column in ("seed", "step") else (str, "text")
    for value in values:
        if not isinstance(value, kind):
            raise ValueError(f"{column}={value!r} chooses nothing; {column} is {name}")
    return values


def states(sweep: Path) -> list[dict[str, Any]]:
    """One entry per run: RUN_COLUMNS, `state`, and the `reason` or `step` that goes with it.

    A run whose status is lost is in the state `unknown`.
    """
    return [run for _, run in _runs(sweep)]


def _runs(sweep: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders of runs, without copies of them, and what `states` says of each."""
    seen = set()
    for folder in sorted((sweep / "runs").glob("*")):
        run = read_json(folder / "status.json")
        if not _says_what_it_is(run):
            identity = read_json(folder / "config.json").get("identity")
            run = {**identity, **run} if isinstance(identity, dict) else run
        if not isinstance(run.get("state"), str):
            run |= {"state": "unknown", "reason": "its status.json is lost"}
        if _says_what_it_is(run) and run["run"] not in seen:
            seen.add(run["run"])
            yield folder, run


def _says_what_it_is(found: dict[str, Any]) -> bool:
    return all(isinstance(found.get(column), int if column == "seed" else str) for column in RUN_COLUMNS)


def write_table(table: "pd.DataFrame", folder: Path) -> None:
    """Write results.parquet and results.csv, whole or not at all. Missing values are empty in both."""
    import pyarrow as pa
    from pyarrow.csv import CSVWriter
    from pyarrow.parquet import ParquetWriter

    first = pa.Table.from_pandas(table.iloc[:SLICE], preserve_index=False)
    with (
        replacing(folder / "results.parquet") as parquet,
        replacing(folder / "results.csv") as csv,
        ParquetWriter(parquet, first.schema) as to_parquet,
        CSVWriter(csv, first.schema) as to_csv,
    ):
        to_parquet.write_table(first)
        to_csv.write_table(first)
        for start in range(SLICE, len(table), SLICE):
            part = pa.Table.from_pandas(table.iloc[start : start + SLICE], first.schema, preserve_index=False)
            to_parquet.write_table(part)
            to_csv.write_table(part)
