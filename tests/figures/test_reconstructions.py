"""The figure of reconstructions: pixels as they were measured, never chosen or squeezed."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.figure_sweeps import made, row_names, run_name, sheet_of, table_of, whole
from helpers.synthetic_sweep import IMAGES, SIDE, add_run, new_sweep, originals
from PIL import Image

from bench.figures.pictures import reconstructions
from bench.figures.themes import THEMES


def save_samples(folder: Path, images: np.ndarray, again: np.ndarray) -> None:
    folder.mkdir(parents=True)
    strips = [np.concatenate(list(strip), axis=1) for strip in (images, again)]
    Image.fromarray(np.concatenate(strips)).save(folder / "samples.png")


def pixels(drawing) -> np.ndarray:
    [ax] = drawing.figure.axes
    return np.asarray(ax.images[0].get_array())


def test_they_show_the_originals_then_the_lowest_seed_of_each_best_first(digits, tmp_path):
    frame = table_of(("vq", "daps"), seeds=(3, 1))
    shades = {("daps", "factorised"): 10, ("daps", "causal"): 20, ("vq", "factorised"): 30}
    for row in frame.drop_duplicates("run").itertuples():
        if row.posterior != "none":
            shade = shades[row.estimator, row.posterior] + 100 * (row.seed == 3)
            save_samples(tmp_path / "runs" / row.run, digits, np.full_like(digits, shade))
    sheet = sheet_of(frame, "screen", tmp_path)
    drawing = made(reconstructions, sheet)
    best_first = [sheet.comparison.label(index) for index in sheet.comparison.order[:3]]
    assert row_names(drawing.figure.axes[0]) == ["original", *best_first]
    mosaic = pixels(drawing)
    assert mosaic.shape[0] == 4 * 9
    assert (mosaic[:8, 9:17] == digits[1][..., None]).all()
    expected = [shades[tuple(label.split(", "))] for label in best_first]
    assert [int(mosaic[9 * row, 0, 0]) for row in (1, 2, 3)] == expected


def test_a_seed_with_a_torn_or_missing_picture_is_stood_in_for_by_the_next(digits, tmp_path):
    frame = table_of(("daps",), ("factorised",), seeds=(0, 1, 2))
    for seed, run in enumerate(run_name("daps", "factorised", seed, "quick") for seed in range(3)):
        if seed:
            save_samples(tmp_path / "runs" / run, digits, np.full_like(digits, seed))
        if seed == 1:
            whole_file = (tmp_path / "runs" / run / "samples.png").read_bytes()
            (tmp_path / "runs" / run / "samples.png").write_bytes(whole_file[: len(whole_file) // 2])
    drawing = made(reconstructions, sheet_of(frame, "screen", tmp_path))
    assert pixels(drawing)[9, 0, 0] == 2
    assert "(seed 2)" in drawing.caption


@pytest.mark.parametrize("theme", THEMES)
def test_those_of_other_images_are_left_out_and_named(digits, tmp_path, theme):
    frame = table_of(("daps", "fsq", "vq"), ("factorised",), seeds=(0,))
    for name in ("daps", "fsq"):
        save_samples(tmp_path / "runs" / run_name(name, "factorised", 0, "quick"), digits, digits)
    save_samples(tmp_path / "runs" / run_name("vq", "factorised", 0, "quick"), digits[::-1], digits)
    drawing = made(reconstructions, sheet_of(frame, theme, tmp_path))
    names = row_names(drawing.figure.axes[0])
    left_out = re.findall(r"their originals are others: (.*?)\.", drawing.caption)[0].split("; ")
    assert names[0] == "original"
    assert sorted([*names[1:], *left_out]) == ["daps", "fsq", "vq"]
    assert ("vq" in left_out) == ("vq" not in names)


def test_they_are_enlarged_pixels_of_the_lowest_seed_best_first(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    pictures = originals()
    for name, psnr, error in (("daps", 20.0, 40), ("vq", 22.0, 80)):
        for seed in (1, 0):
            add_run(folder, name, seed=seed, psnr=psnr, samples=pictures, error=error + seed)
    drawing = made(reconstructions, sheet_of(folder))
    [ax] = drawing.figure.axes
    assert row_names(ax) == ["original", "vq", "daps"]
    mosaic = pixels(drawing).astype(int)
    assert mosaic.shape == (3 * (SIDE + 1), IMAGES * (SIDE + 1), 3)
    cells = mosaic.reshape(3, SIDE + 1, IMAGES, SIDE + 1, 3)[:, :SIDE, :, :SIDE].swapaxes(1, 2)
    assert (cells[0] == pictures).all()
    assert (abs(cells[1:] - pictures)[..., 0] == np.array([80, 40])[:, None, None, None]).all()
    assert ax.images[0].get_interpolation() == "nearest"
    box, (width, height) = ax.get_window_extent(), drawing.figure.get_size_inches()
    assert box.width / box.height == pytest.approx(IMAGES / 3)
    assert (width, box.height / drawing.figure.dpi) == pytest.approx((6.75, height))


@pytest.mark.parametrize("theme", THEMES)
def test_images_twice_as_wide_as_high_are_shown_whole(tmp_path, theme):
    folder = new_sweep(tmp_path / "sweep")
    wide = originals(SIDE, 2 * SIDE)
    add_run(folder, "daps", samples=wide, provenance={"dataset": {"shape": [1, SIDE, 2 * SIDE]}})
    drawing = made(reconstructions, sheet_of(folder, theme))
    mosaic = pixels(drawing)
    assert mosaic.shape[1] % (2 * SIDE + 1) == 0
    assert (mosaic[:SIDE, : 2 * SIDE] == wide[0]).all()
    assert (mosaic[:SIDE, 2 * SIDE + 1 : 4 * SIDE + 1] == wide[1]).all()


@pytest.mark.parametrize("theme", THEMES)
def test_wide_images_are_fewer_and_smaller_never_squeezed(tmp_path, theme):
    folder = new_sweep(tmp_path / "sweep")
    wide = originals(SIDE, 30 * SIDE)
    shape = {"dataset": {"shape": [1, SIDE, 30 * SIDE]}}
    add_run(folder, "daps", samples=wide, provenance=shape)
    add_run(folder, "vq:with=a_rather_long_argument", samples=wide, provenance=shape)
    figure = made(reconstructions, sheet_of(folder, theme)).figure
    [ax] = figure.axes
    whole(figure)
    box = ax.get_window_extent()
    assert ax.images[0].get_array().shape[1] == 30 * SIDE + 1
    assert box.width / box.height == pytest.approx(30 / 3)
