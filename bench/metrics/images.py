"""Image metrics between originals and reconstructions, both 8 bits per channel as a user would save them.

One code path for every estimator: images stream through in batches, sums stay on the device.
"""

import functools
import hashlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from bench.metrics import catalogue, weights
from bench.metrics.catalogue import LPIPS_MIN_SIDE, METRICS, SSIM_WINDOW
from bench.metrics.frechet import Frechet
from bench.text import nearest

Score = Callable[[UInt8[Tensor, "b c h w"], UInt8[Tensor, "b c h w"]], Float[Tensor, " b"]]
"""One value per image of a batch."""


class ImageMetrics:
    """Streams pairs of images through the metrics `names`.

    `reference_key` names the set of originals, for instance "cifar10-test": their Inception features are kept
    on disk under that name and not computed again. Features are looked up by the pixels they came from, so a
    key that is used for other images costs time, never a wrong number. None keeps nothing.

    Raises ValueError for a name that is not an image metric of the catalogue, and where weights are not at hand; asking
    `weights.available` before tries to download them.
    """

    def __init__(self, names: Sequence[str], device: torch.device, *, reference_key: str | None = None) -> None:
        for name in _checked(names):
            if METRICS[name].weights:
                weights.require(name)
        self._device = device
        self._scores = {name: SCORES[name] for name in names if name != "rfid"}
        self._sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in self._scores}
        self._frechet = Frechet(device, reference_key) if "rfid" in names else None
        self._n = 0

    @torch.inference_mode()
    def update(self, original: UInt8[Tensor, "b c h w"], reconstruction: UInt8[Tensor, "b c h w"]) -> None:
        """Adds a batch of images, c = 1 (grey) or 3 (RGB); all may differ in size from one batch to the next.

        Waits for the device only where rfid has features to keep.
        """
        assert original.dtype == reconstruction.dtype == torch.uint8
        assert original.shape == reconstruction.shape, (original.shape, reconstruction.shape)
        assert original.shape[1] in (1, 3), original.shape
        original, reconstruction = original.to(self._device), reconstruction.to(self._device)
        self._n += len(original)
        with _full_precision(), torch.autocast(self._device.type, enabled=False):
            for name, score in self._scores.items():
                self._sums[name] += score(original, reconstruction).double().sum()
            if self._frechet:
                self._frechet.update(original, reconstruction)

    def compute(self) -> dict[str, tuple[float, int]]:
        """{name: (value, n)} over the n images seen. rfid of a single image is NaN: it has no covariance."""
        assert self._n > 0, "compute() before update()"
        values = {name: (total / self._n).item() for name, total in self._sums.items()}
        if self._frechet:
            values["rfid"] = self._frechet.compute()
        return {name: (value, self._n) for name, value in values.items()}


def provenance(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What it takes to compute the same numbers again, per metric, for config.json.

    Raises ValueError like `ImageMetrics`.
    """
    found = {}
    for name in _checked(names):
        info = METRICS[name]
        libraries = {library: version(library) for library in ("torch", *info.libraries)}
        found[name] = {"definition": info.definition, "unit": info.unit, "libraries": libraries}
        if info.weights:
            path = weights.require(name)
            found[name]["weights_sha256"] = {path.name: weights.WEIGHTS[info.weights].digest}
        if name == "lpips":
            import lpips

            linear = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
            digest = hashlib.sha256(linear.read_bytes()).hexdigest()
            found[name]["weights_sha256"]["lpips/weights/v0.1/alex.pth"] = digest
    return found


def psnr(x: UInt8[Tensor, "b c h w"], y: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB, data range 255.

    The mean squared error counts as at least 1/12 grey level squared, that of rounding to 8 bits (58.9 dB),
    so that one exact image does not make the mean over images infinite.
    """
    squares = (x.int() - y.int()).square().flatten(1)
    mse = squares.sum(1).double() / squares.shape[1]
    return 10 * torch.log10(255**2 / mse.clamp_min(1 / 12))


def mae(x: UInt8[Tensor, "b c h w"], y: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Mean absolute error, of the 0 to 1 range."""
    return (x.int() - y.int()).abs().flatten(1).double().mean(1) / 255


def ssim(x: UInt8[Tensor, "b c h w"], y: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Structural similarity as in torchmetrics: Gaussian window of 11 pixels, sigma 1.5, data range 255.

    Every pixel counts, and windows that reach past the border see the image mirrored; scikit-image agrees
    inside and leaves out the outer 5 pixels. On smaller images torchmetrics would fill the window with mirror
    images, and fail under 6 pixels; there the window is the largest odd one that fits, and sigma shrinks with
    it. Computed in float32, good to about 1e-4 (1e-3 on flat bright images).
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    side = min(x.shape[-2:])
    window = min(SSIM_WINDOW, side - 1 + side % 2)
    # torchmetrics takes the window from sigma (3.5 of it to each side, rounded) and ignores kernel_size.
    sigma = 1.5 * window / SSIM_WINDOW
    values = structural_similarity_index_measure(y.float(), x.float(), sigma=sigma, data_range=255.0, reduction="none")
    assert isinstance(values, Tensor)
    return values


def lpips(x: UInt8[Tensor, "b c h w"], y: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Distance of AlexNet's features, by the library. Raises ValueError where its weights are not at hand."""
    network = _lpips_network(weights.require("lpips"), weights.WEIGHTS["alexnet"].digest, x.device)
    return network(_lpips_input(x), _lpips_input(y)).flatten()


SCORES: dict[str, Score] = {"psnr": psnr, "ssim": ssim, "mae": mae, "lpips": lpips}
"""All but rFID, which is one number of all images."""


def _checked(names: Sequence[str]) -> Sequence[str]:
    known = catalogue.names("image")
    for name in names:
        if name not in known:
            raise ValueError(f"unknown image metric {name!r}; {nearest(name, known)}")
    return names


def _full_precision() -> AbstractContextManager[None]:
    """No TF32 in convolutions, which torch allows by default: 10 bits would set a GPU apart from a CPU."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False)


@functools.lru_cache(maxsize=1)
def _lpips_network(backbone: Path, sha256: str, device: torch.device) -> nn.Module:
    """The library's, with the convolutions of the file `backbone`; `sha256` is an argument so that other weights are
    another network."""
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # torchvision's `pretrained=` is deprecated and lpips still uses it.
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    features = weights.tensors_of(backbone, weights.WEIGHTS["alexnet"].tensors)
    # lpips keeps the numbers of torchvision's layers within its slices
    slices = {name.partition(".")[2]: tensor for name, tensor in network.net.named_parameters()}
    for name, tensor in features.items():
        slices[name.removeprefix("features.")].data.copy_(tensor)
    return network.to(device).requires_grad_(False)


def _lpips_input(x: UInt8[Tensor, "b c h w"]) -> Float32[Tensor, "b 3 H W"]:
    """In [-1, 1], enlarged until AlexNet can take it."""
    scaled = x.expand(-1, 3, -1, -1).float() / 127.5 - 1
    shorter = min(x.shape[-2:])
    if shorter >= LPIPS_MIN_SIDE:
        return scaled
    size = [round(side * LPIPS_MIN_SIDE / shorter) for side in x.shape[-2:]]
    return F.interpolate(scaled, size=size, mode="bilinear", align_corners=False, antialias=False)
