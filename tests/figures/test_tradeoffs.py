"""Quality against rate and cost, and bias of gradients against their variance."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import ablation_sweeps
from helpers.figure_sweeps import dots, labels, lines, lonely, made, panel, printed, row_names, sheet_of
from helpers.synthetic_sweep import add_run, new_sweep
from matplotlib.colors import same_color

from bench import figures, records
from bench.figures.dots import final
from bench.figures.themes import THEMES
from bench.figures.tradeoffs import bias_variance, error_against_decodes, pareto, rate_distortion


def test_one_rate_or_one_time_makes_no_figure(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for name, psnr in (("vq", 20.0), ("fsq", 19.0)):
        add_run(folder, name, psnr=psnr, metrics={"bits": 24.0})
    assert rate_distortion(sheet_of(folder)) is None
    assert pareto(sheet_of(folder)) is None
    assert rate_distortion(sheet_of(lonely(tmp_path / "no rates"))) is None


def test_times_that_differ_no_more_than_between_seeds_make_no_figure(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    # seconds are a hundredth of the steps
    for name, steps in (("vq", (100, 150)), ("fsq", (140, 90))):
        for seed, last in enumerate(steps):
            add_run(folder, name, seed=seed, steps=(0, last))
    assert pareto(sheet_of(folder)) is None


def test_rate_distortion_joins_the_settings_of_an_estimator_that_none_beats(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for vocab, bits, psnr in ((16, 10.0, 18.0), (64, 20.0, 19.0), (128, 25.0, 18.5), (256, 30.0, 21.0)):
        for seed in range(3):
            config = {"vocab": vocab}
            add_run(folder, "daps", seed=seed, psnr=psnr + 0.1 * seed, metrics={"bits": bits}, config=config)
    drawing = made(rate_distortion, sheet_of(folder))
    [ax] = drawing.figure.axes
    [joined] = lines(ax, "joined")
    assert list(joined.get_xdata()) == [10, 20, 30]
    assert joined.get_ydata() == pytest.approx([18.1, 19.1, 21.1])
    points = np.array(sorted(dots(ax, "daps").tolist()))
    assert points == pytest.approx(np.array([[10, 18.1], [20, 19.1], [25, 18.6], [30, 21.1]]))
    assert labels(drawing.figure) == ["daps"]
    assert "Lines join" in drawing.caption


def test_pareto_front_holds_the_methods_that_no_other_beats(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    # seconds are a hundredth of the steps
    for name, psnr, steps in (("a", 18.0, 100), ("b", 20.0, 300), ("c", 19.0, 400), ("d", 21.0, 1000)):
        for seed in range(3):
            add_run(folder, name, seed=seed, psnr=psnr + 0.1 * seed, steps=(0, steps // 2, steps))
    drawing = made(pareto, sheet_of(folder))
    [ax] = drawing.figure.axes
    [front] = lines(ax, "front")
    assert list(front.get_xdata()[:3]) == pytest.approx([1, 3, 10])
    assert list(front.get_ydata()) == pytest.approx([18.1, 20.1, 21.1, 21.1])
    assert ax.get_xscale() == "log"
    assert "Pareto front" in labels(drawing.figure)
    assert "cpu" in drawing.caption


@pytest.mark.parametrize("build", [rate_distortion, pareto])
def test_past_twelve_estimators_the_rest_is_grey_and_counted(crowd, build):
    found = labels(made(build, sheet_of(crowd)).figure)
    assert "13 others" in found
    assert len(found) == 12 + 1 + 2 + (build is pareto)


def test_settings_of_one_estimator_are_told_apart_by_what_differs(tmp_path):
    plan = ablation_sweeps.digits_plan("mine", "lr=1e-3,1e-2", estimators=["daps", "vq:codebook=ema"])
    folder = ablation_sweeps.make(tmp_path / "mine", plan, lambda config: 18 + 100 * config.lr)
    (folder / "ablation.json").unlink()  # settings that differ, and nobody says what for
    sheet = sheet_of(folder)
    names = row_names(panel(made(final, sheet).figure, "PSNR"))
    assert sorted(names[:2]) == ["daps, lr=0.01", "vq:codebook=ema, lr=0.01"]
    assert sorted(names[2:]) == ["daps, lr=0.001", "vq:codebook=ema, lr=0.001"]
    drawing = made(pareto, sheet)
    assert set(labels(drawing.figure)) == {"daps", "vq:codebook=ema", "Pareto front"}
    assert "those of one estimator look alike" in drawing.caption


def gradients(rows: list[tuple[str, int, float, float, float]]) -> pd.DataFrame:
    """Estimator, decodes, squared bias, its error, and variance, at one step."""
    common = {"posterior": "factorised", "dataset": "digits", "preset": "quick", "seed": 0, "device": "cpu", "n": 64}
    cost = {"step": 100, "images": 0, "seconds": np.nan, "split": "test", "readout": ""}
    return pd.DataFrame(
        [
            {**common, **cost, "run": name, "estimator": name, "decodes": decodes, "metric": metric, "value": value}
            for name, decodes, bias, error, variance in rows
            for metric, value in {
                "bias_squared": bias, "bias_error": error, "variance": variance, "mse": max(bias, 0) + variance,
            }.items()
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> pd.DataFrame:
    """Numbers that span less than a decade, and so less than two powers of ten."""
    return gradients(
        [
            ("daps:k=2", 2, 0.3, 0.01, 0.5), ("daps:k=4", 4, 0.2, 0.01, 0.3), ("reinforce", 3, -0.01, 0.02, 0.8),
            ("vimco", 2, 0.25, 0.2, 0.4),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("build", [bias_variance, error_against_decodes])
def test_logarithmic_axes_are_numbered_also_within_a_decade(lab, theme, build):
    figure = made(build, sheet_of(lab, theme)).figure
    texts = printed(figure)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        numbers = {tick.label1 for tick in axis.get_major_ticks()} & set(texts)
        assert len(numbers) > 1, build


def test_a_bias_within_its_error_is_hollow_and_one_below_zero_lies_on_the_axis(lab):
    drawing = made(bias_variance, sheet_of(lab))
    [ax] = drawing.figure.axes
    found = {(line.get_xdata()[0], line.get_ydata()[0]): line for line in ax.lines}
    hollow = {place for place, line in found.items() if same_color(line.get_markerfacecolor(), "white")}
    assert set(found) == {(0.5, 0.3), (0.3, 0.2), (0.8, 1e-4), (0.4, 0.25)}
    assert hollow == {(0.8, 1e-4), (0.4, 0.25)}
    assert labels(drawing.figure) == ["daps:k=2", "daps:k=4", "reinforce", "vimco"]
    assert "2 standard errors" in drawing.caption


def test_the_error_of_an_estimator_is_a_line_over_its_numbers_of_samples(lab):
    drawing = made(error_against_decodes, sheet_of(lab))
    [ax] = drawing.figure.axes
    [daps] = lines(ax, "daps")
    assert list(daps.get_xdata()) == [2, 4]
    assert list(daps.get_ydata()) == pytest.approx([0.8, 0.5])
    assert labels(drawing.figure) == ["daps", "reinforce", "vimco"]


def test_a_sweep_of_gradients_has_these_figures_alone(lab, tmp_path):
    paths = figures.draw(records.of_table(lab), tmp_path)
    assert [path.name for path in paths] == ["bias_variance.png", "error_against_decodes.png"]
    without = lab[~lab["metric"].isin(["bias_squared", "mse"])]
    assert figures.draw(records.of_table(without), tmp_path) == []
    assert list(Path(tmp_path).iterdir()) == []
