"""Views of one sweep agree: the same methods in the same order, the same means to the printed digit, the same winner,
the same words on who is left out. The sweep is one in which all goes wrong that can."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.ablation_sweeps import digits_plan, make, step_size_score
from helpers.nasty_sweep import BASELINE_SCORE, LEFT_OUT, PERPLEXITY, SCORES, WITHOUT_VALUE, nasty_sweep
from helpers.report_page import page_of, words
from helpers.synthetic_sweep import VALIDATION
from rich.console import Console

import bench.figures
import bench.pages
from bench import records, stats, tables
from bench.metrics.catalogue import METRICS
from bench.records import methods
from bench.records.sweep import Comparison
from bench.tables import diff
from bench.text import number

BASELINE = "baseline:mean"
SHOWN = {METRICS[name].title: name for name in ("ssim", "perplexity")}
EXPECTED = {
    "ssim": {name: number(float(np.mean(scores)), 3) for name, scores in SCORES.items()},
    "perplexity": {name: number(value, 1) for name, value in PERPLEXITY.items()},
}
ON_VALIDATION = {"ssim": {name: number(float(np.mean(scores)) + VALIDATION, 3) for name, scores in SCORES.items()}}


@dataclass
class View:
    """What a view printed; what it has no place for is empty."""

    means: dict[str, dict[str, str]]
    """By metric and method, as printed."""
    methods: Sequence[str] = ()
    """In the order of the view, best first."""
    winner: str = ""
    left_out: str = ""
    """All its words."""
    diverged: dict[str, int] = field(default_factory=dict)
    validation: bool = False
    """Whether it shows validation images, as curves do."""


def plain(text: str) -> str:
    """A number as a page or figure writes it."""
    return re.sub(r"[\s\N{NARROW NO-BREAK SPACE}]", "", text).replace("\N{MINUS SIGN}", "-")


def of_table(head: list[str], rows: list[list[str]], left_out: str, bold: Callable[[str], bool]) -> View:
    """From headings and rows of text, names in the first column."""
    metric_of = {i: SHOWN[title] for i, text in enumerate(head) if (title := text.split(" [")[0].strip(" ↑↓")) in SHOWN}
    means: dict[str, dict[str, str]] = {metric: {} for metric in metric_of.values()}
    winners = []
    for row in rows:
        for place, metric in metric_of.items():
            found = re.search(r"\d[\d.]*", row[place])
            if found:
                means[metric][row[0]] = found.group()
            if metric == "ssim" and bold(row[place]):
                winners.append(row[0])
    (winner,) = winners
    return View(means, [row[0] for row in rows], winner, left_out)


def terminal(folder: Path) -> View:
    console = Console(width=400)
    with console.capture() as captured:
        console.print(tables.terminal(records.read(folder)))
    lines = captured.get().splitlines()
    (rule,) = [place for place, line in enumerate(lines) if set(line.strip()) == {"─"}]
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    end = next(place for place in range(rule, len(lines)) if not lines[place].strip())
    rows = [[row[0].removesuffix(", factorised").removesuffix(", causal"), *row[1:]] for row in cells[rule + 1 : end]]
    return of_table(cells[rule - 1], rows, " ".join(lines[end:]), lambda cell: "★" in cell)


def markdown(folder: Path) -> View:
    title, _, *lines = tables.write(records.read(folder)).splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines)
    return of_table(head, rows, title, lambda cell: "**" in cell)


def latex(folder: Path) -> View:
    text = tables.write(records.read(folder), form="latex")
    text = re.sub(r"\$\\(?:up|down)arrow\$", "", text).replace("\\_", "_").replace("\\%", "%")
    head, *rows = ([cell.strip() for cell in line.split(" & ")] for line in text.splitlines() if " & " in line)
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    return of_table(head, rows, caption, lambda cell: "textbf" in cell)


def comma_separated(folder: Path) -> View:
    table = pd.read_csv(io.StringIO(tables.write(records.read(folder), form="csv")))
    means: dict[str, dict[str, str]] = {}
    for row in table.dropna(subset="estimate").to_dict("records"):
        text = number(row["estimate"], METRICS[row["metric"]].places or 0)
        means.setdefault(row["metric"], {})[row["estimator"]] = text
    ssim = table[table["metric"] == "ssim"]
    (winner,) = ssim["estimator"][ssim["marked"]]
    diverged = dict(zip(ssim["estimator"], ssim["diverged"], strict=True))
    return View(means, list(dict.fromkeys(table["estimator"])), winner, diverged=diverged)


def page(folder: Path) -> View:
    found = page_of(folder)
    head = [next((title for title in SHOWN if text.startswith(title)), "") for text in found.headings()]
    rows = []
    for name, cells in found.verdict().items():
        own = [plain("".join([cell.text or "", *(child.tail or "" for child in cell)])) for cell in cells]
        marks = ["best" in cell.get("class", "").split() for cell in cells]
        best = [f"{text} best" if mark else text for text, mark in zip(own, marks, strict=True)]
        rows.append([name.rpartition(", ")[0], *best[1:]])
    return of_table(head, rows, words(found.root), lambda cell: cell.endswith(" best"))


def drawn(folder: Path, name: str, theme: str):
    (found,) = [one for one in bench.figures.drawings(records.read(folder), theme) if one.name == name]
    return found


def named(label: str) -> str:
    """The method that a figure's label is of."""
    return re.sub(r" (†|\(\d+/\d+ diverged\))$", "", label).replace(", ", " · ")


def final(theme: str) -> Callable[[Path], View]:
    def view(folder: Path) -> View:
        figure = drawn(folder, "final", theme)
        names = [named(label.get_text()) for label in figure.figure.axes[0].get_yticklabels()]
        (ax,) = [ax for ax in figure.figure.axes if ax.get_xlabel().startswith("SSIM")]
        means = {
            names[round(y)]: number(x, 3)
            for dots in ax.collections
            if dots.get_gid() == "mean"
            for x, y in np.asarray(dots.get_offsets())
        }
        return View({"ssim": means}, names, names[0], figure.caption)

    return view


def curves(theme: str) -> Callable[[Path], View]:
    def view(folder: Path) -> View:
        figure = drawn(folder, "curves", theme)
        ax = next(ax for ax in figure.figure.axes if "steps" in ax.get_xlabel())
        lines = {line.get_gid(): np.asarray(line.get_ydata(), float) for line in ax.lines if line.get_gid() in SCORES}
        means = {name: number(values[-1], 3) for name, values in lines.items()}
        return View({"ssim": means}, left_out=figure.caption, validation=True)

    return view


def difference_with_itself(folder: Path) -> View:
    sweep = records.read(folder)
    changes = diff.moved(sweep, sweep)
    assert set(changes["verdict"]) == {"equal"}
    assert not diff.table(changes).rows
    assert diff.settings_changed(sweep, sweep) == []
    assert (changes["before"] == changes["after"]).all()
    return from_statistics(changes.assign(estimate=changes["after"]))


def summary(folder: Path) -> View:
    values = records.read(folder).finals
    table = stats.summary(values)
    view = from_statistics(table[table["statistic"] == "mean"])
    found = stats.lead(values, "ssim", "digits", "quick")
    assert found is not None
    ssim = table[(table["metric"] == "ssim") & (table["statistic"] == "mean")]
    view.diverged = dict(zip(ssim["estimator"], ssim["diverged"], strict=True))
    view.winner = found.winner[0]
    return view


def from_statistics(table: pd.DataFrame) -> View:
    means: dict[str, dict[str, str]] = {}
    for row in table.dropna(subset="estimate").to_dict("records"):
        means.setdefault(row["metric"], {})[row["estimator"]] = number(
            row["estimate"], METRICS[row["metric"]].places or 0
        )
    return View(means)


VIEWS: dict[str, Callable[[Path], View]] = {
    "terminal": terminal,
    "markdown": markdown,
    "latex": latex,
    "csv": comma_separated,
    "page": page,
    "final on screen": final("screen"),
    "final on paper": final("paper"),
    "curves on screen": curves("screen"),
    "curves on paper": curves("paper"),
    "diff": difference_with_itself,
    "summary": summary,
}


def check(view: View) -> None:
    """That it says what was put into the sweep."""
    assert view.means["ssim"].pop(BASELINE, number(BASELINE_SCORE, 3)) == number(BASELINE_SCORE, 3)
    for metric, means in view.means.items():
        expected = ON_VALIDATION if view.validation else EXPECTED
        if metric in expected:
            assert means == expected[metric], metric
    if view.methods:
        valued = [method for method in view.methods if method in SCORES]
        assert valued == list(SCORES)
        assert list(view.methods)[: len(SCORES)] == valued
        assert set(view.methods) - set(SCORES) <= {*WITHOUT_VALUE, BASELINE}
    assert view.winner in ("", next(iter(SCORES)))
    assert not view.left_out or LEFT_OUT in re.sub(r"\s+", " ", view.left_out)
    assert not view.diverged or (view.diverged["daps:k=16"], view.diverged["gumbel_softmax"]) == (1, 2)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return nasty_sweep(tmp_path_factory.mktemp("views") / "sweep")


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_says_what_is_in_the_sweep(sweep, name):
    check(VIEWS[name](sweep))


ORDERED = [name for name in VIEWS if name not in ("diff", "summary", "curves on screen", "curves on paper")]


@pytest.mark.parametrize("name", ORDERED)
def test_a_view_with_an_order_of_its_own_is_found_out(sweep, name, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Comparison, "order", property(lambda self: list(range(len(self.methods)))[::-1]))
        view = VIEWS[name](sweep)
    with pytest.raises(AssertionError):
        check(view)
    check(VIEWS[name](sweep))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_that_counts_diverged_runs_is_found_out(sweep, name, monkeypatch):
    ended = Comparison.ended.func
    with monkeypatch.context() as patch:
        patch.setattr(Comparison, "ended", property(lambda self: ended(self).assign(ended="done")))
        with pytest.raises(AssertionError):
            check(VIEWS[name](sweep))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_that_takes_two_settings_for_one_is_found_out(sweep, name, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(methods, "varying", lambda configs: {})
        patch.setattr(methods, "_without_twins", lambda grouped: grouped)
        with pytest.raises(AssertionError):
            check(VIEWS[name](sweep))


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "diff"])
def test_a_view_of_the_wrong_split_is_found_out(sweep, name, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Comparison, "split", "validation")
        patch.setattr(Comparison, "curve_split", "test")
        # of test images there is one measurement, which makes no curve
        with pytest.raises((AssertionError, ValueError)):
            check(VIEWS[name](sweep))


def test_views_of_an_ablation_call_its_settings_alike_under_every_condition(tmp_path):
    plan = digits_plan("robustness", "step_size=ess,fixed", "lr=1x,3x")
    folder = make(tmp_path / "ablation", plan, step_size_score, seeds=3)
    sweep = records.read(folder)
    assert len(sweep.comparisons) > 1
    expected = {
        (one.under, one.methods[index].name): number(mean, 2)
        for one in sweep.comparisons
        for index, mean in one.means["psnr"].items()
    }
    table = pd.read_csv(io.StringIO(tables.write(sweep, ["psnr"], "csv"))).dropna(subset="estimate")
    table = table[table["estimator"] != BASELINE]
    assert {(row.preset, row.estimator): number(row.estimate, 2) for row in table.itertuples()} == expected
    means = stats.summary(sweep.finals).query("metric == 'psnr' and statistic == 'mean'")
    assert {(row.preset, row.estimator): number(row.estimate, 2) for row in means.itertuples()} == expected
    bench.pages.write(folder)
    settings = pd.read_csv(folder / "settings.csv", dtype={"condition": str}).fillna({"condition": ""})
    places = {one.condition: one.under for one in sweep.comparisons}
    found = {(places[row.condition], row.setting): number(row.psnr, 2) for row in settings.itertuples()}
    assert found == expected
    console = Console(width=300)
    with console.capture() as captured:
        console.print(tables.terminal(sweep))
    lines = captured.get().splitlines()
    for (_, name), mean in expected.items():
        assert any(f" {name} " in line and mean in line for line in lines), name
