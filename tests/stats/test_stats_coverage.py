"""The intervals cover as often as they say: simulated sweeps whose truth is known."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from bench.stats import coverage as simulation
from bench.stats.coverage import POPULATIONS, PROMISED, PROMISED_FROM, SEEDS, SWEEPS, coverage, false_alarms, tables

DOCS = Path(__file__).parents[2] / "docs" / "statistics.md"
MEANS = ("mean", "paired difference", "mean over 3 datasets")
MIDDLES = ("interquartile mean", "interquartile mean over 3 datasets")
PLAIN = "for comparison, the mean by the plain percentile bootstrap"


@pytest.mark.parametrize("n", [5, 10])
def test_intervals_of_normal_scores_cover_where_the_plain_bootstrap_does_not(n):
    found = coverage("normal", n, sweeps=500)
    # the aim, and a standard error of 500 sweeps
    assert all(92 <= found[quantity][0] <= 98 for quantity in (*MEANS, *MIDDLES)), found
    assert found[PLAIN][0] < 92.5


def test_equal_methods_are_seldom_told_apart():
    assert max(false_alarms("normal", 5, sweeps=300).values()) <= 5 + 2 * 1.3


def documented() -> dict[tuple[str, str, int], float]:
    """Coverage in the docs by quantity, population and seeds."""
    found = {}
    for quantity, table in re.findall(r"\n\*\*(.+)\*\*\n\n((?:\|.*\n)+)", DOCS.read_text()):
        head, _, *rows = ([cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines())
        for row in rows:
            cells = dict(zip(head, row, strict=True))
            for population in POPULATIONS:
                found[quantity[0].lower() + quantity[1:], population, int(cells["seeds"])] = float(cells[population])
    return found


def test_the_docs_have_a_cell_for_every_quantity_population_and_number_of_seeds():
    quantities = {quantity for quantity, _, _ in documented()}
    assert len(quantities) == 9 + 2
    assert len(documented()) == len(quantities) * len(POPULATIONS) * len(SEEDS)


def test_the_docs_keep_the_promise_where_no_seed_is_bad():
    low, high = PROMISED
    for (quantity, population, n), percent in documented().items():
        if quantity in (*MEANS, *MIDDLES) and population != "bad seeds" and n >= PROMISED_FROM:
            assert low <= percent <= high, (quantity, population, n)


def test_cells_that_break_the_promise_are_bold(monkeypatch):
    monkeypatch.setattr(simulation, "POPULATIONS", {"normal": POPULATIONS["normal"]})
    lines = list(tables((9, 10), sweeps=4))
    plain = lines[lines.index(f"\n**F{PLAIN[1:]}**\n") :][1:5]
    assert plain[0] == "| seeds | method | normal |"
    assert re.fullmatch(r"\| 9 \| percentile bootstrap \| [0-9.]+ \|", plain[2])
    # of four sweeps, no share lies between 93 and 97 per cent
    assert re.fullmatch(r"\| 10 \| percentile bootstrap \| \*\*[0-9.]+\*\* \|", plain[3])


@pytest.mark.parametrize(
    ("n", "percent", "cell"), [(10, 97.2, "**97.2**"), (50, 92.9, "**92.9**"), (10, 96.96, "97.0")]
)
def test_the_aim_has_two_ends(n, percent, cell):
    assert simulation._cell(n, percent) == cell


def test_the_truth_is_that_of_the_population():
    truths = simulation._truths("normal")
    assert truths["mean"] == pytest.approx(0, abs=0.002)
    assert truths["interquartile mean"] == pytest.approx(0, abs=0.002)
    assert truths["mean over 3 datasets"] == pytest.approx(21, abs=0.002)
    assert truths["probability of improvement"] == pytest.approx(norm.cdf(1 / 2**0.5), abs=0.002)
    # a new run of either method has a seed of its own
    correlated = truths["probability of improvement, seeds that correlate"]
    assert correlated == pytest.approx(norm.cdf(1 / (2 + 2 * 1.5**2) ** 0.5), abs=0.002)
    assert simulation._truths("bad seeds")["mean"] == pytest.approx(-0.5, abs=0.002)
    assert simulation._truths("bad seeds")["interquartile mean"] > -0.25


@pytest.mark.slow
@pytest.mark.parametrize(("population", "n"), [("normal", 3), ("skewed", 7), ("heavy tails", 10)])
def test_the_docs_say_what_the_simulation_gives(population, n):
    found = coverage(population, n)
    docs = documented()
    for quantity, (percent, _) in found.items():
        # other processors may round a bound to the other side of the truth
        assert docs[quantity, population, n] == pytest.approx(percent, abs=0.051 + 100 / SWEEPS), quantity
    for alarm, percent in false_alarms(population, n).items():
        assert docs[f"false alarms: {alarm}", population, n] == pytest.approx(percent, abs=0.051 + 100 / SWEEPS)


def test_every_population_has_the_shape_it_is_named_for():
    drawn = {name: draw(np.random.default_rng(0), (2, 20_000)) for name, draw in POPULATIONS.items()}
    skewness = {name: float(np.mean(((x - x.mean()) / x.std()) ** 3)) for name, x in drawn.items()}
    assert skewness["normal"] == pytest.approx(0, abs=0.1)
    assert skewness["skewed"] == pytest.approx(1, abs=0.15)
    assert skewness["very skewed"] == pytest.approx(1.75, abs=0.3)
    assert skewness["bad seeds"] < -1
    assert np.mean(np.abs(drawn["heavy tails"]) > 5) > 0.005 > np.mean(np.abs(drawn["normal"]) > 5)
    assert np.mean(drawn["bad seeds"] < -3.5) == pytest.approx(0.1, abs=0.02)
