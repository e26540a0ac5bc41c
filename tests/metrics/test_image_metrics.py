import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from bench.metrics import frechet, weights
from bench.metrics import images as image_metrics
from bench.metrics.catalogue import METRICS
from bench.metrics.images import ImageMetrics

CPU = torch.device("cpu")


def photos(n: int, side: int, seed: int = 0) -> torch.Tensor:
    """uint8 [n, 3, side, side]: crops of a photograph, flat and busy ones."""
    from skimage.data import astronaut

    image = torch.from_numpy(astronaut()).permute(2, 0, 1)
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 512 - side, (n, 2), generator=generator).tolist()
    return torch.stack([image[:, i : i + side, j : j + side] for i, j in corners])


def digits(n: int) -> torch.Tensor:
    """uint8 [n, 1, 8, 8]"""
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().images[:n] * 255 / 16).to(torch.uint8)[:, None]


def noisy(x: torch.Tensor, sd: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)) * sd
    return (x + noise).round().clamp(0, 255).to(torch.uint8)


def measure(names, x, y, **kwargs) -> dict[str, tuple[float, int]]:
    metrics = ImageMetrics(names, CPU, **kwargs)
    metrics.update(x, y)
    return metrics.compute()


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

    monkeypatch.setattr(image_metrics, "_score", lambda name, device: spy)
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


@pytest.mark.parametrize("name", ["lpips", "rfid"])
def test_without_weights_the_metric_is_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    filename = weights.WEIGHTS[METRICS[name].weights].filename
    for ask in (lambda: ImageMetrics([name], CPU), lambda: image_metrics.provenance([name])):
        with pytest.raises(ValueError, match=f"{name} needs {filename}, which is missing") as caught:
            ask()
        assert "\n" not in str(caught.value)


def install(patch: pytest.MonkeyPatch, home, name: str, state: dict[str, torch.Tensor]) -> None:
    """Puts `state` where the library looks, as if it were the published file; the rest is the real thing."""
    patch.setenv("TORCH_HOME", str(home))
    entry = weights.WEIGHTS[name]
    path = weights.directory() / entry.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    patch.setitem(weights.WEIGHTS, name, dataclasses.replace(entry, sha256=digest))

    def refuse(url, *args, **kwargs):
        raise AssertionError(f"a library went to download {url} by itself")

    patch.setattr(torch.hub, "download_url_to_file", refuse)


def randomise(network: nn.Module) -> dict[str, torch.Tensor]:
    """He initialisation keeps signals alive through the depth; torch's own fades to nothing in Inception."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network.state_dict()


@pytest.fixture(scope="module")
def random_alexnet(tmp_path_factory):
    from torchvision.models import alexnet

    home = tmp_path_factory.mktemp("alexnet")
    with pytest.MonkeyPatch.context() as patch:
        install(patch, home, "alexnet", randomise(alexnet(weights=None)))
        yield
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    home = tmp_path_factory.mktemp("inception")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        state = randomise(theirs.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]))
    with pytest.MonkeyPatch.context() as patch:
        install(patch, home, "inception", state)
        yield
    shutil.rmtree(home)


def reference_lpips(x: torch.Tensor, y: torch.Tensor) -> float:
    import lpips

    network = lpips.LPIPS(net="alex", verbose=False)
    with torch.no_grad():
        return network(x.float() / 127.5 - 1, y.float() / 127.5 - 1).mean().item()


@pytest.mark.usefixtures("random_alexnet")
@pytest.mark.filterwarnings("ignore::UserWarning")
class TestLpips:
    def test_is_the_library_on_images_of_64_pixels_and_more(self):
        x = photos(4, 72)
        y = noisy(x, 20.0)
        value, n = measure(["lpips"], x, y)["lpips"]
        assert value == pytest.approx(reference_lpips(x, y), rel=1e-5)
        assert value > 1e-3
        assert n == 4

    def test_enlarges_smaller_images_to_64_pixels(self):
        x = photos(4, 32)
        y = noisy(x, 20.0)
        large = [nn.functional.interpolate(t.float(), size=64, mode="bilinear") for t in (x, y)]
        assert measure(["lpips"], x, y)["lpips"][0] == pytest.approx(reference_lpips(*large), rel=1e-5)

    def test_keeps_the_aspect_of_oblong_images(self):
        x = photos(2, 48)[..., :32]
        y = noisy(x, 20.0)
        large = [nn.functional.interpolate(t.float(), size=(96, 64), mode="bilinear") for t in (x, y)]
        assert measure(["lpips"], x, y)["lpips"][0] == pytest.approx(reference_lpips(*large), rel=1e-5)

    def test_takes_grey_as_three_equal_channels(self):
        x = digits(4)
        y = noisy(x, 40.0)
        grey = measure(["lpips"], x, y)["lpips"][0]
        assert grey == pytest.approx(measure(["lpips"], x.repeat(1, 3, 1, 1), y.repeat(1, 3, 1, 1))["lpips"][0])
        assert grey > 1e-3

    def test_of_exact_images_is_zero(self):
        x = photos(2, 32)
        assert measure(["lpips"], x, x)["lpips"] == (0.0, 2)

    def test_provenance_names_both_weight_files_and_the_resize(self):
        entry = image_metrics.provenance(["psnr", "lpips"])["lpips"]
        digests = entry["weights_sha256"]
        assert digests["alexnet-owt-7be5be79.pth"] == weights.WEIGHTS["alexnet"].sha256
        # Published in the lpips 0.1 wheels.
        assert digests["lpips/weights/v0.1/alex.pth"].startswith("df73285e35b22355")
        assert "64" in entry["definition"]
        assert entry["libraries"].keys() == {"torch", "torchvision", "lpips"}

    def test_a_corrupt_file_is_not_used(self):
        path = weights.require("lpips")
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        try:
            with pytest.raises(ValueError, match="corrupt"):
                ImageMetrics(["lpips"], CPU)
        finally:
            path.write_bytes(good)


class Images(torch.utils.data.Dataset):
    """In memory, as torch-fidelity takes them."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images.expand(-1, 3, -1, -1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.images[i]


@pytest.mark.slow
@pytest.mark.usefixtures("random_inception")
@pytest.mark.parametrize("x", [photos(16, 32), digits(16)], ids=["photos", "digits"])
def test_rfid_is_the_frechet_distance_of_torch_fidelity(x):
    from torch_fidelity import calculate_metrics

    y = noisy(x, 30.0)
    theirs = calculate_metrics(
        input1=Images(y),
        input2=Images(x),
        fid=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        feature_extractor_weights_path=str(weights.require("rfid")),
    )["frechet_inception_distance"]
    metrics = ImageMetrics(["rfid"], CPU)
    for a, b in zip(x.split(9), y.split(9), strict=True):
        metrics.update(a, b)
    value, n = metrics.compute()["rfid"]
    assert value == pytest.approx(theirs, rel=1e-4)
    assert value > 100 * abs(measure(["rfid"], x, x)["rfid"][0])
    assert n == 16


class CountingNetwork(nn.Module):
    """Stands in for Inception where only the bookkeeping around it is tested."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, x):
        self.images += len(x)
        features = x.float().flatten(1)
        return (nn.functional.pad(features, (0, 2048 - features.shape[1])),)


@pytest.fixture
def network(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, "inception", {})
    network = CountingNetwork()
    monkeypatch.setattr(frechet, "_inception", lambda *args: network)
    return network


def originals_of(x: torch.Tensor, key: str | None) -> torch.Tensor:
    """Features of the originals after one pass over `x` in batches of 4."""
    metrics = ImageMetrics(["rfid"], CPU, reference_key=key)
    for batch in x.split(4):
        metrics.update(batch, 255 - batch)
    return torch.cat(metrics._frechet._originals)


def test_features_of_originals_are_computed_once_per_key(network):
    x = photos(10, 16)
    first = originals_of(x, "photos test 16px")
    assert network.images == 20
    second = originals_of(x, "photos test 16px")
    assert network.images == 30, "10 reconstructions more, no original"
    assert torch.equal(first, second)


def test_without_a_key_nothing_is_kept(network, tmp_path):
    originals_of(photos(4, 16), None)
    assert [path.name for path in (tmp_path / "hub").iterdir()] == ["checkpoints"]


def test_other_images_under_a_used_key_are_not_mistaken_for_the_old_ones(network):
    originals_of(photos(8, 16), "folder:some/where")
    changed = photos(8, 16, seed=1)
    fresh = originals_of(changed, None)
    assert torch.equal(originals_of(changed, "folder:some/where"), fresh)


def test_other_weights_do_not_see_the_features_of_the_old_ones(network, monkeypatch, tmp_path):
    x = photos(4, 16)
    originals_of(x, "photos")
    install(monkeypatch, tmp_path, "inception", {"another": torch.zeros(1)})
    originals_of(x, "photos")
    assert network.images == 16


def test_a_kept_file_that_a_crash_left_incomplete_is_computed_again(network, tmp_path):
    x = photos(4, 16)
    first = originals_of(x, "photos")
    (kept,) = tmp_path.rglob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:100])
    assert torch.equal(originals_of(x, "photos"), first)
    assert network.images == 16
    originals_of(x, "photos")
    assert network.images == 20, "mended"


def test_a_cache_that_cannot_be_written_costs_time_and_not_the_run(network, tmp_path):
    (tmp_path / "hub" / "rfid-features").write_text("a file where the folder should be")
    x = photos(4, 16)
    assert torch.equal(originals_of(x, "photos"), originals_of(x, None))


def test_rfid_of_a_single_image_is_not_a_number(network):
    value, n = measure(["rfid"], photos(1, 16), photos(1, 16))["rfid"]
    assert np.isnan(value)
    assert n == 1


def test_provenance_of_all_metrics_is_json_with_versions(network):
    entries = image_metrics.provenance(["psnr", "ssim", "mae", "rfid"])
    assert json.loads(json.dumps(entries)) == entries
    for name, entry in entries.items():
        assert entry["definition"] == METRICS[name].definition != ""
        assert torch.__version__.startswith(entry["libraries"]["torch"].split("+")[0])
    digest = entries["rfid"]["weights_sha256"]["weights-inception-2015-12-05-6726825d.pth"]
    assert digest == weights.WEIGHTS["inception"].sha256
