"""The rows of runs, from JSON lines over Arrow to a DataFrame. What was not written whole is left out."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from bench.metrics import catalogue
from bench.records.methods import HELD_OUT, METHOD, SETTING, SKIPPED
from bench.records.table import COLUMNS, COST_COLUMNS, VALUE_COLUMNS

Table = Any
"""A pd.DataFrame. Without stubs a type checker takes its columns for bare arrays and objects."""

_NUMBERS = (*COST_COLUMNS, "value", "n")
_NAMES = tuple(column for column in COLUMNS if column not in (*_NUMBERS, "seed"))
TEXT = ("split", "readout", "metric")
KEYS = ("step", *TEXT)
"""What tells the rows of a run apart."""
WHOLE = ("step", "images", "decodes", "n")
"""Integers, unless an estimator has its own idea of them."""
NAMES = (*COST_COLUMNS, *TEXT, "value", "n")
LONGEST_BLOCK = 1 << 30
"""Bytes."""
NEWLINE = ord("\n")
NOTHING = pa.py_buffer(b"")


def read(path: Path, columns: Collection[str], only: Mapping[str, Collection[object]]) -> pa.Table:
    """Rows of one run in order, of each key the last, with the values that `only` allows for some of KEYS.

    `columns` are some of NAMES; `step` always comes along, so that there is a column to count rows by. Text comes as
    dictionaries. A file that is not there has no rows.
    """
    try:
        content = pa.py_buffer(path.read_bytes())
    except FileNotFoundError:
        content = NOTHING
    return _rows(content, columns, only)


def _rows(content: pa.Buffer, columns: Collection[str], only: Mapping[str, Collection[object]]) -> pa.Table:
    names = [name for name in NAMES if name in {*KEYS, *columns}]
    schema = pa.schema({name: pa.string() if name in TEXT else pa.float64() for name in names})
    parts = _parsed(content, schema)
    table = pa.concat_tables(parts or [schema.empty_table()])
    for key in KEYS:
        if table[key].null_count:
            table = table.filter(table[key].is_valid())
    for key, allowed in only.items():
        options = pc.SetLookupOptions(value_set=pa.array(allowed, schema.field(key).type))
        table = table.filter(pc.call_function("is_in", [table[key]], options))
    arrays = {name: table[name].combine_chunks() for name in names}
    arrays |= {name: _whole(arrays[name]) for name in WHOLE if name in names}
    texts = {name: arrays[name].dictionary_encode() for name in TEXT}
    repeated = _repeated(arrays["step"].to_numpy(), list(texts.values()))
    table = pa.table({name: array for name, array in (arrays | texts).items() if name in {"step", *columns}})
    return table.filter(pa.array(~repeated)) if repeated.any() else table


def _whole(numbers: pa.Array) -> pa.Array:
    """As integers, if they all are."""
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid:
        return numbers


def _parsed(content: pa.Buffer, schema: pa.Schema) -> list[pa.Table]:
    """Tables of the lines of `content` that are rows. Halves it until what is no row is alone."""
    table = _table(content, schema)
    if table is not None:
        return [table]
    lines = content.to_pybytes().splitlines(keepends=True)
    if len(lines) <= 1:
        return []
    middle = len(lines) // 2
    halves = (pa.py_buffer(b"".join(half)) for half in (lines[:middle], lines[middle:]))
    return [part for half in halves for part in _parsed(half, schema)]


def _table(content: pa.Buffer, schema: pa.Schema) -> pa.Table | None:
    """None if some line of `content` is not a JSON object that fits."""
    # the parser crashes on a block that begins with null, so there is one block, and it begins with an object
    if content[:1].to_pybytes() != b"{" or content.size > LONGEST_BLOCK:
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(content),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=content.size + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        # it takes any bytes for text
        table.validate(full=True)
    except pa.ArrowInvalid:
        return None
    # and objects that share a line, or have several
    ends = np.frombuffer(content, np.uint8) == NEWLINE
    return table if table.num_rows == np.count_nonzero(ends) + (not ends[-1]) else None


def _repeated(step: np.ndarray, texts: Sequence[pa.DictionaryArray]) -> np.ndarray:
    """Which rows have the same keys as a later one."""
    place = np.zeros(len(step), np.int64)
    for text in texts:
        place = place * len(text.dictionary) + text.indices.to_numpy()
    # stable: of rows with the same keys, the last one stays last
    order = np.lexsort((place, step))
    same = (step[order][1:] == step[order][:-1]) & (place[order][1:] == place[order][:-1])
    repeated = np.zeros(len(step), bool)
    repeated[order[:-1][same]] = True
    return repeated


def exported(path: Path, columns: Sequence[str], only: Mapping[str, Collection[object]]) -> pd.DataFrame:
    """Rows of a results.parquet."""
    table = pd.read_parquet(path)
    for column, values in only.items():
        table = table[table[column].isin(values)]
    text = {column: "category" for column in columns if column in ("run", *TEXT) or table[column].dtype == object}
    return table[list(columns)].reset_index(drop=True).astype(text)


def frame(runs: Sequence[Mapping[str, object]], tables: list[pa.Table], columns: Sequence[str]) -> pd.DataFrame:
    """The table of each run with what the run is, all of them under each other. Empties `tables`.

    Text becomes categoricals, which take a tenth of the memory of strings and compare as fast as numbers.
    """
    lengths = [table.num_rows for table in tables]
    # permissive: integers with numbers that are none become numbers that are none
    together = pa.concat_tables([_rows(NOTHING, columns, {}), *tables], promote_options="permissive")
    tables.clear()
    measured = together.to_pandas(split_blocks=True, self_destruct=True)
    found: dict[str, object] = {}
    for column in columns:
        if column == "seed":
            found[column] = np.repeat(np.array([run[column] for run in runs], np.int64), lengths)
        elif column not in NAMES:
            kinds = pd.Categorical(pd.Index([run[column] for run in runs], dtype="str"))
            found[column] = pd.Categorical.from_codes(np.repeat(kinds.codes, lengths), kinds.categories)
        elif column in TEXT:
            # in the order of the alphabet, as text would be
            found[column] = measured[column].cat.reorder_categories(measured[column].cat.categories.sort_values())
        else:
            found[column] = measured[column]
    return pd.DataFrame(found, copy=False)


def tidy(frame: Table) -> Table:
    """Rows that comparisons are made of: measurements on held-out images of the codes that their metric is of, the
    baselines', costs, and where a run diverged; of the gradient lab, gradients and what was skipped.

    Numbers are numbers, names text, also after rows that were half written. Infinite values are missing.
    """
    measured = frame["split"].isin(HELD_OUT) & _as_defined(frame)
    others = (*catalogue.names("cost"), *catalogue.names("gradient"), "diverged", SKIPPED)
    frame = frame[measured | frame["metric"].isin(others)]
    numbers = {column: pd.to_numeric(frame[column], errors="coerce").astype(float) for column in _NUMBERS}
    numbers["value"] = numbers["value"].replace([np.inf, -np.inf], np.nan)
    # categories would make every grouping a product of all of them
    return frame.assign(**numbers).astype(dict.fromkeys(_NAMES, str)).dropna(subset=["step"])


def _as_defined(frame: Table) -> Table:
    """Which rows are of the readout that their metric is shown of; of a position's metric, of that over all."""
    found: dict[str, list[str]] = {"sample": [], "mode": []}
    for name in frame["metric"].unique():
        found[catalogue.readout(str(name))].append(name)
    of = {readout: (frame["readout"] == readout) & frame["metric"].isin(names) for readout, names in found.items()}
    return of["sample"] | of["mode"]


def with_left_out(values: Table, ended: Table) -> Table:
    """`values` of the runs that are done, and missing values for the others in `ended`.

    Those are of the metrics that their method has, or, if none of its runs are done, of all in their setting.
    """
    done = ended["ended"] == "done"
    kept = values[values["run"].isin(ended["run"][done])].assign(ended="done")
    left_out = ended[~done]
    own = left_out.merge(kept[[*SETTING, *METHOD, "metric"]].drop_duplicates(), on=[*SETTING, *METHOD])
    others = left_out[~left_out["run"].isin(own["run"])]
    foreign = others.merge(kept[[*SETTING, "metric"]].drop_duplicates(), on=SETTING)
    table = joined([kept, own, foreign]).reindex(columns=list(VALUE_COLUMNS))
    return table.sort_values([*SETTING, *METHOD, "seed", "metric"], ignore_index=True)


def joined(tables: Sequence[Table]) -> Table:
    """Below each other; pandas warns of empty ones."""
    return pd.concat([table for table in tables if len(table)] or list(tables[:1]), ignore_index=True)
