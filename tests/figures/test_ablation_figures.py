"""Figures of ablations, from runs whose results are known."""

import math
from pathlib import Path

import numpy as np
import pytest
from helpers.ablation_sweeps import add_run, config_of, digits_plan, make, step_size_score
from helpers.figure_sweeps import dots, labels, lines, panel, row_names
from PIL import Image

from bench import figures
from bench.figures import FIGURES
from bench.figures.axes import knob_axis
from bench.figures.sheet import ConditionSheet, Drawing
from bench.figures.themes import PAPER, THEMES
from bench.records.study import Study, read_study
from bench.sweeps.plan import Variant

OF_STUDIES = [kind for kind in FIGURES if kind.of == "study"]


def drawn(study: Study, name: str, theme: str = "screen") -> Drawing:
    sheets = [ConditionSheet(one, THEMES[theme], study.path / "runs", study) for one in study.conditions]
    [kind] = [kind for kind in OF_STUDIES if kind.name == name]
    with THEMES[theme].applied():
        drawing = kind.build(sheets)
    assert drawing is not None
    return drawing


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory) -> Study:
    """The step-size ablation of 35 settings."""
    folder = tmp_path_factory.mktemp("a") / "ablate-step_size"
    return read_study(make(folder, digits_plan("step_size"), step_size_score, noise=0.001))


@pytest.fixture(scope="module")
def conditions(tmp_path_factory) -> Study:
    plan = digits_plan("robustness", "step_size=greedy,vmpo")
    folder = tmp_path_factory.mktemp("a") / "robustness"
    return read_study(make(folder, plan, lambda c: 17.0 - 5 * ("greedy" in c.estimator) - c.lr, noise=0.0))


@pytest.mark.parametrize("theme", THEMES)
def test_what_there_is_data_for_is_written_and_has_a_caption(two_seeds, conditions, tmp_path, theme):
    names = ["knobs", "sensitivity", "training", "training_by_knob", "settings"]
    paths = figures.draw(two_seeds, tmp_path, theme)
    assert [path.stem for path in paths if path.suffix == ".png"] == names
    for path in (path for path in paths if path.suffix == ".png"):
        with Image.open(path) as picture:
            assert picture.info["dpi"][0] == pytest.approx(THEMES[theme].dpi, abs=1)
            assert picture.width > 800
    if theme == "paper":
        captions = (tmp_path / "captions.txt").read_text()
        assert all(f"\n{name} (" in captions for name in names)
    # of the other ablation, into the same folder
    again = [path.stem for path in figures.draw(conditions, tmp_path, theme) if path.suffix == ".png"]
    assert again == ["knobs", "sensitivity", "conditions", "training", "training_by_knob"]
    assert not (tmp_path / "settings.png").exists()


def test_the_same_ablation_gives_the_same_bytes(two_seeds, tmp_path):
    first, second = (figures.draw(two_seeds, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    embedded = {one.name: one.png() for one in figures.drawings(two_seeds)}
    assert [embedded[path.stem] for path in first] == [path.read_bytes() for path in first]


def test_against_knobs_are_means_seeds_and_intervals_where_the_table_has_them(tmp_path):
    plan = digits_plan("mine", "eta=1,10,100")
    folder = make(tmp_path / "a", plan, lambda c: 16.0 - math.log10(c.arguments["eta"]), seeds=3, noise=0.1)
    study = read_study(folder)
    drawing = drawn(study, "knobs")
    ax = drawing.figure.axes[0]
    [mean] = lines(ax, "mean")
    assert list(mean.get_xdata()) == [1, 10, 100]
    assert list(mean.get_ydata()) == pytest.approx([study.conditions[0].means["psnr"][i] for i in range(3)])
    seeds = [sorted(line.get_ydata()) for line in lines(ax, "seeds")]
    assert [len(values) for values in seeds] == [3, 3, 3]
    assert [sum(values) / 3 for values in seeds] == pytest.approx(list(mean.get_ydata()))
    points = ConditionSheet(study.conditions[0], PAPER, folder, study).summary(["psnr"])
    intervals = [list(line.get_ydata()) for line in lines(ax, "interval")]
    np.testing.assert_allclose(intervals, points[["low", "high"]].to_numpy(float))
    assert ax.get_xscale() == "log"
    assert "bars are 95 % intervals over seeds (Student t)" in drawing.caption


def test_training_is_drawn_for_the_best_setting_of_every_rule(two_seeds):
    figure = drawn(two_seeds, "training").figure
    for ax in figure.axes[:6]:
        assert [line.get_gid() for line in ax.lines] == two_seeds.families
    eta = figure.axes[1]
    assert eta.get_ylabel() == "η [nats]"
    [greedy] = lines(eta, "greedy")
    assert list(greedy.get_ydata()) == [0, 0, 0, 0]
    assert list(greedy.get_xdata()) == [250, 500, 750, 1000]
    low, high = eta.get_ylim()
    assert low < 0 < high
    assert "ess\n  ess_target=0.5" in labels(figure)
    assert "greedy" in labels(figure)


def test_conditions_are_drawn_as_what_each_setting_loses(conditions):
    ax = drawn(conditions, "conditions").figure.axes[0]
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("5.0") == 7
    assert texts.count("0.0") == 3 * 7
    assert row_names(ax)[-1] == "step_size=greedy"


@pytest.mark.parametrize("theme", THEMES)
def test_a_frontier_is_drawn_where_costs_differ(tmp_path, theme):
    plan = digits_plan("mine", "k=2,4,8,16")
    study = read_study(make(tmp_path / "a", plan, lambda c: 15.0 + c.arguments["k"] % 16, noise=0.0))
    drawing = drawn(study, "frontier", theme)
    ax = drawing.figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("decoder evaluations ↓", "validation PSNR [dB] ↑")
    [front] = lines(ax, "front")
    assert list(front.get_ydata())[:-1] == pytest.approx([17, 19, 23])
    assert list(front.get_xdata())[:-1] == [64_000 * k for k in (2, 4, 8)]
    assert [text.get_text() for text in ax.texts] == ["k=8", "k=4", "k=2"]
    assert "Pareto front" in drawing.caption


def test_all_settings_are_rows_best_first_and_a_failure_is_an_arrow(two_seeds):
    drawing = drawn(two_seeds, "settings")
    ax = panel(drawing.figure, "PSNR")
    condition = two_seeds.conditions[0]
    assert row_names(ax) == [condition.methods[i].name for i in condition.order if not condition.methods[i].is_baseline]
    last = len(two_seeds.settings) - 1
    [arrow] = lines(ax, "beyond")
    assert (arrow.get_xdata()[0], arrow.get_ydata()[0]) == (ax.get_xlim()[0], last)
    assert arrow.get_xdata()[0] > 12
    assert len(dots(ax, "mean")) == last
    assert "a value lies beyond" in drawing.caption


def test_looks_are_of_rules_and_the_same_in_every_figure(two_seeds):
    def colours(name: str) -> dict[str, object]:
        [legend] = drawn(two_seeds, name).figure.legends
        texts = [text.get_text().partition("\n")[0] for text in legend.get_texts()]
        return {
            text: handle.get_color()
            for text, handle in zip(texts, legend.legend_handles, strict=True)
            if text in two_seeds.families
        }

    everyone = colours("settings")
    assert set(everyone) == set(two_seeds.families)
    for name in ("knobs", "training"):
        assert colours(name).items() <= everyone.items()


def test_no_figure_without_what_it_shows(tmp_path):
    plan = digits_plan("mine", "lr=1e-3,1e-2", estimators=["vq"])
    names = [one.name for one in figures.drawings(read_study(make(tmp_path / "a", plan, lambda c: 16 - c.lr)))]
    assert names == ["knobs", "sensitivity", "settings"]


def test_a_condition_that_has_not_finished_is_left_out(tmp_path):
    plan = digits_plan("robustness", "step_size=greedy,vmpo")
    first = {variant.estimator for variant in plan.variants if not variant.overrides}
    plan.variants[:] = [variant for variant in plan.variants if variant.overrides]
    study = read_study(make(tmp_path / "a", plan, lambda c: 17.0 - c.lr))
    for config in (config_of(Variant(name, "factorised", {}), 0) for name in first):
        add_run(tmp_path / "a", config, 16.0, state="failed")
    study = read_study(tmp_path / "a")
    finished = [one.condition for one in study.conditions if one.metric]
    assert 1 < len(finished) < len(study.conditions)
    for theme in THEMES:
        found = {one.name: one.figure for one in figures.drawings(study, theme)}
        assert [ax.get_ylabel().partition("\n")[0] for ax in found["knobs"].axes] == finished
        columns = [label.get_text() for label in found["conditions"].axes[0].get_xticklabels()]
        assert columns == finished


def test_values_of_a_knob_are_written_at_its_axis(tmp_path: Path):
    with PAPER.applied():
        for values, scale in (((2, 4, 8, 16), "log"), ((0.1, 0.2, 0.3), "linear"), ((0.0, 1.0, 100.0), "linear")):
            figure = PAPER.sheet(3.25, 2.0)
            ax = figure.subplots()
            knob_axis(ax, "k", values)
            assert ax.get_xscale() == scale
            assert set(ax.get_xticks()) <= set(values)
