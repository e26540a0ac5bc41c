"""Figures: what is drawn is what the table says, whatever the table lacks."""

import colorsys
import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from bench.figures.mosaic import reconstructions
from bench.figures.plots import plot_all
from bench.figures.screen import codebook, curves, final
from bench.figures.view import View
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

from bench.figures.styles import reading_order, styles

ESTIMATORS = (
    "daps",
    "reinforce",
    "reinforce:baseline=critic",
    "reinforce:baseline=ema",
    "reinforce:baseline=none",
    "gumbel_softmax",
    "straight_through",
    "vq",
    "vq:codebook=ema",
    "fsq",
)
QUANTIZERS = ("vq", "vq:codebook=ema", "fsq")


def run_name(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def one_run(estimator, posterior, seed, *, steps=(0, 100, 200, 300, 400), positions=16, preset="quick"):
    """Rows of one run: curves that rise at a rate and to a level of the estimator's own, with noise."""
    rng = np.random.default_rng([seed, *f"{estimator} {posterior}".encode()])
    level = np.random.default_rng([*f"{estimator} {posterior}".encode()]).uniform(0.5, 1)
    pace = 0.02 * (1 + len(estimator) % 4)
    common = {
        "run": run_name(estimator, posterior, seed, preset),
        "estimator": estimator,
        "posterior": posterior,
        "dataset": "digits",
        "preset": preset,
        "seed": seed,
        "device": "cpu",
    }
    rows = []

    def add(step, split, readout, metric, value):
        cost = {"images": 32 * step, "decodes": 256 * step, "seconds": pace * step * (1 + 0.05 * seed)}
        what = {"split": split, "readout": readout, "metric": metric, "value": float(value), "n": 360}
        rows.append(common | {"step": step} | cost | what)

    for step in steps:
        progress = level * (1 - np.exp(-3 * step / max(*steps, 1))) + rng.normal(0, 0.01)
        elbo = np.nan if estimator in QUANTIZERS else -60 + 45 * progress - (400 if step == 0 else 0)
        values = {
            "psnr": 9 + 9 * progress,
            "ssim": 0.9 * progress,
            "lpips": 0.6 - 0.4 * progress,
            "rfid": 220 - 150 * progress,
            "elbo": elbo,
            "usage": 0.2 + 0.7 * progress,
            "perplexity": 4 + 40 * progress,
        }
        for metric, value in values.items():
            add(step, "test", "sample", metric, value)
            # A readout that must not reach a figure: it would be seen at once.
            add(step, "test", "mode", metric, value + 1000)
        add(step, "train", "", "grad_norm", 1.0)
    for position in range(positions):
        add(steps[-1], "test", "sample", f"usage/{position}", level * rng.uniform(0.3, 0.9))
    add(steps[-1], "train", "", "ms_per_step", 12.0)
    return rows


def baseline_rows():
    rows = one_run("baseline:mean", "none", 0, steps=(0,), positions=0)
    fixed = {"psnr": 9.5, "ssim": 0.2, "lpips": 0.55, "rfid": 200.0}
    return [row | {"value": fixed[row["metric"]]} for row in rows if row["metric"] in fixed]


def sweep(estimators=ESTIMATORS, posteriors=("factorised", "causal"), seeds=(0, 1, 2), **kwargs) -> pd.DataFrame:
    rows = baseline_rows()
    for estimator in estimators:
        for posterior in posteriors:
            if posterior == "factorised" or estimator not in QUANTIZERS:
                for seed in seeds:
                    rows += one_run(estimator, posterior, seed, **kwargs)
    return pd.DataFrame(rows)


def diverge(frame: pd.DataFrame, runs: pd.Series, step: int) -> pd.DataFrame:
    """The same table if those runs had met a non-finite loss right after `step`."""
    lost = frame[runs & (frame["step"] <= step)]
    rows = lost.drop_duplicates("run").assign(split="train", readout="", metric="diverged", value=step + 1)
    return pd.concat([frame[~runs], lost, rows])


def save_samples(folder: Path, originals: np.ndarray, again: np.ndarray) -> None:
    folder.mkdir(parents=True)
    strips = [np.concatenate(list(images), axis=1) for images in (originals, again)]
    Image.fromarray(np.concatenate(strips)).save(folder / "samples.png")


def points(ax, gid: str) -> list[float]:
    return sorted(x for line in ax.lines if line.get_gid() == gid for x in line.get_xdata())


def values_at(frame: pd.DataFrame, metric: str, step: int) -> pd.DataFrame:
    """The rows that a figure may show, picked by hand."""
    of_runs = (frame["estimator"] != "baseline:mean") & (frame["readout"] == "sample")
    return frame[of_runs & (frame["metric"] == metric) & (frame["step"] == step)].dropna(subset="value")


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def panel(figure: Figure | None, label: str):
    [ax] = [ax for ax in drawn(figure).axes if label in ax.get_xlabel()]
    return ax


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sweep()


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return (load_digits().images[:24] * 255 / 16).astype(np.uint8)


def test_every_figure_is_written_at_200_dpi_and_shows_something(frame, digits, tmp_path):
    for run in frame["run"].unique():
        save_samples(tmp_path / "runs" / run, digits, digits // 2)
    paths = plot_all(frame, tmp_path / "runs", tmp_path / "new" / "figures")
    names = ["final.png", "curves_steps.png", "curves_seconds.png", "codebook.png", "reconstructions.png"]
    assert [path.relative_to(tmp_path / "new" / "figures").as_posix() for path in paths] == names
    for path in paths:
        with Image.open(path) as picture:
            assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)
            pixels = np.asarray(picture.convert("RGB"))
        assert (pixels != 255).any(-1).mean() > 0.03
        assert len(np.unique(pixels @ np.array([1, 256, 65536]))) > 50


@pytest.mark.parametrize(
    ("metric", "label"),
    [("psnr", "PSNR [dB]"), ("ssim", "SSIM"), ("elbo", "ELBO [nats"), ("lpips", "LPIPS"), ("rfid", "rFID")],
)
def test_final_shows_each_seed_once_and_the_mean_of_seeds(frame, metric, label):
    ax = panel(final(View(frame)), label)
    expected = values_at(frame, metric, 400)
    assert points(ax, "seeds") == pytest.approx(sorted(expected["value"]))
    means = expected.groupby(["estimator", "posterior"])["value"].mean()
    assert points(ax, "mean") == pytest.approx(sorted(means))
    assert ("lower is better" in ax.get_xlabel()) == (metric in ("lpips", "rfid"))


def test_a_mean_lies_in_the_row_of_its_estimator_and_tells_the_posterior_by_its_fill(frame):
    ax = panel(final(View(frame)), "PSNR")
    means = values_at(frame, "psnr", 400).groupby(["estimator", "posterior"])["value"].mean()
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert set(rows) == set(ESTIMATORS)
    seen = set()
    for line in ax.lines:
        if line.get_gid() == "mean":
            estimator = rows[round(float(line.get_ydata()[0]))]
            posterior = "causal" if line.get_markerfacecolor() == "white" else "factorised"
            assert line.get_xdata()[0] == pytest.approx(means[estimator, posterior])
            seen.add((estimator, posterior))
    assert seen == set(means.index)


def test_the_mean_image_is_a_line_in_the_panels_that_have_it(frame):
    def dashed(ax):
        return [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1 and line.get_gid() is None]

    figure = final(View(frame))
    assert dashed(panel(figure, "PSNR")) == [9.5]
    assert dashed(panel(figure, "rFID")) == [200]
    assert dashed(panel(figure, "ELBO")) == []
    assert "mean image" in [text.get_text() for text in panel(figure, "PSNR").texts]


def test_an_elbo_that_quantizers_do_not_have_is_called_not_defined(frame):
    assert [text.get_text() for text in panel(final(View(frame)), "ELBO").texts] == ["not defined"] * 3


def test_metrics_that_were_not_measured_have_no_panel(frame):
    some = frame[~frame["metric"].isin(["lpips", "rfid", "perplexity"])]
    labels = [ax.get_xlabel().split("\n")[0] for ax in drawn(final(View(some))).axes]
    assert labels == ["PSNR [dB]", "SSIM", "ELBO [nats per image]"]
    assert not any("perplexity" in ax.get_xlabel() for ax in drawn(codebook(View(some))).axes)


def test_figures_without_data_are_left_out(frame, tmp_path):
    no_usage = frame[~frame["metric"].str.contains("usage|perplexity")]
    names = [path.name for path in plot_all(no_usage, tmp_path / "runs", tmp_path / "figures")]
    assert names == ["final.png", "curves_steps.png", "curves_seconds.png"]
    trained_only = frame[frame["split"] == "train"]
    assert plot_all(trained_only, tmp_path / "runs", tmp_path / "figures") == []
    assert plot_all(frame[frame["estimator"] == "baseline:mean"], tmp_path / "runs", tmp_path / "figures") == []
    assert plot_all(frame.iloc[:0], tmp_path / "runs", tmp_path / "figures") == []


def test_infinite_values_are_missing_not_an_endless_axis(frame):
    broken = frame.copy()
    of_daps = (broken["estimator"] == "daps") & (broken["metric"] == "psnr") & (broken["seed"] == 0)
    broken.loc[of_daps, "value"] = np.inf
    ax = panel(final(View(broken)), "PSNR")
    assert len(points(ax, "seeds")) == len(values_at(frame, "psnr", 400)) - 2
    assert np.isfinite(ax.get_xlim()).all()


@pytest.mark.parametrize("against", ["step", "seconds"])
def test_curves_are_means_over_seeds_in_a_band_from_lowest_to_highest(frame, against):
    axes = drawn(curves(View(frame), against)).axes
    ax = next(ax for ax in axes if ax.get_title() == "causal posterior")
    [line] = [line for line in ax.lines if line.get_gid() == "daps"]
    rows = frame[(frame["estimator"] == "daps") & (frame["posterior"] == "causal") & (frame["metric"] == "psnr")]
    by_step = rows[rows["readout"] == "sample"].groupby("step")
    assert line.get_xdata() == pytest.approx(by_step[against].mean().to_numpy())
    assert line.get_ydata() == pytest.approx(by_step["value"].mean().to_numpy())
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(by_step["value"].min().min())
    assert band.max() == pytest.approx(by_step["value"].max().max())


def test_curves_have_a_column_per_posterior_and_a_row_per_metric(frame):
    both = drawn(curves(View(frame), "step"))
    assert [ax.get_title() for ax in both.axes if ax.get_title()] == ["factorised posterior", "causal posterior"]
    assert [ax.get_ylabel() for ax in both.axes if ax.get_ylabel()] == [
        "test PSNR [dB]",
        "test ELBO [nats per image]",
    ]
    alone = frame[(frame["posterior"] != "causal") & (frame["metric"] != "elbo")]
    assert len(drawn(curves(View(alone), "step")).axes) == 1


def test_untrained_networks_far_off_do_not_flatten_the_curves(frame):
    figure = drawn(curves(View(frame), "step"))
    [elbo] = [ax for ax in figure.axes if "ELBO" in ax.get_ylabel()]
    [psnr] = [ax for ax in figure.axes if "PSNR" in ax.get_ylabel()]
    assert elbo.get_ylim()[0] > -100  # step 0 is below -400
    assert psnr.get_ylim()[0] < values_at(frame, "psnr", 0)["value"].min()


def test_a_run_that_is_evaluated_twice_still_is_a_curve():
    twice = pd.DataFrame(one_run("daps", "factorised", 0, steps=(0, 400)))
    for ax in drawn(curves(View(twice), "step")).axes:
        [line] = [line for line in ax.lines if line.get_gid() == "daps"]
        assert list(line.get_xdata()) == [0, 400]


def test_a_diverged_run_is_no_final_value_is_counted_and_ends_in_a_cross(frame):
    lost = (frame["estimator"] == "vq") & (frame["seed"] == 1)
    view = View(diverge(frame, lost, 200))
    ax = panel(final(view), "PSNR")
    kept = values_at(frame[~lost], "psnr", 400)
    assert points(ax, "seeds") == pytest.approx(sorted(kept["value"]))
    assert "vq (1/3 diverged)" in [label.get_text() for label in ax.get_yticklabels()]
    factorised = drawn(curves(view, "step")).axes[0]
    [cross] = [line for line in factorised.lines if line.get_gid() == "diverged"]
    last = values_at(frame[lost], "psnr", 200)["value"].item()
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (200, last)
    [mean] = [line for line in factorised.lines if line.get_gid() == "vq"]
    before = values_at(frame[~lost & (frame["estimator"] == "vq")], "psnr", 200)["value"].mean()
    assert mean.get_ydata()[2] == pytest.approx(before)


def test_a_sweep_of_nothing_but_diverged_runs_still_has_its_curves(frame, tmp_path):
    only = diverge(frame, frame["estimator"] != "baseline:mean", 200)
    names = [path.name for path in plot_all(only, tmp_path / "runs", tmp_path)]
    assert names == ["curves_steps.png", "curves_seconds.png"]


def test_a_sweep_that_diverged_before_its_first_step_does_not_fail(frame, tmp_path):
    only = diverge(frame, frame["estimator"] != "baseline:mean", 0)
    assert [path.name for path in plot_all(only, tmp_path / "runs", tmp_path)] == [
        "curves_steps.png",
        "curves_seconds.png",
    ]


def test_one_run_makes_every_figure(digits, tmp_path):
    alone = pd.DataFrame(one_run("daps:k=16", "causal", 7))
    save_samples(tmp_path / "runs" / alone["run"][0], digits[:3], digits[:3])
    assert len(plot_all(alone, tmp_path / "runs", tmp_path)) == 5
    assert View(alone).title == "digits, preset quick, 1 seed, 360 test images"


def test_a_run_evaluated_only_before_training_is_drawn(tmp_path):
    alone = pd.DataFrame(one_run("fsq", "factorised", 0, steps=(0,)))
    assert len(plot_all(alone, tmp_path / "runs", tmp_path)) == 4


def test_usage_by_position_is_level_with_its_estimator_and_posterior(frame):
    view = View(frame)
    [image] = [image for ax in drawn(codebook(view)).axes for image in ax.images if image.axes.get_xlabel()]
    cells = image.get_array()
    assert cells.shape == (2 * len(ESTIMATORS), 16)
    causal_none = 2 * list(view.styles).index("reinforce:baseline=none") + 1
    rows = frame[(frame["estimator"] == "reinforce:baseline=none") & (frame["posterior"] == "causal")]
    for position in (0, 2, 15):  # as numbers: "usage/10" is not the third
        expected = rows["value"][rows["metric"] == f"usage/{position}"].mean()
        assert cells[causal_none, position] == pytest.approx(expected)
    assert cells.mask[2 * list(view.styles).index("vq") + 1].all()


def test_reconstructions_show_the_originals_then_the_lowest_seed_of_each(digits, tmp_path):
    frame = sweep(("vq", "daps"), seeds=(3, 1))
    shades = {("daps", "factorised"): 10, ("daps", "causal"): 20, ("vq", "factorised"): 30}
    for row in frame.drop_duplicates("run").itertuples():
        if row.posterior != "none":
            shade = shades[row.estimator, row.posterior] + 100 * (row.seed == 3)
            save_samples(tmp_path / row.run, digits, np.full_like(digits, shade))
    [ax] = drawn(reconstructions(View(frame), tmp_path)).axes
    labels = ["original", "daps, factorised", "daps, causal", "vq, factorised"]
    assert [label.get_text() for label in ax.get_yticklabels()] == labels
    mosaic = np.asarray(ax.images[0].get_array())
    assert mosaic.shape == (4 * 9, 10 * 9, 3)
    assert (mosaic[:8, 9:17] == digits[1][..., None]).all()
    assert [int(mosaic[9 * row, 0, 0]) for row in (1, 2, 3)] == [10, 20, 30]


def test_a_seed_with_a_torn_or_missing_picture_is_stood_in_for_by_the_next(digits, tmp_path):
    frame = sweep(("daps",), ("factorised",), seeds=(0, 1, 2))
    for seed, run in enumerate(run_name("daps", "factorised", seed, "quick") for seed in range(3)):
        if seed:
            save_samples(tmp_path / run, digits, np.full_like(digits, seed))
        if seed == 1:
            whole = (tmp_path / run / "samples.png").read_bytes()
            (tmp_path / run / "samples.png").write_bytes(whole[: len(whole) // 2])
    [ax] = drawn(reconstructions(View(frame), tmp_path)).axes
    assert ax.images[0].get_array()[9, 0, 0] == 2


def test_reconstructions_of_other_images_are_left_out(digits, tmp_path):
    frame = sweep(("daps", "fsq", "vq"), ("factorised",), seeds=(0,))
    save_samples(tmp_path / run_name("daps", "factorised", 0, "quick"), digits, digits)
    save_samples(tmp_path / run_name("fsq", "factorised", 0, "quick"), digits, digits)
    save_samples(tmp_path / run_name("vq", "factorised", 0, "quick"), digits[::-1], digits)
    [ax] = drawn(reconstructions(View(frame), tmp_path)).axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == 3
    assert len({"daps, factorised", "fsq, factorised", "vq, factorised"} & set(labels)) == 2


def overlapping(texts, figure: Figure) -> list[tuple[str, str]]:
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text() and text.get_visible()]
    return [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)]


def shown_ticks(ax):
    low, high = ax.get_xlim()
    return [tick for tick in ax.get_xticklabels() if low <= tick.get_position()[0] <= high]


@pytest.mark.parametrize("scale", [1, 5000])
def test_no_label_lies_on_another(frame, scale):
    """Also with ELBOs of a million nats, as sums over many pixels give."""
    large = frame.assign(value=frame["value"].where(frame["metric"] != "elbo", frame["value"] * scale))
    figure = drawn(final(View(large)))
    outer = [ax.xaxis.label for ax in figure.axes] + list(figure.texts)
    inner = [text for ax in figure.axes for text in (*shown_ticks(ax), *ax.texts)]
    assert overlapping([*outer, *inner, *figure.axes[0].get_yticklabels()], figure) == []


def test_legends_lie_outside_the_axes(frame):
    for figure in (drawn(final(View(frame))), drawn(curves(View(frame), "step"))):
        figure.draw_without_rendering()
        [legend] = figure.legends
        assert not any(legend.get_window_extent().overlaps(ax.get_window_extent()) for ax in figure.axes)


def test_an_estimator_looks_the_same_in_every_figure_of_every_sweep(frame):
    other = sweep(("fsq", "reinforce:baseline=ema", "brand_new:k=3"), ("factorised",), seeds=(0,))
    grand = pd.concat([frame, pd.DataFrame(one_run("brand_new:k=3", "factorised", 0))])
    small, large = View(other), View(grand)
    for name in ("fsq", "reinforce:baseline=ema", "brand_new:k=3"):
        looks = set()
        for view in (small, large):
            for line in drawn(curves(view, "seconds")).axes[0].lines:
                if line.get_gid() == name:
                    looks.add((line.get_color(), line.get_marker(), line.get_linestyle()))
            ax = panel(final(view), "PSNR")
            row = list(view.styles).index(name)
            dots = [line for line in ax.lines if line.get_gid() == "mean" and round(line.get_ydata()[0]) == row]
            assert {(line.get_color(), line.get_marker()) for line in dots} <= {look[:2] for look in looks}
            assert dots
        assert len(looks) == 1


def test_a_look_does_not_depend_on_the_process():
    code = "from bench.figures.styles import styles; print(styles(['brand_new:k=3', 'daps:k=4']))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert printed == {f"{styles(['daps:k=4', 'brand_new:k=3'])}\n"}


def test_no_two_estimators_of_a_figure_look_alike():
    plugins = [f"plugin_{i}" for i in range(20)] + [f"plugin:temperature=0.{i}" for i in range(10)]
    looks = styles([*ESTIMATORS, *plugins, *(f"daps:k={k}" for k in range(2, 10))])
    assert len({look.colour for look in looks.values()}) == len(looks)
    assert len({(look.marker, look.dash) for look in looks.values()}) == len(looks)


def test_the_shipped_estimators_are_told_apart_in_grey_by_their_markers():
    assert len({look.marker for look in styles(ESTIMATORS).values()}) == len(ESTIMATORS)


def test_variants_share_the_hue_of_their_family():
    names = ["daps", *(f"daps:k={k}" for k in range(2, 10))]
    hues = [colorsys.rgb_to_hls(*look.colour)[0] for look in styles(names).values()]
    assert np.ptp(hues) < 30 / 360


def test_estimators_are_read_by_family_and_by_number():
    names = ["zeta", "daps:k=16", "fsq", "daps:k=4", "alpha", "daps", "reinforce:baseline=ema", "reinforce"]
    assert reading_order(names) == [
        "daps", "daps:k=4", "daps:k=16", "reinforce", "reinforce:baseline=ema", "fsq", "alpha", "zeta",
    ]  # fmt: skip


def test_drawing_leaves_a_notebook_as_it_was_and_takes_nothing_from_it(frame, tmp_path):
    small = frame[frame["estimator"].isin(["daps", "baseline:mean"])]
    plain = [path.read_bytes() for path in plot_all(small, tmp_path / "runs", tmp_path / "plain")]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.marker": "x"}):
        before = dict(matplotlib.rcParams)
        styled = [path.read_bytes() for path in plot_all(small, tmp_path / "runs", tmp_path / "styled")]
        assert dict(matplotlib.rcParams) == before
    assert styled == plain


def test_drawing_opens_no_figure_in_pyplot(frame, tmp_path):
    from matplotlib import pyplot

    plot_all(frame[frame["estimator"] == "daps"], tmp_path / "runs", tmp_path)
    assert pyplot.get_fignums() == []


def test_names_with_dollar_signs_are_text_not_mathematics(frame, tmp_path):
    odd = frame[frame["estimator"] == "daps"].assign(dataset=r"folder:/data/$\frac{x$/a b", estimator="mine:a=$_^$")
    assert len(plot_all(odd, tmp_path / "runs", tmp_path)) == 4


def test_each_dataset_and_preset_gets_figures_of_its_own(frame, tmp_path):
    some = frame[frame["estimator"].isin(["daps", "baseline:mean"])]
    elsewhere = some.assign(dataset="folder:/data/my photos.zip", run="f" * 16, preset="paper")
    paths = plot_all(pd.concat([some, elsewhere]), tmp_path / "runs", tmp_path)
    assert {path.name for path in paths if path.name.startswith("final")} == {
        "final_digits-quick.png",
        "final_folder-data-my-photos.zip-paper.png",
    }
    assert all(path.is_file() for path in paths)
    assert len(set(paths)) == 8


def test_a_table_with_categories_draws_the_same(frame, tmp_path):
    small = frame[frame["estimator"].isin(["daps", "vq"])]
    names = ["run", "estimator", "posterior", "dataset", "preset", "device", "split", "readout", "metric"]
    plain = [path.read_bytes() for path in plot_all(small, tmp_path / "runs", tmp_path / "a")]
    same = plot_all(small.astype(dict.fromkeys(names, "category")), tmp_path / "runs", tmp_path / "b")
    assert [path.read_bytes() for path in same] == plain


@pytest.mark.slow
def test_several_hundred_runs_are_drawn(digits, tmp_path):
    names = [*ESTIMATORS, *(f"plugin_{i}:temperature=0.{i},total_derivative=true" for i in range(30))]
    large = sweep(names, seeds=range(5), steps=tuple(range(0, 2001, 100)))
    assert large["run"].nunique() > 350
    for run in large["run"].unique()[::10]:
        save_samples(tmp_path / "runs" / run, digits, digits)
    assert len(plot_all(large, tmp_path / "runs", tmp_path)) == 5


def test_decimals_are_read_by_size_whatever_order_they_come_in():
    names = ["daps:eta=0.01", "daps:eta=0.03", "daps:eta=0.1", "daps:eta=1", "daps:eta=1.0", "daps:eta=10"]
    for shift in range(len(names)):
        assert reading_order(dict.fromkeys(names[shift:] + names[:shift])) == names
