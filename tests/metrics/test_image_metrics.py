"""Metrics of pixels against other implementations of them, and what holds for every image metric."""

import numpy as np
import pytest
import torch
from helpers.configs import DIGITS, PIXELS, tiny
from helpers.images import CPU, digits, measure, noisy, photos

from bench.build import build
from bench.metrics import catalogue, weights
from bench.metrics import images as image_metrics
from bench.metrics.catalogue import METRICS, Metric
from bench.metrics.evaluate import evaluate
from bench.metrics.images import ImageMetrics


def skimage_ssim(x: torch.Tensor, y: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Means without the borders [n], and full maps [n, c, h, w]."""
    from skimage.metrics import structural_similarity

    means, maps = zip(
        *(
            structural_similarity(
                a.double().numpy(),
                b.double().numpy(),
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=255,
                channel_axis=0,
                full=True,
            )
            for a, b in zip(x, y, strict=True)
        ),
        strict=True,
    )
    return np.array(means), np.stack(maps)


@pytest.mark.parametrize("x", [photos(6, 32), digits(6)], ids=["photos", "digits"])
@pytest.mark.parametrize("sd", [1.0, 10.0, 80.0])
def test_psnr_is_the_one_of_scikit_image(x, sd):
    from skimage.metrics import peak_signal_noise_ratio

    y = noisy(x, sd)
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(image_metrics.psnr(x, y), expected, rtol=1e-12)
    value, n = measure(["psnr"], x, y)["psnr"]
    assert value == pytest.approx(np.mean(expected), rel=1e-12)
    assert n == 6


def test_psnr_of_black_against_white_is_zero_decibel_even_on_large_images():
    black = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    assert image_metrics.psnr(black, 255 - black).item() == pytest.approx(0, abs=1e-12)


def test_one_exact_image_counts_58_9_decibel_and_does_not_make_the_mean_infinite():
    x = photos(4, 32)
    y = noisy(x, 10.0)
    y[0] = x[0]
    values = image_metrics.psnr(x, y)
    assert values[0].item() == pytest.approx(10 * np.log10(12 * 255**2))
    assert (values[1:] < 30).all()
    assert measure(["psnr"], x, y)["psnr"][0] == pytest.approx(values.mean().item())


def test_almost_exact_is_never_better_than_exact():
    x = photos(1, 32)
    y = x.clone()
    y[0, 0, 0, 0] ^= 1
    assert image_metrics.psnr(x, y).item() <= image_metrics.psnr(x, x).item()


@pytest.mark.parametrize("sd", [2.0, 10.0, 40.0])
def test_ssim_of_images_that_hold_the_window_is_the_default_of_torchmetrics(sd):
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    x = photos(8, 32)
    y = noisy(x, sd)
    theirs = StructuralSimilarityIndexMeasure(data_range=255.0)(y.float(), x.float())
    assert measure(["ssim"], x, y)["ssim"][0] == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize("sd", [2.0, 10.0, 40.0])
@pytest.mark.parametrize("side", [11, 32])
def test_ssim_inside_the_borders_is_the_one_of_scikit_image(sd, side):
    """Borders differ (scikit-image repeats the edge pixel and then leaves them out), so the maps are compared
    inside. A variance is a difference of two float32 numbers up to 255^2, so it is off by about 1e-2, against
    the constant (0.03 * 255)^2 = 58 in the denominator: 2e-4, a few times that in one pixel."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    x = photos(8, side)
    y = noisy(x, sd)
    means, maps = skimage_ssim(x, y)
    values, ours = structural_similarity_index_measure(
        y.float(), x.float(), sigma=1.5, data_range=255.0, reduction="none", return_full_image=True
    )
    torch.testing.assert_close(values, image_metrics.ssim(x, y))
    inside = ours[..., 5:-5, 5:-5].numpy()
    np.testing.assert_allclose(inside, maps[..., 5:-5, 5:-5], atol=2e-3)
    np.testing.assert_allclose(inside.mean((1, 2, 3)), means, atol=5e-4)


def _ssim_by_hand(x: torch.Tensor, y: torch.Tensor, window: int) -> float:
    """Wang et al. 2004, equations 13 to 17, in float64 on mirrored grey images."""
    r = window // 2
    g = np.exp(-0.5 * (np.arange(-r, r + 1) / (1.5 * window / 11)) ** 2)
    kernel = np.outer(g, g) / g.sum() ** 2
    a, b = (np.pad(t[0, 0].numpy().astype(np.float64), r, mode="reflect") for t in (x, y))
    values = []
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            p, q = a[i : i + window, j : j + window], b[i : i + window, j : j + window]
            mp, mq = (kernel * p).sum(), (kernel * q).sum()
            vp, vq = (kernel * (p - mp) ** 2).sum(), (kernel * (q - mq) ** 2).sum()
            cov = (kernel * (p - mp) * (q - mq)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / (mp**2 + mq**2 + c1) / (vp + vq + c2))
    return float(np.mean(values))


def test_ssim_of_digits_is_the_one_of_a_window_of_7_pixels():
    x = digits(3)
    for sd in (5.0, 20.0, 80.0):
        y = noisy(x, sd)
        expected = [_ssim_by_hand(a[None], b[None], window=7) for a, b in zip(x, y, strict=True)]
        np.testing.assert_allclose(image_metrics.ssim(x, y), expected, atol=3e-4)


@pytest.mark.parametrize(("side", "window"), [(3, 3), (4, 3), (7, 7), (8, 7), (10, 9), (11, 11), (12, 11)])
def test_ssim_takes_the_largest_odd_window_that_fits(side, window):
    x = photos(1, side)[:, :1]
    y = noisy(x, 25.0)
    assert image_metrics.ssim(x, y).item() == pytest.approx(_ssim_by_hand(x, y, window), abs=3e-4)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 5), (6, 40), (40, 6)])
def test_ssim_of_an_exact_image_is_one_whatever_its_size(shape):
    x = torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8)
    torch.testing.assert_close(image_metrics.ssim(x, x), torch.ones(2), atol=1e-6, rtol=0)


def test_mae_is_in_units_of_the_range_from_0_to_1():
    x = photos(5, 16)
    y = noisy(x, 30.0)
    expected = np.abs(x.numpy() / 255 - y.numpy() / 255).mean()
    assert measure(["mae"], x, y)["mae"][0] == pytest.approx(expected, rel=1e-12)
    black = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    assert measure(["mae"], black, 255 - black)["mae"] == (1.0, 1)


def test_an_uneven_last_batch_weighs_each_image_the_same():
    x = photos(7, 32)
    y = torch.cat([noisy(x[:6], 5.0), noisy(x[6:], 80.0)])
    whole = measure(["psnr", "ssim", "mae"], x, y)
    streamed = ImageMetrics(["psnr", "ssim", "mae"], CPU)
    for a, b in zip(x.split(3), y.split(3), strict=True):
        streamed.update(a, b)
    for name, (value, n) in streamed.compute().items():
        assert n == 7
        assert value == pytest.approx(whole[name][0], rel=1e-6), name


def test_a_grey_image_against_three_channels_is_not_broadcast():
    metrics = ImageMetrics(["psnr"], CPU)
    with pytest.raises((AssertionError, TypeError)):
        metrics.update(photos(2, 8)[:, :1], photos(2, 8))


def test_images_must_be_8_bits():
    metrics = ImageMetrics(["psnr"], CPU)
    x = photos(2, 8)
    with pytest.raises((AssertionError, TypeError)):
        metrics.update(x / 255, x / 255)


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="'lpip'; did you mean lpips") as caught:
        ImageMetrics(["psnr", "lpip"], CPU)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="did you mean rfid"):
        image_metrics.provenance(["fid"])


def test_networks_run_in_full_float32_whatever_the_caller_allows(monkeypatch):
    seen = []

    def spy(x, y):
        seen.append((torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu")))
        return image_metrics.psnr(x, y)

    monkeypatch.setitem(image_metrics.SCORES, "psnr", spy)
    before = torch.backends.cudnn.allow_tf32
    x = photos(1, 8)
    torch.backends.cudnn.allow_tf32 = True
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            measure(["psnr"], x, x)
        assert torch.backends.cudnn.allow_tf32 is True
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert seen == [(False, False)]


def test_a_new_image_metric_is_one_entry_and_one_function(monkeypatch):
    def worst(x, y):
        return (x.int() - y.int()).abs().flatten(1).amax(1).double()

    info = Metric("worst", "worst pixel", "grey levels", "lower", "image", "Largest error", 1, definition="max |x - y|")
    monkeypatch.setitem(METRICS, "worst", info)
    monkeypatch.setitem(image_metrics.SCORES, "worst", worst)
    x = photos(5, 16)
    y = noisy(x, 20.0)
    assert measure(["psnr", "worst"], x, y)["worst"] == (worst(x, y).mean().item(), 5)
    assert image_metrics.provenance(["worst"])["worst"]["definition"] == "max |x - y|"
    assert catalogue.images(["worst", "psnr"]) == ("psnr", "worst")
    assert "worst" in catalogue.images(None)
    assert weights.absent(["worst"], "cpu", asked=True) == {}
    config = tiny("fsq")
    task = build(config, DIGITS.shape, PIXELS)
    measured = evaluate(task, DIGITS, config, split="test", readout="mode", image_metrics=["worst"], per_position=False)
    (found,) = [one for one in measured if one.metric == "worst"]
    assert 0 < found.value <= 255
    assert found.n == config.measured_images(len(DIGITS.test))
