"""What `draw` leaves: which files, how wide, with which fonts, and always the same bytes."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers.figure_sweeps import (
    ESTIMATORS,
    crowded,
    diverge,
    lonely,
    one_run,
    overlapping,
    printed,
    table_of,
    usual,
    whole,
)
from helpers.synthetic_sweep import IMAGES, add_run, new_sweep, originals, write_samples
from PIL import Image
from pypdf import PdfReader

from bench import figures, records
from bench.figures import FIGURES
from bench.figures.themes import THEMES

ROOT = Path(__file__).parents[2]
WIDTHS = {"one column": 3.25, "two columns": 6.75}
OF_SWEEPS = [kind for kind in FIGURES if kind.of == "comparison"]
IN_PRINT = [kind.name for kind in OF_SWEEPS if "paper" in kind.themes]


@pytest.fixture(scope="module")
def drawn(sweep, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("drawn") / "figures" / "paper"
    return {path.name: path for path in figures.draw(records.read(sweep), folder, "paper")}


def on_screen(frame: pd.DataFrame, out: Path) -> list[str]:
    return [path.name for path in figures.draw(replace(records.of_table(frame), path=out), out)]


def objects(path: Path) -> list:
    reader = PdfReader(path)
    found = (reader.get_object(number) for number in range(1, int(reader.trailer["/Size"])))
    return [one for one in found if hasattr(one, "get")]


def test_on_a_screen_every_figure_is_written_at_200_dpi_and_shows_something(sweep, tmp_path):
    paths = figures.draw(records.read(sweep), tmp_path / "new" / "figures")
    names = [f"{kind.name}.png" for kind in OF_SWEEPS if kind.name != "curves_elbo"]
    assert [path.relative_to(tmp_path / "new" / "figures").as_posix() for path in paths] == names
    for path in paths:
        with Image.open(path) as picture:
            assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)
            pixels = np.asarray(picture.convert("RGB"))
        assert (pixels != 255).any(-1).mean() > 0.03
        assert len(np.unique(pixels @ np.array([1, 256, 65536]))) > 50


def test_figures_without_data_are_left_out(frame, tmp_path):
    no_usage = frame[~frame["metric"].str.contains("usage|perplexity|lpips|rfid")]
    assert on_screen(no_usage, tmp_path) == ["final.png", "curves.png", "curves_elbo.png", "pareto.png"]
    for nothing in (
        frame[frame["split"] == "train"],
        frame[frame["estimator"] == "baseline:mean"],
        frame.iloc[:0],
        diverge(frame, frame["estimator"] != "baseline:mean", 0),
    ):
        assert on_screen(nothing, tmp_path / "nothing") == []
    assert not (tmp_path / "nothing").exists()


def test_a_sweep_of_nothing_but_diverged_runs_still_has_its_curves_on_a_screen(frame, tmp_path):
    only = diverge(frame, frame["estimator"] != "baseline:mean", 200)
    assert on_screen(only, tmp_path) == ["curves.png"]
    assert figures.draw(records.of_table(only), tmp_path / "paper", "paper") == []


def test_one_run_makes_figures(tmp_path):
    alone = pd.DataFrame(one_run("daps:k=16", "causal", 7))
    folder = tmp_path / "runs" / alone["run"][0]
    folder.mkdir(parents=True)
    write_samples(folder, originals()[:3], 10)
    names = ["final", "curves", "curves_elbo", "codebook", "reconstructions"]
    assert on_screen(alone, tmp_path) == [f"{name}.png" for name in names]


def test_a_figure_that_has_no_data_any_more_is_removed_and_nothing_else(frame, tmp_path):
    small = frame[frame["estimator"] == "daps"]
    on_screen(small, tmp_path)
    (tmp_path / "final_by_hand.png").write_bytes(b"mine")
    (tmp_path / "knobs.png").write_bytes(b"of an ablation")
    assert (tmp_path / "codebook.png").is_file()
    on_screen(small[~small["metric"].str.contains("usage|perplexity")], tmp_path)
    assert not (tmp_path / "codebook.png").exists()
    assert (tmp_path / "final.png").is_file()
    assert (tmp_path / "final_by_hand.png").is_file()
    assert (tmp_path / "knobs.png").is_file()


def test_each_dataset_and_preset_gets_figures_of_its_own(frame, tmp_path):
    some = frame[frame["estimator"].isin(["daps", "baseline:mean"])]
    on_screen(some, tmp_path)
    elsewhere = some.assign(dataset="folder:/data/my photos.zip", run="f" + some["run"], preset="paper")
    names = on_screen(pd.concat([some, elsewhere]), tmp_path)
    assert {name for name in names if name.startswith("final")} == {
        "final_digits-quick.png",
        "final_folder-data-my-photos.zip-paper.png",
    }
    assert all((tmp_path / name).is_file() for name in names)
    assert len(set(names)) == len(names)
    # that of the dataset alone would be taken for all
    assert not (tmp_path / "final.png").exists()


def test_each_dataset_has_figures_of_its_own_even_if_their_names_look_alike(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for psnr, dataset in enumerate(("folder:/my $data/x%", "folder:/my $data/x&", "digits")):
        add_run(folder, "vq", psnr=20.0 + psnr, dataset=dataset)
    paths = figures.draw(records.read(folder), tmp_path / "paper", "paper")
    names = [path.name for path in paths if path.name.startswith("final") and path.suffix == ".pdf"]
    assert names == [
        "final_digits-quick.pdf", "final_folder-my-data-x--quick.pdf", "final_folder-my-data-x--quick-2.pdf",
    ]  # fmt: skip
    captions = (tmp_path / "paper" / "captions.txt").read_text()
    assert captions.index("folder:/my $data/x%") < captions.index("folder:/my $data/x&")


def test_in_print_every_figure_is_a_pdf_and_a_png_and_has_a_caption(drawn):
    names = {f"{name}.{kind}" for name in IN_PRINT for kind in ("pdf", "png")}
    assert set(drawn) == {*names, "captions.txt"}
    captions = drawn["captions.txt"].read_text()
    assert re.findall(r"^(\w+) \(", captions, re.M) == IN_PRINT


def test_pages_and_pictures_are_exactly_as_wide_as_the_caption_says(drawn):
    stated = re.findall(r"^(\w+) \((one column|two columns): ([\d.]+) in wide", drawn["captions.txt"].read_text(), re.M)
    assert len(stated) == len(IN_PRINT)
    for name, columns, width in stated:
        assert float(width) == WIDTHS[columns]
        [page] = PdfReader(drawn[f"{name}.pdf"]).pages
        assert float(page.mediabox.width) == 72 * WIDTHS[columns]
        with Image.open(drawn[f"{name}.png"]) as picture:
            assert picture.width == round(300 * WIDTHS[columns])
    assert {columns for _, columns, _ in stated} == set(WIDTHS)


def test_fonts_are_truetype_and_embedded(drawn):
    for name in IN_PRINT:
        found = objects(drawn[f"{name}.pdf"])
        fonts = [one for one in found if one.get("/Type") == "/Font"]
        assert fonts, name
        assert {font["/Subtype"] for font in fonts} <= {"/Type0", "/CIDFontType2", "/TrueType"}, name
        described = [font["/FontDescriptor"].get_object() for font in fonts if "/FontDescriptor" in font]
        assert described, name
        assert all("/FontFile2" in one for one in described), name


def test_all_but_the_reconstructions_are_vectors(drawn):
    for name in IN_PRINT:
        pictures = [one for one in objects(drawn[f"{name}.pdf"]) if one.get("/Subtype") == "/Image"]
        assert bool(pictures) == (name == "reconstructions"), name


def test_text_of_a_pdf_can_be_searched(drawn, tmp_path):
    [page] = PdfReader(drawn["final.pdf"]).pages
    text = page.extract_text()
    assert all(word in text for word in ("gumbel_softmax", "daps:k=16", "PSNR [dB] ↑"))
    folder = new_sweep(tmp_path / "sweep")
    odd = r"mine:a=$\frac{x$,b=x^_%&"
    add_run(folder, odd)
    figures.draw(records.read(folder), tmp_path, "paper")
    [page] = PdfReader(tmp_path / "final.pdf").pages
    assert odd in page.extract_text()


def test_a_plugin_with_a_metric_of_its_own_and_no_quality_is_left_out(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", psnr=None, metrics={"wit": 3.0})
    for theme in THEMES:
        assert figures.draw(records.read(folder), tmp_path / "figures", theme) == []


def test_a_user_s_matplotlibrc_changes_nothing_and_is_left_as_it_was(frame, tmp_path):
    small = frame[frame["estimator"].isin(["daps", "baseline:mean"])]
    plain = [(tmp_path / "plain" / name).read_bytes() for name in on_screen(small, tmp_path / "plain")]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.marker": "x"}):
        before = dict(matplotlib.rcParams)
        styled = [(tmp_path / "styled" / name).read_bytes() for name in on_screen(small, tmp_path / "styled")]
        handed = [one.png() for one in figures.drawings(records.of_table(small)) if one.name == "final"]
        for _ in figures.drawings(records.of_table(small)):
            assert dict(matplotlib.rcParams) == before
        assert dict(matplotlib.rcParams) == before
    assert styled == plain
    assert handed == plain[:1]


def test_drawings_have_what_a_page_needs(sweep):
    found = list(figures.drawings(records.read(sweep)))
    assert [one.name for one in found] == [kind.name for kind in OF_SWEEPS if kind.name != "curves_elbo"]
    headings = {kind.name: kind.heading for kind in FIGURES}
    for one in found:
        assert one.heading == headings[one.name]
        assert "digits, preset quick" in one.caption
        assert one.caption.endswith(".")
        assert one.png().startswith(b"\x89PNG")


def test_drawing_opens_no_figure_in_pyplot(frame, tmp_path):
    from matplotlib import pyplot

    on_screen(frame[frame["estimator"] == "daps"], tmp_path)
    assert pyplot.get_fignums() == []


def test_names_with_dollar_signs_are_text_not_mathematics(frame, tmp_path):
    odd = frame[frame["estimator"] == "daps"].assign(dataset=r"folder:/data/$\frac{x$/a b", estimator="mine:a=$_^$")
    assert len(on_screen(odd, tmp_path)) == 4


def test_a_table_with_categories_draws_the_same(frame, tmp_path):
    small = frame[frame["estimator"].isin(["daps", "vq"])]
    names = ["run", "estimator", "posterior", "dataset", "preset", "device", "split", "readout", "metric"]
    plain = [(tmp_path / "a" / name).read_bytes() for name in on_screen(small, tmp_path / "a")]
    same = on_screen(small.astype(dict.fromkeys(names, "category")), tmp_path / "b")
    assert [(tmp_path / "b" / name).read_bytes() for name in same] == plain


@pytest.mark.parametrize("theme", THEMES)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, theme):
    folder = lonely(tmp_path / "sweep")
    (tmp_path / "figures").write_text("in the way")
    for out in (tmp_path / "figures", tmp_path / "figures" / "deeper"):
        with pytest.raises(
            ValueError, match=r"figures.* cannot be written \(.*\); free the place or change its rights$"
        ):
            figures.draw(records.read(folder), out, theme)


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_and_no_date(sweep, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.marker": "x", "pdf.fonttype": 3}):
        before = dict(matplotlib.rcParams)
        again = figures.draw(records.read(sweep), tmp_path / "again", "paper")
        assert dict(matplotlib.rcParams) == before
    assert {path.name for path in again} == set(drawn)
    for path in again:
        assert path.read_bytes() == drawn[path.name].read_bytes(), path.name
        if path.suffix == ".pdf":
            assert not [key for key in PdfReader(path).metadata or {} if "Date" in key]


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(sweep, drawn, tmp_path):
    code = (
        "import sys; from pathlib import Path; from bench import figures, records; "
        "figures.draw(records.read(sys.argv[1]), Path(sys.argv[2]), 'paper')"
    )
    command = [sys.executable, "-c", code, str(sweep), str(tmp_path)]
    subprocess.run(command, env={"PYTHONHASHSEED": "7", "PATH": ""}, cwd=ROOT, check=True)
    for name, path in drawn.items():
        assert (tmp_path / name).read_bytes() == path.read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("make", [usual, crowded, lonely])
def test_no_text_is_cut_off_on_another_or_too_small(make, theme, sweep, crowd, tmp_path):
    folder = {usual: sweep, crowded: crowd}.get(make) or make(tmp_path / "sweep")
    found = list(figures.drawings(records.read(folder), theme))
    kinds = [kind.name for kind in OF_SWEEPS if theme in kind.themes]
    absent = {lonely: {"rate_distortion", "pareto", "codebook", "curves_elbo"}}.get(make, {"curves_elbo"})
    if (make, theme) == (lonely, "screen"):
        absent -= {"codebook"}  # of which there is the map
    assert [one.name for one in found] == [name for name in kinds if name not in absent]
    for one in found:
        with one.theme.applied():
            boxes = whole(one.figure)
            assert overlapping(boxes) == [], one.name
            sizes = {one.theme.label_size, one.theme.tick_size}
            assert {text.get_fontsize() for text in printed(one.figure)} <= sizes, one.name
            assert theme == "screen" or one.figure.get_figheight() <= 9.0
            for ax in one.figure.axes:
                inside = ax.get_window_extent()
                if ax.get_label() != "<colorbar>":
                    assert inside.width > 0.8 * one.figure.dpi, "no room left to draw in"
                assert not any(legend.get_window_extent().overlaps(inside) for legend in one.figure.legends)


@pytest.mark.slow
def test_several_hundred_runs_are_drawn(tmp_path):
    names = [*ESTIMATORS, *(f"plugin_{i}:temperature=0.{i},total_derivative=true" for i in range(30))]
    large = table_of(names, seeds=range(5), steps=tuple(range(0, 2001, 100)))
    assert large["run"].nunique() > 350
    for run in large["run"].unique()[::10]:
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        write_samples(folder, originals()[:IMAGES], 10)
    assert len(on_screen(large, tmp_path)) == 6


def test_importing_figures_imports_no_matplotlib():
    heavy = "('matplotlib', 'seaborn', 'torch')"
    code = f"import sys, bench.cli, bench.figures; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
