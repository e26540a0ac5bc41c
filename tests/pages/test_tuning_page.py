"""The page, the figure and the tables of a search for settings, whatever became of its trials."""

import shutil

import numpy as np
import pytest
from helpers.report_page import page_of, words
from helpers.tuning_sweeps import TRIALS, searched

from bench import figures, records, tables
from bench.figures.themes import THEMES
from bench.figures.tuning import expected_best
from bench.records.tuning import Tuning, read_tuning
from bench.stats.tuning import rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("searched") / "tune")


def test_the_page_shows_default_and_tuned_luck_every_trial_and_those_that_were_lost(folder):
    page = page_of(folder)
    assert words(page.root.find(".//h1")) == "Tuning: digits, preset quick"
    for name, grid in zip(("tuned", "expected"), tables.of_tuning(read_tuning(folder)), strict=True):
        shown = page.section(f"s0-{name}").findall(".//table/tbody/tr")
        assert [[words(cell) for cell in row] for row in shown] == [list(row) for row in grid.rows]
    searches = page.section("s0-trials").findall(".//details")
    assert {words(one.find("summary/span")) for one in searches} == set(TRIALS)
    for one in searches:
        values = [float(cell.get("data-v", "nan")) for cell in one.findall(".//td[@data-v]")]
        known = [value for value in TRIALS[words(one.find("summary/span"))] if value is not None]
        assert values == sorted(known, reverse=True)
    lost = [words(row.find("th")) for row in page.section("s0-lost").findall(".//table/tbody/tr")]
    assert sorted(lost) == ["daps, trial 2", *(f"fsq, trial {number}" for number in range(4))]
    # default and tuned are compared like any methods
    assert set(page.verdict("s1-verdict")) == {
        "daps · default, factorised",
        "daps · tuned, factorised",
        "vq · default, factorised",
    }


@pytest.mark.parametrize("theme", THEMES)
def test_the_figure_draws_the_expected_best_of_every_search_that_has_one(folder, theme):
    tuning = read_tuning(folder)
    with THEMES[theme].applied():
        drawing = expected_best((tuning, THEMES[theme]))
    assert drawing is not None
    (ax,) = drawing.figure.axes
    lines = {str(line.get_gid()): line for line in ax.lines}
    assert set(lines) == {"daps", "vq"}
    for one in rows(tuning):
        if one.best is not None:
            line = lines[one.search.estimator]
            assert list(np.asarray(line.get_xdata())) == list(one.expected)
            assert list(np.asarray(line.get_ydata())) == list(one.expected.values())


def test_a_search_that_has_just_begun_is_shown_without_values(folder, tmp_path):
    begun = shutil.copytree(folder, tmp_path / "begun")
    shutil.rmtree(begun / "runs")
    (begun / "runs").mkdir()
    tuning = records.read(begun)
    assert isinstance(tuning, Tuning)
    assert [search.best for search in tuning.searches] == [None] * len(TRIALS)
    assert figures.draw(tuning, begun / "figures") == []
    assert page_of(begun).has("s0-tuned")
    assert [row[0] for row in tables.of_tuning(tuning)[0].rows] == list(TRIALS)
