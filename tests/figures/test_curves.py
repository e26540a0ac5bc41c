"""Learning curves: means in their bands, against what they cost."""

import numpy as np
import pandas as pd
import pytest
from helpers.figure_sweeps import (
    LUCK,
    STEPS,
    bands,
    diverge,
    labels,
    lines,
    made,
    one_run,
    sheet_of,
    t_interval,
    usual,
    values_at,
)
from helpers.synthetic_sweep import VALIDATION, add_run, new_sweep
from matplotlib.colors import to_rgb

from bench.figures.curves import curves, curves_elbo
from bench.figures.themes import THEMES


@pytest.fixture(scope="module")
def on_screen(frame):
    return made(curves, sheet_of(frame, "screen"))


@pytest.fixture(scope="module")
def in_print(sweep):
    return made(curves, sheet_of(sweep))


@pytest.mark.parametrize(("column", "against"), [(0, "step"), (1, "decodes"), (2, "seconds")])
def test_curves_are_means_over_seeds(frame, on_screen, column, against):
    ax = on_screen.figure.axes[3 + column]  # causal
    [line] = lines(ax, "daps")
    rows = frame[(frame["estimator"] == "daps") & (frame["posterior"] == "causal") & (frame["metric"] == "psnr")]
    by_step = rows[rows["readout"] == "sample"].groupby("step")
    assert line.get_xdata() == pytest.approx(by_step[against].mean().to_numpy())
    assert line.get_ydata() == pytest.approx(by_step["value"].mean().to_numpy())


@pytest.mark.parametrize("theme", THEMES)
def test_the_band_of_two_seeds_goes_from_the_lowest_to_the_highest_and_the_caption_says_so(frame, theme):
    two = frame[(frame["seed"] < 2) & (frame["estimator"] == "daps") & (frame["posterior"] == "causal")]
    drawing = made(curves, sheet_of(two, theme))
    by_step = two[(two["readout"] == "sample") & (two["metric"] == "psnr")].groupby("step")["value"]
    [band] = bands(drawing.figure.axes[0])
    assert band.vertices[:, 1].min() == pytest.approx(by_step.min().min())
    assert band.vertices[:, 1].max() == pytest.approx(by_step.max().max())
    assert "no intervals, which take 3 seeds: bands go from the lowest seed to the highest" in drawing.caption


def test_bands_of_three_seeds_or_more_are_intervals_against_three_costs(in_print):
    figure = in_print.figure
    assert [ax.get_xlabel() for ax in figure.axes[3:]] == [
        "optimiser steps", "decoder evaluations", "training time [s]",
    ]  # fmt: skip
    factorised = figure.axes[:3]
    for ax, costs in zip(factorised, (STEPS, [32 * 16 * s for s in STEPS], [0.01 * s for s in STEPS]), strict=True):
        [line] = lines(ax, "daps:k=16")
        assert line.get_xdata() == pytest.approx(costs)
        assert line.get_ydata() == pytest.approx([middle + VALIDATION for middle in (17.05, 18.05, 19.05)])
    low, high = t_interval([19 + luck + VALIDATION for luck in LUCK])
    ends = [path.vertices[path.vertices[:, 0] == 100][:, 1] for path in bands(factorised[0])]
    assert any(np.isclose(y.min(), low) and np.isclose(y.max(), high) for y in ends if len(y))
    assert "bands are 95 % intervals over seeds (Student t)" in in_print.caption


def test_one_seed_has_no_band(tmp_path):
    drawing = made(curves, sheet_of(usual(tmp_path / "sweep", seeds=1)))
    assert "one seed, no intervals, which take 3 seeds." in drawing.caption
    for path in bands(drawing.figure.axes[0]):
        by_step = path.vertices[~np.isnan(path.vertices).any(1)]
        assert all(np.ptp(by_step[by_step[:, 0] == step][:, 1]) == 0 for step in set(by_step[:, 0]))


def test_curves_have_a_row_per_posterior_and_the_elbo_a_figure_of_its_own(frame, on_screen):
    words = [ax.get_ylabel() for ax in on_screen.figure.axes if ax.get_ylabel()]
    assert words == ["factorised\ntest PSNR [dB] ↑", "causal\ntest PSNR [dB] ↑"]
    elbo = made(curves_elbo, sheet_of(frame, "screen")).figure
    assert elbo.axes[0].get_ylabel() == "factorised\ntest ELBO [nats] ↑"
    alone = sheet_of(frame[(frame["posterior"] != "causal") & (frame["metric"] != "elbo")], "screen")
    assert len(made(curves, alone).figure.axes) == 3
    assert curves_elbo(alone) is None
    only = sheet_of(frame[frame["metric"] == "elbo"], "screen")
    assert made(curves, only).figure.axes[0].get_ylabel() == "factorised\ntest ELBO [nats] ↑"
    assert curves_elbo(only) is None


def test_untrained_networks_far_off_do_not_flatten_the_curves(frame, on_screen):
    elbo = made(curves_elbo, sheet_of(frame, "screen")).figure.axes[0]
    assert elbo.get_ylim()[0] > -100  # step 0 is below -400
    assert on_screen.figure.axes[0].get_ylim()[0] < values_at(frame, "psnr", 0)["value"].min()


def test_a_run_that_is_evaluated_twice_still_is_a_curve():
    twice = sheet_of(pd.DataFrame(one_run("daps", "factorised", 0, steps=(0, 400))), "screen")
    for build in (curves, curves_elbo):
        [line] = lines(made(build, twice).figure.axes[0], "daps")
        assert list(line.get_xdata()) == [0, 400]


def test_curves_need_two_evaluations(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", steps=[100])
    assert curves(sheet_of(folder)) is None


@pytest.mark.parametrize("theme", THEMES)
def test_a_diverged_run_is_in_no_mean_and_ends_in_a_cross(frame, theme):
    lost = (frame["estimator"] == "vq") & (frame["seed"] == 1)
    drawing = made(curves, sheet_of(diverge(frame, lost, 200), theme))
    factorised = drawing.figure.axes[0]
    [cross] = lines(factorised, "diverged")
    last = values_at(frame[lost], "psnr", 200)["value"].item()
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (200, last)
    [mean] = lines(factorised, "vq")
    before = values_at(frame[~lost & (frame["estimator"] == "vq")], "psnr", 200)["value"].mean()
    assert mean.get_ydata()[2] == pytest.approx(before)
    assert "diverged after this" in labels(drawing.figure)
    assert "ends in a cross" in drawing.caption


def test_no_cost_is_not_drawn_where_an_axis_is_logarithmic(in_print):
    _, decodes, seconds = in_print.figure.axes[:3]
    assert (decodes.get_xscale(), seconds.get_xscale()) == ("log", "linear")
    assert not np.isfinite(decodes.transData.transform((0.0, 18.0))).all()


def test_past_twelve_estimators_the_rest_is_grey_and_counted(crowd):
    sheet = sheet_of(crowd)
    drawing = made(curves, sheet)
    followed = [line for line in drawing.figure.axes[0].lines if line.get_gid() in sheet.names]
    assert [line.get_gid() for line in reversed(followed)] == sheet.names[:12]
    assert sheet.names[0].startswith("plugin_24")
    assert len({line.get_marker() for line in followed}) == 12
    assert len({to_rgb(line.get_color()) for line in followed}) == 12
    assert "13 others" in labels(drawing.figure)
    assert "the 13 estimators after the best 12" in drawing.caption
    everyone = made(curves, sheet_of(crowd, "screen")).figure
    assert not [text for text in labels(everyone) if "others" in text]
