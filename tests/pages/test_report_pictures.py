import base64
import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.report_page import page_of, words
from helpers.synthetic_sweep import VALIDATION, add_run, new_sweep, originals, usual_sweep, write_samples
from PIL import Image

from bench import pages as report
from bench import records
from bench.figures.styles import rgb, styles
from bench.pages import _charts, _gallery, _page
from bench.records.methods import SHIPPED


@pytest.fixture
def sweep(tmp_path):
    return new_sweep(tmp_path / "sweep")


def test_curves_are_means_with_the_lowest_and_the_highest_seed(tmp_path):
    comparison = records.read(usual_sweep(tmp_path / "usual")).comparisons[0]
    names = [method.name for method in comparison.methods]
    found = _charts.curves(comparison, [names.index("vq")])["points"]["psnr"]
    assert found["step"] == [0, 50, 100]
    assert found["y"] == pytest.approx([middle + VALIDATION for middle in (20.05, 21.05, 22.05)])
    assert found["lo"] == pytest.approx([low + VALIDATION for low in (19.8, 20.8, 21.8)])
    assert found["hi"] == pytest.approx([high + VALIDATION for high in (20.3, 21.3, 22.3)])
    assert (found["images"], found["decodes"], found["seconds"]) == ([0, 1600, 3200], [0, 1600, 3200], [0, 0.5, 1])


def test_long_curves_are_thinned_and_keep_their_ends(sweep, monkeypatch):
    add_run(sweep, "vq", psnr=20, steps=range(0, 1001, 2))
    monkeypatch.setattr(_charts, "POINTS", 100)
    found = _charts.curves(records.read(sweep).comparisons[0], [0])["points"]["psnr"]
    assert len(found["step"]) <= 102
    assert (found["step"][0], found["step"][-1]) == (0, 1000)


def test_codebook_use_is_a_mean_over_seeds_and_positions_that_share_a_column(sweep, monkeypatch):
    monkeypatch.setattr(_charts, "COLUMNS", 2)
    for seed, usage in enumerate((0.2, 0.4)):
        add_run(sweep, "vq", seed=seed, usage=usage, positions=3)
    found = _charts.codebook(records.read(sweep).comparisons[0], [0])
    assert (found["positions"], found["per_column"], found["vocab"]) == (3, 2, 64)
    assert found["values"]["usage"][0] == pytest.approx([0.3, 0.3])
    assert list(found["values"]) == ["usage", "perplexity"]


def pixels(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(";base64,")
    assert kind.startswith("data:image/")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)


def test_reconstructions_error_maps_and_their_psnr_are_of_the_pixels(sweep):
    add_run(sweep, "vq", seed=1, error=30, psnr=21)
    add_run(sweep, "vq", seed=0, error=15, psnr=21)
    add_run(sweep, "daps", seed=1, error=60)
    add_run(sweep, "fsq", state="failed")
    page = page_of(sweep)
    cards = page.section("s0-images").findall(".//figure[@class='card']")
    assert [words(card.find("figcaption")) for card in cards] == ["vq", "daps"]
    assert [words(card).rsplit(" ", 1)[1] for card in cards] == ["0", "1"]  # the lowest seed that finished
    shown = pixels(page.section("s0-images").find(".//figure[@class='original']//img").get("src"))
    assert np.array_equal(shown, np.concatenate(list(originals()), 1))
    for card, error in zip(cards, (15, 60), strict=True):
        reconstruction, heat = (pixels(img.get("src")) for img in card.iter("img"))
        assert set(np.abs(reconstruction - shown)[..., 0].ravel()) == {error}
        assert np.array_equal(reconstruction[..., 1:], shown[..., 1:])
        # the largest error, 60 / 3 channels, is the end of the scale
        level = round(error / 60 * (_gallery.COLOURS - 1))
        assert np.array_equal(np.unique(heat.reshape(-1, 3), axis=0), _gallery.palette()[level : level + 1].astype(int))
        scores = [float(score) for score in card.get("data-psnr").split()]
        assert scores == pytest.approx([10 * np.log10(255**2 / (error**2 / 3))] * 12, abs=0.006)
    assert words(page.section("s0-images").find(".//p[@class='ends']")) == "0≥ 20"


def test_images_need_not_be_square(sweep):
    shape = {"dataset": {"shape": [3, 8, 4]}}
    add_run(sweep, "vq", samples=originals(8, 4), provenance=shape)
    gallery = _gallery.gallery(records.read(sweep).comparisons[0], [0], sweep / "runs")
    assert (gallery.shape, gallery.count) == ((8, 4), 12)
    assert np.array_equal(pixels(gallery.thumbnails[3]), originals(8, 4)[3])


def test_pictures_stay_within_their_budget_and_the_page_says_what_is_left_out(sweep):
    for name in ("vq", "daps", "fsq"):
        add_run(sweep, name)
    comparison = records.read(sweep).comparisons[0]
    whole = _gallery.gallery(comparison, [0, 1, 2], sweep / "runs")
    assert whole.count == 12
    size = sum(len(panel.reconstruction) + len(panel.error) for panel in whole.panels)
    less = _gallery.gallery(comparison, [0, 1, 2], sweep / "runs", budget=size // 2)
    assert less.count < 12
    assert sum(len(panel.reconstruction) + len(panel.error) for panel in less.panels) <= size // 2
    assert less.left_out == [f"Shown are {less.count} of 12 images, to keep the page small."]


def test_large_pictures_are_compressed_but_their_errors_are_exact(sweep):
    add_run(sweep, "vq", samples=originals(300), provenance={"dataset": {"shape": [3, 300, 300]}}, error=20)
    gallery = _gallery.gallery(records.read(sweep).comparisons[0], [0], sweep / "runs")
    assert len(gallery.panels[0].reconstruction) < 2_000_000
    assert gallery.panels[0].psnr[0] == pytest.approx(10 * np.log10(255**2 * 3 / 400), abs=0.006)
    assert pixels(gallery.thumbnails[0]).shape == (256, 256, 3)
    assert "compressed" in gallery.left_out[0]


def test_methods_with_other_originals_are_named_not_compared(sweep):
    add_run(sweep, "vq", psnr=21)
    add_run(sweep, "daps", samples=255 - originals())
    page = page_of(sweep)
    text = words(page.section("s0-images"))
    assert "their originals differ (another likelihood or split): daps." in text
    assert len(page.section("s0-images").findall(".//figure[@class='card']")) == 1


def test_pictures_that_are_no_pictures_are_passed_over(sweep):
    first = add_run(sweep, "vq", seed=0)
    add_run(sweep, "vq", seed=1)
    (first / "samples.png").write_bytes((first / "samples.png").read_bytes()[:60])
    add_run(sweep, "daps", samples=originals(1)[:1])
    page = page_of(sweep)
    cards = page.section("s0-images").findall(".//figure[@class='card']")
    assert [words(card).rsplit(" ", 1)[1] for card in cards] == ["1"]


def test_every_shipped_estimator_stands_out_from_either_background():
    found = _page.looks(SHIPPED)
    for name, look in found.items():
        for colour, background in ((look.light, _page.LIGHT), (look.dark, _page.DARK)):
            ratio = _page.contrast(rgb(colour), rgb(background))
            assert ratio >= 2.99, (name, colour, background, ratio)
    # where the figures' colour can be read, it is kept
    assert found["daps"].light == "#1f4fa3"
    assert set(found) == set(styles(SHIPPED))


def test_the_backgrounds_of_the_style_sheet_are_those_that_colours_are_made_for():
    cards = re.findall(r"--card: (#[0-9a-f]{6})", (Path(report.__file__).parent / "page.css").read_text())
    assert cards == [_page.LIGHT, _page.DARK]


def test_contrast_is_that_of_the_guideline():
    assert _page.contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    grey = 0x77 / 255
    assert _page.contrast((grey, grey, grey), (1, 1, 1)) == pytest.approx(4.478, abs=1e-3)  # #777 on white


@pytest.mark.slow
@pytest.mark.parametrize(("methods", "seeds", "allowed"), [(20, 5, 20), (200, 10, 90)])
def test_many_runs_make_a_small_page_in_good_time(sweep, monkeypatch, methods, seeds, allowed):
    """`allowed` CPU seconds; noise for pictures, which does not compress."""
    monkeypatch.setattr("os.fsync", lambda file: None)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    shape = {"dataset": {"shape": [3, 32, 32]}}
    steps = range(0, 20_001, 1000)
    for method in range(methods):
        for seed in range(seeds):
            psnr = 20 + 0.1 * method + rng.normal()
            found = {"ssim": rng.random(), "elbo": rng.normal(), "usage": rng.random(), "bits": rng.normal()}
            folder = add_run(
                sweep,
                f"daps:k={method}",
                seed=seed,
                psnr=psnr,
                metrics=found,
                steps=steps,
                positions=64,
                samples=images[:1],
                provenance=shape,
            )
            if seed == 0:
                write_samples(folder, images, method % 100)
    started = time.process_time()
    page = report.write(sweep)
    assert time.process_time() - started < allowed
    assert page.stat().st_size < 15e6
