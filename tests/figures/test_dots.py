"""Final values: what is drawn is what the table says, whatever the table lacks."""

import numpy as np
import pandas as pd
import pytest
from helpers.figure_sweeps import (
    ESTIMATORS,
    LUCK,
    diverge,
    dots,
    labels,
    lines,
    lonely,
    made,
    one_run,
    panel,
    row_names,
    sheet_of,
    t_interval,
    usual,
    values_at,
)
from helpers.synthetic_sweep import add_run, new_sweep
from matplotlib.colors import same_color

from bench import records
from bench.figures.dots import codebook, final
from bench.figures.themes import PAPER, THEMES
from bench.metrics.catalogue import METRICS, Metric
from bench.tables.model import model


@pytest.fixture(scope="module")
def on_screen(frame):
    return made(final, sheet_of(frame, "screen"))


@pytest.fixture(scope="module")
def in_print(sweep):
    return made(final, sheet_of(sweep))


@pytest.mark.parametrize("metric", ["psnr", "ssim", "elbo", "lpips", "rfid"])
def test_final_shows_each_seed_once_and_the_mean_of_seeds(frame, on_screen, metric):
    ax = panel(on_screen.figure, METRICS[metric].title)
    expected = values_at(frame, metric, 400)
    assert sorted(dots(ax, "seeds")[:, 0]) == pytest.approx(sorted(expected["value"]))
    means = expected.groupby(["estimator", "posterior"])["value"].mean()
    assert sorted(dots(ax, "mean")[:, 0]) == pytest.approx(sorted(means))
    assert ("↓" in ax.get_xlabel()) == (metric in ("lpips", "rfid"))


def test_a_mean_lies_in_the_row_of_its_estimator_and_tells_the_posterior_by_its_fill(frame, on_screen):
    ax = panel(on_screen.figure, "PSNR")
    means = values_at(frame, "psnr", 400).groupby(["estimator", "posterior"])["value"].mean()
    rows = row_names(ax)
    assert set(rows) == set(ESTIMATORS)
    seen = set()
    for collection in (c for c in ax.collections if c.get_gid() == "mean"):
        x, y = collection.get_offsets()[0]
        causal = same_color(collection.get_facecolor()[0][:3], "white")
        key = rows[round(float(y))], "causal" if causal else "factorised"
        assert x == pytest.approx(means[key])
        seen.add(key)
    assert seen == set(means.index)


def test_the_mean_image_is_a_line_in_the_panels_that_have_it(on_screen):
    def at(words):
        return [line.get_xdata()[0] for line in lines(panel(on_screen.figure, words), "reference")]

    assert (at("PSNR"), at("rFID"), at("ELBO")) == ([9.5], [200], [])
    assert "mean training image" in labels(on_screen.figure)


def test_metrics_that_were_not_measured_have_no_panel(frame):
    some = sheet_of(frame[~frame["metric"].isin(["lpips", "rfid", "perplexity"])], "screen")
    assert [ax.get_xlabel() for ax in made(final, some).figure.axes] == ["PSNR [dB] ↑", "SSIM ↑", "ELBO [nats] ↑"]
    assert not any("perplexity" in ax.get_xlabel() for ax in made(codebook, some).figure.axes)


@pytest.mark.parametrize("listed", [{"rank": 9}, {"column": True}])
def test_a_metric_that_is_added_to_the_catalogue_is_drawn(tmp_path, monkeypatch, listed):
    monkeypatch.setitem(METRICS, "wit", Metric("wit", "Wit", "smiles", "higher", "image", "of a picture", **listed))
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", metrics={"wit": 3.0})
    for theme in THEMES:
        drawing = made(final, sheet_of(folder, theme))
        assert dots(panel(drawing.figure, "Wit [smiles] ↑"), "mean")[:, 0] == [3.0]
        assert "Wit (smiles)" in drawing.caption


def test_infinite_values_are_missing_not_an_endless_axis(frame):
    broken = frame.copy()
    of_daps = (broken["estimator"] == "daps") & (broken["metric"] == "psnr") & (broken["seed"] == 0)
    broken.loc[of_daps, "value"] = np.inf
    ax = panel(made(final, sheet_of(broken, "screen")).figure, "PSNR")
    assert len(dots(ax, "seeds")) == len(values_at(frame, "psnr", 400)) - 2
    assert np.isfinite(ax.get_xlim()).all()


def test_a_diverged_run_is_no_final_value_and_is_counted(frame):
    lost = (frame["estimator"] == "vq") & (frame["seed"] == 1)
    ax = panel(made(final, sheet_of(diverge(frame, lost, 200), "screen")).figure, "PSNR")
    assert sorted(dots(ax, "seeds")[:, 0]) == pytest.approx(sorted(values_at(frame[~lost], "psnr", 400)["value"]))
    assert "vq (1/3 diverged)" in row_names(ax)


def test_one_seed_is_a_value_and_no_mean(frame):
    alone = sheet_of(frame[(frame["seed"] == 0) & (frame["estimator"] == "daps")], "screen")
    assert "value, factorised" in labels(made(final, alone).figure)
    assert alone.about == "digits, preset quick, 400 steps, 1 seed, 360 test images"


def test_usage_by_position_is_level_with_its_estimator_and_posterior(frame):
    figure = made(codebook, sheet_of(frame, "screen")).figure
    ax, names = panel(figure, "latent position"), row_names(figure.axes[0])
    strips = {image.get_gid(): image for image in ax.images}
    rows = frame[(frame["estimator"] == "reinforce:baseline=none") & (frame["posterior"] == "causal")]
    strip = strips["reinforce:baseline=none, causal"]
    assert strip.get_array().shape == (1, 16)
    for position in (0, 2, 15):  # as numbers: "usage/10" is not the third
        expected = rows["value"][rows["metric"] == f"usage/{position}"].mean()
        assert strip.get_array()[0, position] == pytest.approx(expected)
    bottom, top = strip.get_extent()[2:]
    row = names.index("reinforce:baseline=none")
    assert (top, bottom) == pytest.approx((row + 0.25 - 0.23, row + 0.25 + 0.23))
    assert "vq, causal" not in strips
    alone = names.index("vq")
    assert strips["vq, factorised"].get_extent()[2:] == pytest.approx([alone + 0.46, alone - 0.46])


def test_final_has_the_means_and_intervals_of_the_table(sweep, in_print):
    ax = panel(in_print.figure, "PSNR")
    daps = [19 + luck for luck in LUCK]
    low, high = t_interval(daps)
    ends = np.array([line.get_xdata() for line in lines(ax, "interval")], dtype=float)
    assert np.isclose(ends, (low, high)).all(1).any()
    assert any(np.isclose(dots(ax, "mean")[:, 0], np.mean(daps)))
    mine = [x for x, _ in dots(ax, "seeds") if 18.5 < x < 19.5]
    assert set(np.round(daps, 6)) <= set(np.round(mine, 6))
    cells = model(records.read(sweep).comparisons[0]).cells["psnr"]
    known = [cell for cell in cells.values() if not np.isnan(cell.low)]
    assert sorted(ends[:, 0]) == pytest.approx(sorted(cell.low for cell in known))
    assert sorted(ends[:, 1]) == pytest.approx(sorted(cell.high for cell in known))
    means = [cell.mean for cell in cells.values() if cell.method != "the mean training image"]
    assert sorted(dots(ax, "mean")[:, 0]) == pytest.approx(sorted(means))


@pytest.mark.parametrize("theme", THEMES)
def test_rows_are_level_with_their_estimators_best_first(sweep, theme):
    ax = panel(made(final, sheet_of(sweep, theme)).figure, "PSNR")
    lost = {"paper": "†", "screen": "(1/4 diverged)"}[theme]
    assert row_names(ax) == [f"vq {lost}", "daps:k=16", "gumbel_softmax"]
    rows = {round(x, 3): round(y) for x, y in dots(ax, "mean")}
    assert rows == {round(20 + 0.2 / 3, 3): 0, 19.05: 1, 18.05: 1, 17.95: 2, 15.95: 2}
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_lower_is_better_where_it_is(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for name, rfid in (("daps", 90.0), ("vq", 30.0)):
        add_run(folder, name, psnr=None, metrics={"rfid": rfid})
    assert row_names(panel(made(final, sheet_of(folder)).figure, "rFID ↓")) == ["vq", "daps"]


def test_the_causal_posterior_is_hollow(in_print):
    ax = panel(in_print.figure, "PSNR")
    hollow = {
        round(float(c.get_offsets()[0, 0]), 2)
        for c in ax.collections
        if c.get_gid() == "mean" and same_color(c.get_facecolor()[0][:3], "white")
    }
    assert hollow == {18.05, 15.95}


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed, no intervals"), (2, "mean over 2 seeds, a small dot")])
def test_few_seeds_have_no_intervals_and_the_caption_says_so(tmp_path, seeds, words):
    drawing = made(final, sheet_of(usual(tmp_path / "sweep", seeds=seeds)))
    assert words in drawing.caption
    assert "no intervals, which take 3 seeds" in drawing.caption
    assert not any(lines(ax, "interval") for ax in drawing.figure.axes)
    assert "95 % interval" not in labels(drawing.figure)
    assert bool(len(dots(panel(drawing.figure, "PSNR"), "seeds"))) == (seeds > 1)


def test_captions_say_seeds_images_steps_method_and_what_is_left_out(in_print):
    for words in (
        "digits, preset quick", "after 80 to 100 steps", "mean over 3 to 4 seeds", "360 test images", "PSNR 15",
        "95 % intervals over seeds (Student t)", "SSIM, rFID and ELBO (nats)", "hollow: causal",
        "1 of 4 of vq, factorised",
    ):  # fmt: skip
        assert words in in_print.caption


def test_runs_that_failed_or_are_under_way_are_left_out_and_counted(tmp_path):
    folder = lonely(tmp_path / "sweep")
    add_run(folder, "daps", seed=1, psnr=99.0, state="failed")
    add_run(folder, "fsq", seed=1, psnr=98.0, state="running")
    add_run(folder, "vq", psnr=97.0, state="failed")
    drawing = made(final, sheet_of(folder))
    assert dots(panel(drawing.figure, "PSNR"), "mean")[:, 0].max() == 20
    assert "Left out: 2 failed (" in drawing.caption


def test_an_estimator_that_always_diverged_keeps_its_row_and_has_no_dot(tmp_path):
    folder = lonely(tmp_path / "sweep")
    for seed in range(2):
        add_run(folder, "vq", seed=seed, psnr=30.0, state="diverged")
    drawing = made(final, sheet_of(folder))
    ax = panel(drawing.figure, "PSNR")
    [word] = [text for text in ax.texts if text.get_text() == "diverged"]
    assert row_names(ax)[round(word.get_position()[1])] == "vq †"
    assert len(dots(ax, "mean")) == 2
    assert "2 of 2 of vq" in drawing.caption


def test_what_is_not_defined_is_a_dash_and_explained(in_print, on_screen):
    elbo = panel(in_print.figure, "ELBO")
    assert [(text.get_text(), round(text.get_position()[1])) for text in elbo.texts] == [("–", 0)]
    assert "not defined or not measured" in in_print.caption
    assert [text.get_text() for text in panel(on_screen.figure, "ELBO").texts] == ["–"] * 3


@pytest.mark.parametrize(("value", "within"), [(15.0, True), (-200.0, False)])
def test_the_mean_image_is_a_line_unless_it_would_squeeze_the_rest(tmp_path, value, within):
    drawing = made(final, sheet_of(usual(tmp_path / "sweep", baseline=value)))
    ax = panel(drawing.figure, "PSNR")
    assert [line.get_xdata()[0] for line in lines(ax, "reference")] == [value] * within
    assert ("mean training image" in labels(drawing.figure)) == within
    assert f"PSNR {value:.4g}" in drawing.caption


def test_an_interval_that_would_squeeze_the_rest_is_cut_with_an_arrow(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for seed in range(3):
        add_run(folder, "daps", seed=seed, psnr=20 + 0.1 * seed)
        add_run(folder, "vq", seed=seed, psnr=20 - 8 * (seed == 0))
    drawing = made(final, sheet_of(folder))
    ax = panel(drawing.figure, "PSNR")
    low, high = ax.get_xlim()
    assert sorted(line.get_xdata()[0] for line in lines(ax, "beyond")) == pytest.approx([low, high])
    assert high - low < 25  # of an interval that is 34 dB wide
    assert "arrow head" in drawing.caption


def test_a_metric_that_only_those_have_that_are_not_shown_has_no_panel(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for place in range(60):
        add_run(folder, f"plugin:a={place}", psnr=20.0 - place, metrics={"elbo": -40.0} if place > 55 else {})
    drawing = made(final, sheet_of(folder))
    assert [ax.get_xlabel() for ax in drawing.figure.axes] == ["PSNR [dB] ↑"]
    assert drawing.figure.get_figheight() < 9
    assert "Not shown: the 9 estimators that came last." in drawing.caption


def test_codebook_use_begins_at_nothing(sweep):
    figure = made(codebook, sheet_of(sweep)).figure
    assert [ax.get_xlim()[0] for ax in figure.axes] == [0, 0]
    values = dots(panel(figure, "codes used"), "mean")[:, 0]
    assert sorted(values)[-1] == pytest.approx(np.mean([0.5 + 0.1 * luck for luck in LUCK]))


def test_names_are_text_as_they_were_typed(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    odd = r"mine:a=$\frac{x$,b=x^_%&"
    for name in (odd, "vq"):
        add_run(folder, name, psnr=20.0 + len(name))
    for theme in THEMES:
        figure = made(final, sheet_of(folder, theme)).figure
        assert row_names(figure.axes[0])[0] == odd
        assert not figure.axes[0].get_yticklabels()[0].get_parse_math()


def test_long_names_are_shortened_stay_apart_and_are_spelled_out(crowd):
    sheet = sheet_of(crowd)
    assert len(set(sheet.labels.values())) == 25
    assert max(map(len, sheet.labels.values())) <= PAPER.longest_name + 2
    drawing = made(final, sheet)
    for name in sheet.names:
        assert f"{sheet.labels[name]} is {name}" in drawing.caption


def test_a_run_evaluated_only_before_training_is_drawn():
    alone = sheet_of(pd.DataFrame(one_run("fsq", "factorised", 0, steps=(0,))), "screen")
    assert len(dots(panel(made(final, alone).figure, "PSNR"), "mean")) == 1
    assert made(codebook, alone)
