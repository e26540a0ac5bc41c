"""Numbers in the README are those of the files that it points to."""

import re
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| ([a-z_]+[^|]*?) \| (\d[^|]*) \| (\d[^|]*) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
COLUMNS = ("tuned", "tuned, 128k decodes")


def test_the_table_of_results_has_every_estimator_of_its_source():
    source = pd.read_csv(ROOT / "results/reference/tune-digits/ranking.csv")
    assert {row[0] for row in ROWS} == set(source["estimator"])


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_means_and_intervals_in_the_table_are_those_of_the_runs(row):
    source = pd.read_csv(ROOT / "results/reference/tune-digits/ranking.csv")
    estimator, *cells = row
    for cell, condition in zip(cells, COLUMNS, strict=True):
        chosen = (source["estimator"] == estimator) & (source["metric"] == "psnr") & (source["condition"] == condition)
        values = source["value"][chosen]
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        found = [float(number) for number in re.findall(r"\d+\.\d+", cell)]
        assert found == pytest.approx([values.mean(), low, high], abs=0.0051)
