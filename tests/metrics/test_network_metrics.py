"""LPIPS and rFID: the libraries' own numbers, with random weights in the place of the published ones."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from helpers.images import CPU, digits, measure, noisy, photos
from safetensors.torch import save_file
from torch import nn

from bench.metrics import frechet, weights
from bench.metrics import images as image_metrics
from bench.metrics.catalogue import METRICS
from bench.metrics.images import ImageMetrics


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
    of_tensors = weights._sha256_of_tensors(path, entry.tensors, 0, 0) if entry.tensors else ""
    patch.setitem(weights.WEIGHTS, name, dataclasses.replace(entry, sha256=digest, tensors_sha256=of_tensors))

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
        assert digests["alexnet-owt-7be5be79.pth"] == weights.WEIGHTS["alexnet"].tensors_sha256
        # Published in the lpips 0.1 wheels.
        assert digests["lpips/weights/v0.1/alex.pth"].startswith("df73285e35b22355")
        assert "64" in entry["definition"]
        assert entry["libraries"].keys() == {"torch", "torchvision", "lpips"}

    def test_the_convolutions_alone_give_the_same_numbers(self):
        whole = weights.require("lpips")
        x = photos(2, 64)
        expected = measure(["lpips"], x, noisy(x, 20.0))["lpips"]
        alone = whole.with_name("alexnet-features.safetensors")
        save_file(weights.tensors_of(whole, weights.WEIGHTS["alexnet"].tensors), alone)
        aside = whole.rename(whole.with_name("elsewhere.pth"))
        try:
            assert weights.require("lpips") == alone
            assert measure(["lpips"], x, noisy(x, 20.0))["lpips"] == expected
            digests = image_metrics.provenance(["lpips"])["lpips"]["weights_sha256"]
            assert digests[alone.name] == weights.WEIGHTS["alexnet"].tensors_sha256
            tensors = weights.tensors_of(alone, weights.WEIGHTS["alexnet"].tensors)
            tensors["features.8.bias"][3] += 1e-3
            save_file(tensors, alone)
            with pytest.raises(ValueError, match="which is corrupt"):
                weights.require("lpips")
        finally:
            alone.unlink()
            aside.rename(whole)

    def test_a_corrupt_file_is_not_used(self):
        path = weights.require("lpips")
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        try:
            with pytest.raises(ValueError, match="corrupt"):
                ImageMetrics(["lpips"], CPU)
        finally:
            path.write_bytes(good)


BY_THE_LIBRARY = {"astronaut": 0.310524, "coffee": 0.379158, "chelsea": 0.456701}
"""`lpips.LPIPS(net="alex")` by itself (lpips 0.1.4, torchvision 0.29.1), which took AlexNet from torchvision's file:
`net(lpips.im2tensor(x), lpips.im2tensor(y))`."""


@pytest.mark.skipif(weights.WEIGHTS["alexnet"].state != "present", reason="needs AlexNet's weights")
@pytest.mark.parametrize("name", BY_THE_LIBRARY)
def test_lpips_of_photographs_and_their_blurred_copies_is_the_published_one(name):
    import skimage.data
    from skimage.filters import gaussian

    x = getattr(skimage.data, name)()[:256, :256]
    y = np.rint(255 * gaussian(x, sigma=2, channel_axis=-1)).astype(np.uint8)
    pair = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in (x, y)]
    assert measure(["lpips"], *pair)["lpips"][0] == pytest.approx(BY_THE_LIBRARY[name], abs=2e-5)


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
