"""The files that the table is exported to."""

import csv
import shutil

import pandas as pd
import pyarrow.csv
import pytest
from helpers.record_rows import TEXT, assert_same, identity, plain, row, several

from bench import records
from bench.records import table as table_module


@pytest.mark.parametrize("slices", [0.5, 1, 2, 5])
def test_the_files_hold_the_table(sweep, monkeypatch, slices):
    several(sweep)
    for table in (records.load(sweep), records.load(sweep, metric="elbo", split="test")):
        # and one more row
        monkeypatch.setattr(table_module, "SLICE", int((len(table) - 1) / slices))
        records.write_table(table, sweep)
        pd.testing.assert_frame_equal(pd.read_parquet(sweep / "results.parquet"), table, check_exact=True)
        with (sweep / "results.csv").open(newline="") as file:
            texts = pd.DataFrame(csv.DictReader(file))
        for column in set(records.COLUMNS) - set(TEXT):
            texts[column] = [float(text or "nan") for text in texts[column]]
        assert_same(texts.astype({"seed": int, **dict.fromkeys(("step", "images", "decodes", "n"), int)}), table)
    assert "nan" not in (sweep / "results.csv").read_text().lower()
    assert sorted(path.name for path in sweep.iterdir()) == ["results.csv", "results.parquet", "runs", "sweep.json"]


def test_the_files_hold_a_table_of_text_and_of_chosen_rows(sweep):
    table = pd.DataFrame([{**identity("a", estimator='x,"y"\nz'), **row(step)} for step in range(4)])
    chosen = table[list(records.COLUMNS)][table["step"] > 1]
    records.write_table(chosen, sweep)
    for read in (pd.read_parquet(sweep / "results.parquet"), pd.read_csv(sweep / "results.csv")):
        assert_same(read, chosen.reset_index(drop=True))


def test_a_write_that_fails_leaves_the_files_as_they_were(sweep, monkeypatch):
    several(sweep)
    table = records.load(sweep)
    records.write_table(table, sweep)
    before = {path.name: path.read_bytes() for path in sweep.glob("results.*")}
    monkeypatch.setattr(table_module, "SLICE", 50)

    class FullDisk(pyarrow.csv.CSVWriter):
        parts = 0

        def write_table(self, part):
            FullDisk.parts += 1
            if FullDisk.parts == 3:
                raise OSError(28, "No space left on device")
            super().write_table(part)

    monkeypatch.setattr("pyarrow.csv.CSVWriter", FullDisk)
    with pytest.raises(OSError, match="No space left"):
        records.write_table(table.iloc[:120], sweep)
    assert {path.name: path.read_bytes() for path in sweep.glob("*results.*")} == before
    assert not list(sweep.glob(".*"))


def test_a_folder_that_has_only_the_exported_table_gives_that(sweep, tmp_path):
    runs = several(sweep)
    records.write_table(records.load(sweep), sweep)
    alone = tmp_path / "alone"
    records.open_sweep(alone)
    shutil.copy(sweep / "results.parquet", alone)
    assert runs
    pd.testing.assert_frame_equal(plain(records.load(alone)), plain(records.load(sweep)))
    chosen = {"columns": ["run", "value"], "metric": "psnr"}
    pd.testing.assert_frame_equal(plain(records.load(alone, **chosen)), plain(records.load(sweep, **chosen)))
