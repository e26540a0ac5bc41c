"""Figures for a paper: as wide as a column, embedded TrueType, nothing cut off, and what the statistics say."""

import functools
import io
import itertools
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
import pytest
import seaborn
from bench.figures.paper._curves import curves
from bench.figures.paper._dots import final
from bench.figures.paper._draw import FIGURES
from bench.figures.paper._page import RC, Drawn, compact, limits
from bench.figures.paper._pictures import reconstructions
from bench.figures.paper._sheet import SHORTENED, Sheet, shortened, unlike
from bench.figures.paper._tradeoffs import pareto, rate_distortion
from bench.pages._sweep import read
from helpers import ablation_sweeps
from helpers.synthetic_sweep import IMAGES, SIDE, add_run, new_sweep, originals
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from pypdf import PdfReader
from scipy import stats as scipy_stats

from bench import records, tables
from bench.figures import paper
from bench.figures.styles import styles, told_apart

ROOT = Path(__file__).parents[2]
WIDTHS = {"one column": 3.25, "two columns": 6.75}
LUCK = (0.0, 0.3, -0.2, 0.1)
STEPS = (0, 50, 100)


def usual(path: Path, *, seeds: int = 4, baseline: float = 15.0) -> Path:
    """Two estimators with both posteriors, one with its own posterior and rate, and one run of it diverged."""
    sweep = new_sweep(path)
    for seed, luck in enumerate(LUCK[:seeds]):
        shared = {"ssim": 0.8 + 0.01 * luck, "usage": 0.5 + 0.1 * luck, "perplexity": 30 + luck, "rfid": 90 - luck}
        for posterior, lower in (("factorised", 0.0), ("causal", 1.0)):
            mine = {**shared, "elbo": -40 + luck, "bits": 18.0 + lower}
            add_run(sweep, "daps:k=16", posterior, seed, psnr=19 - lower + luck, metrics=mine, decodes_per_image=16)
            add_run(
                sweep, "gumbel_softmax", posterior, seed, psnr=18 - 2 * lower - luck, metrics=mine, steps=(0, 40, 80)
            )
        fixed = {**shared, "bits": 24.0}
        state = "diverged" if seed == 3 else "done"
        add_run(sweep, "vq", "factorised", seed, psnr=20 + 2 * luck, metrics=fixed, state=state)
    add_run(sweep, "baseline:mean", "none", psnr=baseline, steps=[0], positions=0, config={})
    return sweep


def crowded(path: Path) -> Path:
    """25 estimators with long and odd names, both posteriors."""
    sweep = new_sweep(path)
    for place, posterior in itertools.product(range(25), ("factorised", "causal")):
        name = f"plugin_{place}:temperature=0.{place},a_rather_long_argument=true,tau=${place}_%"
        level = 18 + 0.1 * place - (posterior == "causal")
        more = {"elbo": -1e6 - place, "bits": 10 + place / 7, "rfid": 100 - place, "usage": place / 30}
        steps = (0, 50, 100 + place)
        add_run(sweep, name, posterior, psnr=level, metrics=more, decodes_per_image=1 + place, steps=steps)
    return sweep


def lonely(path: Path) -> Path:
    """One seed of two estimators, PSNR alone."""
    sweep = new_sweep(path)
    for name, psnr in (("daps", 20.0), ("fsq", 19.0)):
        add_run(sweep, name, psnr=psnr)
    return sweep


def sheets(sweep: Path) -> list[Sheet]:
    return [Sheet(setting, sweep / "runs") for setting in read(sweep).settings]


@functools.cache
def sheet(sweep: Path) -> Sheet:
    [only] = sheets(sweep)
    return only


@functools.cache
def figure_of(name: str, sweep: Path) -> Drawn | None:
    return FIGURES[name](sheet(sweep))


@pytest.fixture(autouse=True)
def _look():
    with matplotlib.style.context(["default", dict(seaborn.axes_style("ticks")), RC]):
        yield


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return usual(tmp_path_factory.mktemp("paper") / "usual")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    return crowded(tmp_path_factory.mktemp("paper") / "crowd")


@pytest.fixture(scope="module")
def drawn(sweep) -> dict[str, Path]:
    return {path.name: path for path in paper.draw(sweep)}


def made(drawing: Drawn | None) -> Drawn:
    assert drawing is not None
    return drawing


def panel(figure: Figure, words: str):
    [ax] = [ax for ax in figure.axes if words in ax.get_xlabel()]
    return ax


def lines(ax, gid: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == gid]


def dots(ax, gid: str) -> np.ndarray:
    found = [np.ma.filled(c.get_offsets(), np.nan) for c in ax.collections if c.get_gid() == gid]
    return np.concatenate(found) if found else np.zeros((0, 2))


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def objects(path: Path) -> list:
    reader = PdfReader(path)
    found = (reader.get_object(number) for number in range(1, int(reader.trailer["/Size"])))
    return [one for one in found if hasattr(one, "get")]


def test_every_figure_is_a_pdf_and_a_png_and_has_a_caption(drawn):
    names = {f"{name}.{kind}" for name in FIGURES for kind in ("pdf", "png")}
    assert set(drawn) == {*names, "captions.txt"}
    captions = drawn["captions.txt"].read_text()
    assert re.findall(r"^(\w+) \(", captions, re.M) == list(FIGURES)


def test_pages_and_pictures_are_exactly_as_wide_as_the_caption_says(drawn):
    stated = re.findall(r"^(\w+) \((one column|two columns): ([\d.]+) in wide", drawn["captions.txt"].read_text(), re.M)
    assert len(stated) == len(FIGURES)
    for name, columns, width in stated:
        assert float(width) == WIDTHS[columns]
        [page] = PdfReader(drawn[f"{name}.pdf"]).pages
        assert float(page.mediabox.width) == 72 * WIDTHS[columns]
        with Image.open(drawn[f"{name}.png"]) as picture:
            assert picture.width == round(300 * WIDTHS[columns])
    assert {columns for _, columns, _ in stated} == set(WIDTHS)


def test_fonts_are_truetype_and_embedded(drawn):
    for name in FIGURES:
        found = objects(drawn[f"{name}.pdf"])
        fonts = [one for one in found if one.get("/Type") == "/Font"]
        assert fonts, name
        assert {font["/Subtype"] for font in fonts} <= {"/Type0", "/CIDFontType2", "/TrueType"}, name
        described = [font["/FontDescriptor"].get_object() for font in fonts if "/FontDescriptor" in font]
        assert described, name
        assert all("/FontFile2" in one for one in described), name


def test_all_but_the_reconstructions_are_vectors(drawn):
    for name in FIGURES:
        pictures = [one for one in objects(drawn[f"{name}.pdf"]) if one.get("/Subtype") == "/Image"]
        assert bool(pictures) == (name == "reconstructions"), name


def test_text_of_a_pdf_can_be_searched(drawn):
    [page] = PdfReader(drawn["final.pdf"]).pages
    text = page.extract_text()
    assert all(word in text for word in ("gumbel_softmax", "daps:k=16", "PSNR [dB] ↑"))


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_and_no_date(sweep, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.marker": "x", "pdf.fonttype": 3}):
        before = dict(matplotlib.rcParams)
        again = paper.draw(sweep, tmp_path / "again")
        assert dict(matplotlib.rcParams) == before
    assert {path.name for path in again} == set(drawn)
    for path in again:
        assert path.read_bytes() == drawn[path.name].read_bytes(), path.name
        if path.suffix == ".pdf":
            assert not [key for key in PdfReader(path).metadata or {} if "Date" in key]


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(sweep, drawn, tmp_path):
    code = "import sys; from pathlib import Path; from bench.figures import paper; paper.draw(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(sweep), str(tmp_path)]
    subprocess.run(command, env={"PYTHONHASHSEED": "7", "PATH": ""}, cwd=ROOT, check=True)
    for name, path in drawn.items():
        assert (tmp_path / name).read_bytes() == path.read_bytes(), name


def test_drawing_opens_no_figure_in_pyplot(drawn):
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def shown(figure: Figure) -> list[Text]:
    """Texts that are printed: matplotlib keeps ticks past the ends of an axis."""
    figure.draw_without_rendering()
    ticks = {}
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                ticks |= dict.fromkeys((tick.label1, tick.label2), low <= tick.get_loc() <= high)
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text for text in texts if ticks.get(text, True)]


def whole(figure: Figure) -> list[tuple[str, Bbox]]:
    """The texts with their boxes, all within the figure."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown(figure)]
    assert boxes
    for text, box in boxes:
        assert box.x0 >= -0.5, text
        assert box.y0 >= -0.5, text
        assert box.x1 <= figure.bbox.x1 + 0.5, text
        assert box.y1 <= figure.bbox.y1 + 0.5, text
    return boxes


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("make", [usual, crowded, lonely])
def test_no_text_is_cut_off_on_another_or_too_small(name, make, sweep, crowd, tmp_path):
    folder = {usual: sweep, crowded: crowd}.get(make) or make(tmp_path / "sweep")
    found = figure_of(name, folder)
    if found is None:
        assert (make, name) in {(lonely, n) for n in ("rate_distortion", "pareto", "codebook")}
        return
    figure = found.figure
    boxes = whole(figure)
    assert [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)] == []
    assert {text.get_fontsize() for text in shown(figure)} <= {7, 8}
    assert figure.get_figheight() <= 9.0
    for ax in figure.axes:
        assert ax.get_title() == ""
        inside = ax.get_window_extent()
        assert inside.width > 0.8 * figure.dpi, "no room left to draw in"
        assert not any(legend.get_window_extent().overlaps(inside) for legend in figure.legends)


def t_interval(values) -> tuple[float, float]:
    return scipy_stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values))


def test_final_shows_mean_seeds_and_the_interval_of_bench_table(sweep):
    ax = panel(made(figure_of("final", sweep)).figure, "PSNR")
    daps = [19 + luck for luck in LUCK]
    low, high = t_interval(daps)
    ends = np.array([line.get_xdata() for line in lines(ax, "interval")], dtype=float)
    assert np.isclose(ends, (low, high)).all(1).any()
    assert any(np.isclose(dots(ax, "mean")[:, 0], np.mean(daps)))
    mine = [x for x, _ in dots(ax, "seeds") if 18.5 < x < 19.5]
    assert set(np.round(daps, 6)) <= set(np.round(mine, 6))
    table = pd.read_csv(io.StringIO(tables.write(records.read(sweep), ["psnr"], "csv")))
    table = table[table["estimator"] != "baseline:mean"]
    known = table[table["low"].notna()]
    assert sorted(ends[:, 0]) == pytest.approx(sorted(known["low"]))
    assert sorted(ends[:, 1]) == pytest.approx(sorted(known["high"]))
    assert sorted(dots(ax, "mean")[:, 0]) == pytest.approx(sorted(table["estimate"]))


def test_rows_are_level_with_their_estimators_best_first(sweep):
    ax = panel(made(figure_of("final", sweep)).figure, "PSNR")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["vq †", "daps:k=16", "gumbel_softmax"]
    rows = {round(x, 3): round(y) for x, y in dots(ax, "mean")}
    assert rows == {round(20 + 0.2 / 3, 3): 0, 19.05: 1, 18.05: 1, 17.95: 2, 15.95: 2}
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_lower_is_better_where_it_is(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for name, rfid in (("daps", 90.0), ("vq", 30.0)):
        add_run(folder, name, psnr=None, metrics={"rfid": rfid})
    ax = panel(made(final(sheet(folder))).figure, "rFID ↓")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["vq", "daps"]


def test_the_causal_posterior_is_hollow(sweep):
    ax = panel(made(figure_of("final", sweep)).figure, "PSNR")
    hollow = {
        round(float(c.get_offsets()[0, 0]), 2)
        for c in ax.collections
        if c.get_gid() == "mean" and same_color(c.get_facecolor()[0][:3], "white")
    }
    assert hollow == {18.05, 15.95}


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed, no intervals"), (2, "mean over 2 seeds, a small dot")])
def test_few_seeds_have_no_intervals_and_the_captions_say_so(tmp_path, seeds, words):
    page = sheet(usual(tmp_path / "sweep", seeds=seeds))
    figure, caption = made(final(page)).figure, made(final(page)).caption
    assert words in caption
    assert "no intervals, which take 3 seeds" in caption
    assert not any(lines(ax, "interval") for ax in figure.axes)
    assert "95 % interval" not in labels(figure)
    assert bool(len(dots(panel(figure, "PSNR"), "seeds"))) == (seeds > 1)
    curve = made(curves(page))
    assert "no intervals" in curve.caption
    assert all(np.isnan(path.vertices).any() or not len(path.vertices) for path in bands(curve.figure.axes[0]))


def test_captions_say_seeds_images_steps_method_and_what_is_left_out(sweep):
    caption = made(figure_of("final", sweep)).caption
    for words in (
        "digits, preset quick", "after 80 to 100 steps", "mean over 3 to 4 seeds", "360 test images", "PSNR 15",
        "95 % intervals over seeds (Student t)", "SSIM, ELBO (nats) and rFID", "hollow: causal",
        "1 of 4 of vq, factorised",
    ):  # fmt: skip
        assert words in caption


def test_runs_that_failed_or_are_under_way_are_left_out_and_counted(tmp_path):
    folder = lonely(tmp_path / "sweep")
    add_run(folder, "daps", seed=1, psnr=99.0, state="failed")
    add_run(folder, "fsq", seed=1, psnr=98.0, state="running")
    add_run(folder, "vq", psnr=97.0, state="failed")
    drawing = made(final(sheet(folder)))
    assert dots(panel(drawing.figure, "PSNR"), "mean")[:, 0].max() == 20
    assert "Runs left out: 2 failed, 1 running." in drawing.caption


def test_an_estimator_that_always_diverged_keeps_its_row_and_has_no_dot(tmp_path):
    folder = lonely(tmp_path / "sweep")
    for seed in range(2):
        add_run(folder, "vq", seed=seed, psnr=30.0, state="diverged")
    drawing = made(final(sheet(folder)))
    ax = panel(drawing.figure, "PSNR")
    [word] = [text for text in ax.texts if text.get_text() == "diverged"]
    assert ax.get_yticklabels()[round(word.get_position()[1])].get_text() == "vq †"
    assert len(dots(ax, "mean")) == 2
    assert "2 of 2 of vq" in drawing.caption


def test_what_is_not_defined_is_a_dash_and_explained(sweep):
    drawing = made(figure_of("final", sweep))
    elbo = panel(drawing.figure, "ELBO")
    assert [(text.get_text(), round(text.get_position()[1])) for text in elbo.texts] == [("–", 0)]
    assert "not defined or not measured" in drawing.caption


@pytest.mark.parametrize(("value", "within"), [(15.0, True), (-200.0, False)])
def test_the_mean_image_is_a_line_unless_it_would_squeeze_the_rest(tmp_path, value, within):
    drawing = made(final(sheet(usual(tmp_path / "sweep", baseline=value))))
    ax = panel(drawing.figure, "PSNR")
    assert [line.get_xdata()[0] for line in lines(ax, "reference")] == [value] * within
    assert ("mean training image" in labels(drawing.figure)) == within
    assert f"PSNR {value:.4g}" in drawing.caption


def test_an_interval_that_would_squeeze_the_rest_is_cut_with_an_arrow(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for seed in range(3):
        add_run(folder, "daps", seed=seed, psnr=20 + 0.1 * seed)
        add_run(folder, "vq", seed=seed, psnr=20 - 8 * (seed == 0))
    drawing = made(final(sheet(folder)))
    ax = panel(drawing.figure, "PSNR")
    low, high = ax.get_xlim()
    assert sorted(line.get_xdata()[0] for line in lines(ax, "beyond")) == pytest.approx([low, high])
    assert high - low < 25  # of an interval that is 34 dB wide
    assert "arrow head" in drawing.caption


def bands(ax) -> list:
    return [path for c in ax.collections if c.get_gid() == "interval" for path in c.get_paths()]


def test_curves_are_means_in_bands_of_intervals_against_three_costs(sweep):
    figure = made(figure_of("curves", sweep)).figure
    assert [ax.get_xlabel() for ax in figure.axes[3:]] == [
        "optimiser steps", "decoder evaluations", "training time [s]",
    ]  # fmt: skip
    factorised = figure.axes[:3]
    for ax, costs in zip(factorised, (STEPS, [32 * 16 * s for s in STEPS], [0.01 * s for s in STEPS]), strict=True):
        [line] = lines(ax, "daps:k=16")
        assert line.get_xdata() == pytest.approx(costs)
        assert line.get_ydata() == pytest.approx([17.05, 18.05, 19.05])
    low, high = t_interval([19 + luck for luck in LUCK])
    ends = [path.vertices[path.vertices[:, 0] == 100][:, 1] for path in bands(factorised[0])]
    assert any(np.isclose(y.min(), low) and np.isclose(y.max(), high) for y in ends if len(y))


def test_no_cost_is_not_drawn_where_an_axis_is_logarithmic(sweep):
    _, decodes, seconds = made(figure_of("curves", sweep)).figure.axes[:3]
    assert (decodes.get_xscale(), seconds.get_xscale()) == ("log", "linear")
    assert not np.isfinite(decodes.transData.transform((0.0, 18.0))).all()


def test_curves_need_two_evaluations(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", steps=[0, 100])
    assert curves(sheet(folder)) is None


def test_past_twelve_estimators_the_rest_is_grey_and_counted(crowd):
    page = sheet(crowd)
    drawing = made(figure_of("curves", crowd))
    ax = drawing.figure.axes[0]
    followed = [line for line in ax.lines if line.get_gid() in page.names]
    assert [line.get_gid() for line in reversed(followed)] == page.names[:12]
    assert page.names[0].startswith("plugin_24")
    assert len({line.get_marker() for line in followed}) == 12
    assert len({to_rgb(line.get_color()) for line in followed}) == 12
    assert "13 others" in labels(drawing.figure)
    assert "the 13 estimators after the best 12" in drawing.caption
    for name in ("rate_distortion", "pareto"):
        found = labels(made(figure_of(name, crowd)).figure)
        assert "13 others" in found
        assert len(found) == 12 + 1 + 2 + (name == "pareto")


def test_one_rate_or_one_time_makes_no_figure(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for name, psnr in (("vq", 20.0), ("fsq", 19.0)):
        add_run(folder, name, psnr=psnr, metrics={"bits": 24.0})
    assert rate_distortion(sheet(folder)) is None
    assert pareto(sheet(folder)) is None
    assert rate_distortion(sheet(lonely(tmp_path / "no rates"))) is None


def test_rate_distortion_joins_the_settings_of_an_estimator_that_none_beats(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for vocab, bits, psnr in ((16, 10.0, 18.0), (64, 20.0, 19.0), (128, 25.0, 18.5), (256, 30.0, 21.0)):
        for seed in range(3):
            config = {"vocab": vocab}
            add_run(folder, "daps", seed=seed, psnr=psnr + 0.1 * seed, metrics={"bits": bits}, config=config)
    drawing = made(rate_distortion(sheet(folder)))
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
    drawing = made(pareto(sheet(folder)))
    [ax] = drawing.figure.axes
    [front] = lines(ax, "front")
    assert list(front.get_xdata()[:3]) == pytest.approx([1, 3, 10])
    assert list(front.get_ydata()) == pytest.approx([18.1, 20.1, 21.1, 21.1])
    assert ax.get_xscale() == "log"
    assert "Pareto front" in labels(drawing.figure)
    assert "cpu" in drawing.caption


def test_codebook_use_begins_at_nothing(sweep):
    figure = made(figure_of("codebook", sweep)).figure
    assert [ax.get_xlim()[0] for ax in figure.axes] == [0, 0]
    values = dots(panel(figure, "codes used"), "mean")[:, 0]
    assert sorted(values)[-1] == pytest.approx(np.mean([0.5 + 0.1 * luck for luck in LUCK]))


def test_reconstructions_are_enlarged_pixels_of_the_lowest_seed_best_first(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    pictures = originals()
    for name, psnr, error in (("daps", 20.0, 40), ("vq", 22.0, 80)):
        for seed in (1, 0):
            add_run(folder, name, seed=seed, psnr=psnr, samples=pictures, error=error + seed)
    drawing = made(reconstructions(sheet(folder)))
    [ax] = drawing.figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["original", "vq", "daps"]
    [image] = ax.images
    mosaic = np.asarray(image.get_array()).astype(int)
    assert mosaic.shape == (3 * (SIDE + 1), IMAGES * (SIDE + 1), 3)
    cells = mosaic.reshape(3, SIDE + 1, IMAGES, SIDE + 1, 3)[:, :SIDE, :, :SIDE].swapaxes(1, 2)
    assert (cells[0] == pictures).all()
    assert (abs(cells[1:] - pictures)[..., 0] == np.array([80, 40])[:, None, None, None]).all()
    assert image.get_interpolation() == "nearest"
    box, (width, height) = ax.get_window_extent(), drawing.figure.get_size_inches()
    assert box.width / box.height == pytest.approx(IMAGES / 3)
    assert (width, box.height / drawing.figure.dpi) == pytest.approx((6.75, height))


def test_wide_images_are_fewer_and_smaller_never_squeezed(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    wide = originals(SIDE, 30 * SIDE)
    shape = {"dataset": {"shape": [1, SIDE, 30 * SIDE]}}
    add_run(folder, "daps", samples=wide, provenance=shape)
    add_run(folder, "vq:with=a_rather_long_argument", samples=wide, provenance=shape)
    figure = made(reconstructions(sheet(folder))).figure
    [ax] = figure.axes
    whole(figure)
    box = ax.get_window_extent()
    assert ax.images[0].get_array().shape[1] == 30 * SIDE + 1
    assert box.width / box.height == pytest.approx(30 / 3)


def test_each_dataset_has_figures_of_its_own_even_if_their_names_look_alike(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for psnr, dataset in enumerate(("folder:/my $data/x%", "folder:/my $data/x&", "digits")):
        add_run(folder, "vq", psnr=20.0 + psnr, dataset=dataset)
    names = [path.name for path in paper.draw(folder) if path.name.startswith("final") and path.suffix == ".pdf"]
    assert names == [
        "final_digits-quick.pdf", "final_folder-my-data-x--quick.pdf", "final_folder-my-data-x--quick-2.pdf",
    ]  # fmt: skip
    captions = (folder / "figures" / "paper" / "captions.txt").read_text()
    assert captions.index("folder:/my $data/x%") < captions.index("folder:/my $data/x&")
    assert [len(page.names) for page in sheets(folder)] == [1, 1, 1]


def test_names_are_text_as_they_were_typed(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    odd = r"mine:a=$\frac{x$,b=x^_%&"
    for name in (odd, "vq"):
        add_run(folder, name, psnr=20.0 + len(name))
    drawing = made(final(sheet(folder)))
    assert drawing.figure.axes[0].get_yticklabels()[0].get_text() == odd
    paper.draw(folder)
    [page] = PdfReader(folder / "figures" / "paper" / "final.pdf").pages
    assert odd in page.extract_text()


def test_long_names_are_shortened_stay_apart_and_are_spelled_out(crowd):
    page = sheet(crowd)
    assert len(set(page.labels.values())) == 25
    assert max(map(len, page.labels.values())) <= SHORTENED + 2
    drawing = made(figure_of("final", crowd))
    for name in page.names:
        assert f"{page.labels[name]} is {name}" in drawing.caption
    assert shortened("x" * 44) == "x" * 44
    assert len(shortened("x" * 45)) == 44
    assert unlike(["a", "b", "a", "a"]) == ["a", "b", "a-2", "a-3"]


def test_settings_of_one_estimator_are_told_apart_by_what_differs(tmp_path):
    plan = ablation_sweeps.digits_plan("mine", "lr=1e-3,1e-2", estimators=["daps", "vq:codebook=ema"])
    folder = ablation_sweeps.make(tmp_path / "mine", plan, lambda config: 18 + 100 * config.lr)
    page = sheet(folder)
    ax = panel(made(final(page)).figure, "PSNR")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(names[:2]) == ["daps, lr=0.01", "vq:codebook=ema, lr=0.01"]
    assert sorted(names[2:]) == ["daps, lr=0.001", "vq:codebook=ema, lr=0.001"]
    assert set(labels(made(pareto(page)).figure)) == {"daps", "vq:codebook=ema", "Pareto front"}
    assert "those of one estimator look alike" in made(pareto(page)).caption


def test_a_plugin_with_a_metric_of_its_own_and_no_quality_is_left_out(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", psnr=None, metrics={"wit": 3.0})
    assert paper.draw(folder) == []


def test_markers_differ_while_there_are_markers_left():
    names = [f"plugin_{place}:a=1" for place in range(6)] + ["daps", "vq", "fsq", "reinforce"]
    found = told_apart({f"{name}, seen": name for name in names})
    assert len({style.marker for style in found.values()}) == len(names)
    assert found["daps, seen"] == styles(["daps"])["daps"]
    many = {f"p{place}": f"p{place}" for place in range(40)}
    assert len({style.marker for style in list(told_apart(many).values())[:12]}) == 12


def test_limits_show_all_points_and_as_much_of_the_rest_as_leaves_room():
    low, high = limits([1.0, 2.0], [0.9, 1.95], [1.1, 2.05])
    assert (low, high) == pytest.approx((0.9 - 0.06 * 1.15, 2.05 + 0.06 * 1.15))
    low, high = limits([1.0, 2.0], [-50.0], [50.0])
    assert (low, high) == pytest.approx((0.5 - 0.12, 2.5 + 0.12))
    assert limits([1.0, 2.0], reference=4.0)[1] > 4 > limits([1.0, 2.0], reference=5.5)[1]
    low, high = limits([20.0, np.nan])
    assert low < 20 < high


def test_numbers_of_an_axis_are_short():
    values = (0.5, 40, 9000, -12000, 250000, 3e6, 2e9)
    assert [compact(value) for value in values] == ["0.5", "40", "9000", "−12k", "250k", "3M", "2G"]


def test_the_command_writes_them_beside_the_others(bench, tmp_path):
    lonely(tmp_path / "sweep")
    code, out, err = bench("plot", "sweep", "--style", "paper")
    assert (code, err) == (0, "")
    listed = [Path(line.strip()) for line in out.splitlines()]
    assert all(path.is_file() and path.parent == Path("sweep/figures/paper") for path in listed)
    assert Path("sweep/figures/paper/final.pdf") in listed
    assert not list(Path("sweep/figures").glob("*.png"))
    code, out, _ = bench("plot", "sweep")
    assert code == 0
    assert Path("sweep/figures/final.png").is_file()
    assert "sweep/figures/final.png" in out


def test_a_sweep_without_a_finished_run_says_so(bench, tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for seed in range(2):
        add_run(folder, "daps", seed=seed, state="failed")
        add_run(folder, "vq", seed=seed, state="diverged")
    code, out, err = bench("plot", "sweep", "--style", "paper")
    assert (code, out) == (bench("plot", "sweep")[0], "")
    assert "no run in sweep has finished" in err
    assert "bench status sweep" in err
    assert not (folder / "figures" / "paper").exists()


def test_mistakes_are_one_line(bench, tmp_path):
    code, _, err = bench("plot", "nowhere", "--style", "paper")
    assert code == 2
    assert "is not a sweep" in err
    folder = lonely(tmp_path / "sweep")
    (folder / "figures").write_text("in the way")
    code, _, err = bench("plot", "sweep", "--style", "paper")
    assert code == 2
    assert "sweep/figures/paper cannot be written" in err
    assert bench("plot", "sweep", "--style", "poster")[0] == 2


def test_help_draws_nothing():
    code = (
        "import sys, bench.cli, bench.figures.paper; sys.exit(any(m in sys.modules for m in ('matplotlib', 'seaborn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
