"""Pictures of runs: originals and reconstructions, cut as wide as they were measured."""

import numpy as np
import pytest
from helpers.synthetic_sweep import IMAGES, SIDE, add_run, new_sweep, originals
from PIL import Image

from bench import records
from bench.records.pictures import collect, read_pair


def collected(folder):
    [comparison] = records.read(folder).comparisons
    return comparison, collect(comparison, comparison.order, folder / "runs")


@pytest.mark.parametrize(("height", "width"), [(SIDE, SIDE), (8, 16), (16, 8), (8, 12)])
def test_images_are_cut_as_wide_as_the_recorded_shape_says(tmp_path, height, width):
    folder = new_sweep(tmp_path / "sweep")
    pictures = originals(height, width)
    add_run(folder, "daps", samples=pictures, provenance={"dataset": {"shape": [1, height, width]}})
    _, (first, [(_, _, again)], different) = collected(folder)
    assert (first == pictures).all()
    assert again.shape == (IMAGES, height, width, 3)
    assert (abs(again.astype(int) - pictures)[..., 0] == 10).all()
    assert different == []


def test_images_are_square_where_no_shape_was_recorded(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", samples=originals(), provenance={"dataset": {}})
    _, (first, _, _) = collected(folder)
    assert first.shape == (IMAGES, SIDE, SIDE, 3)


def test_each_method_is_shown_by_its_lowest_seed_that_left_a_readable_picture(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for seed in (2, 1, 0):
        path = add_run(folder, "daps", seed=seed, psnr=20.0, error=10 + seed)
        if seed == 0:
            (path / "samples.png").write_bytes((path / "samples.png").read_bytes()[:60])
    add_run(folder, "vq", psnr=22.0, state="failed")
    add_run(folder, "fsq", psnr=21.0, samples=originals()[::-1])
    add_run(folder, "reinforce", psnr=15.0)
    comparison, (_, found, different) = collected(folder)
    # fsq comes first, so that its originals are the ones
    assert [(comparison.methods[index].name, run.seed) for index, run, _ in found] == [("fsq", 0)]
    assert different == ["daps", "reinforce"]
    without = [index for index in comparison.order if comparison.methods[index].name != "fsq"]
    _, found, different = collect(comparison, without, folder / "runs")
    assert [(comparison.methods[index].name, run.seed) for index, run, _ in found] == [("daps", 1), ("reinforce", 0)]
    assert different == []


def test_there_is_nothing_where_no_run_left_a_picture(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    path = add_run(folder, "daps")
    (path / "samples.png").unlink()
    comparison, found = collected(folder)
    assert found == (None, [], [])
    run = comparison.runs[0][0]
    for wrong in (Image.new("RGB", (8, 1)), Image.new("RGB", (4, 16))):
        wrong.save(path / "samples.png")
        assert read_pair(path / "samples.png", run) is None


def test_a_sweep_without_codebook_use_by_position_has_an_empty_table(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps", positions=0)
    [comparison] = records.read(folder).comparisons
    assert list(comparison.by_position.columns) == ["measure", "method", "position", "value"]
    assert not len(comparison.by_position)


def test_a_picture_has_colours(tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    add_run(folder, "daps")
    _, (first, _, _) = collected(folder)
    assert first.dtype == np.uint8
    assert (first == originals()).all()
