"""Rows of runs as they are written, and the table that they should give, made the slow way."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records
from bench.records.folder import RunFolder

TEXT = ("run", "estimator", "posterior", "dataset", "preset", "device", "split", "readout", "metric")


def identity(run: str, **different: object) -> dict[str, Any]:
    common = {"estimator": "daps", "posterior": "causal", "dataset": "digits", "preset": "quick", "seed": 0}
    return {"run": run, **common, "device": "cpu", **different}


def row(
    step=0, metric="psnr", value: object = 1.5, split="test", readout="sample", **different: object
) -> dict[str, object]:
    cost = {"step": step, "images": 32 * step, "decodes": 512 * step, "seconds": 0.25 * step}
    return {**cost, "split": split, "readout": readout, "metric": metric, "value": value, "n": 360, **different}


def add(sweep: Path, run: str, rows: list[dict[str, object]], **different: object) -> Path:
    """A finished run, written as runs are."""
    folder = RunFolder(sweep, run)
    folder.start(identity(run, **different), {}, {})
    folder.append(rows)
    folder.finish("done")
    return folder.path


def naive(sweep: Path, runs: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The table by other means, of files that are whole."""
    tables = []
    for run, what in sorted(runs.items()):
        lines = (sweep / "runs" / run / "rows.jsonl").read_text().splitlines()
        tables.append(pd.DataFrame([json.loads(line) for line in lines]).assign(**what))
    table = pd.concat(tables, ignore_index=True)
    return table.drop_duplicates(list(records.KEYS), keep="last", ignore_index=True)[list(records.COLUMNS)]


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Without categories."""
    return table.astype({column: str for column in TEXT if column in table})


def assert_same(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(plain(table), plain(expected), check_exact=True)


def several(sweep: Path) -> dict[str, dict[str, Any]]:
    """Runs that differ in all that runs differ in, with rows that are written again, and what is odd in values."""
    rng = random.Random(0)
    runs = {}
    kinds = itertools.product(["vq", "daps:epsilon=0.1,k=16", 'é"x"'], ["factorised", "causal"], [1, 0])
    for index, (estimator, posterior, seed) in enumerate(kinds):
        what = {"estimator": estimator, "posterior": posterior, "seed": seed, "device": ["cpu", "cuda"][index % 2]}
        rows = [
            row(step, metric, rng.choice([rng.gauss(0, 1), float("nan"), float("-inf"), 3]), split, readout)
            for step in (0, 50, 100)
            for split, readout in (("train", ""), ("test", "sample"), ("test", "mode"))
            for metric in rng.sample(["psnr", "elbo", "usage/0", "usage/10", "term/η"], 4)
        ]
        rows += [{**again, "value": rng.random(), "seconds": rng.random()} for again in rng.sample(rows, index)]
        run = f"{rng.getrandbits(64):016x}"
        add(sweep, run, rows, **what)
        runs[run] = identity(run, **what)
    return runs
