"""Reconstruction FID: the Fréchet distance between Inception features of originals and reconstructions.

Network, resizing and formula are torch-fidelity's; here is only what lets them take batches as they come.
"""

import contextlib
import functools
import hashlib
from pathlib import Path

import torch
from jaxtyping import Float32, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from bench.machine.files import write_atomically
from bench.metrics import weights
from bench.text import slug

INCEPTION_BATCH = 64
"""Images per pass, at 299 x 299 each whatever their own size: 64 of them need about 2 GB."""


class Frechet:
    """Inception features of originals and reconstructions, and the distance between them."""

    def __init__(self, device: torch.device, reference_key: str | None) -> None:
        path = weights.require("rfid")
        sha256 = weights.WEIGHTS["inception"].sha256
        self._device = device
        self._network = _inception(path, sha256, device)
        self._originals: list[Float32[Tensor, "b 2048"]] = []
        self._reconstructions: list[Float32[Tensor, "b 2048"]] = []
        # beside torch's checkpoints; one per device type, so that CPU rows never depend on a GPU's rounding
        place = f"rfid-features/{slug(reference_key)}/{sha256}-{device.type}"
        self._kept = weights.directory().parent / place if reference_key else None

    def update(self, original: UInt8[Tensor, "b c h w"], reconstruction: UInt8[Tensor, "b c h w"]) -> None:
        self._originals.append(self._original_features(original))
        self._reconstructions.append(self._features(reconstruction))

    def compute(self) -> float:
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

        originals, reconstructions = torch.cat(self._originals), torch.cat(self._reconstructions)
        if len(originals) < 2:
            return float("nan")
        statistics = [fid_features_to_statistics(f.cpu()) for f in (reconstructions, originals)]
        return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]

    def _features(self, images: UInt8[Tensor, "b c h w"]) -> Float32[Tensor, "b 2048"]:
        rgb = images.expand(-1, 3, -1, -1)
        return torch.cat([self._network(chunk)[0] for chunk in rgb.split(INCEPTION_BATCH)])

    def _original_features(self, images: UInt8[Tensor, "b c h w"]) -> Float32[Tensor, "b 2048"]:
        if self._kept is None:
            return self._features(images)
        path = self._kept / f"{_digest(images)}.safetensors"
        # there may be no file, or one that a crash left incomplete
        with contextlib.suppress(OSError, SafetensorError):
            return load(path.read_bytes())["features"].to(self._device)
        features = self._features(images)
        # a full or read-only disk costs the next run a recomputation, not this one its result
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, save({"features": features.cpu().contiguous()}), durable=False)
        return features


@functools.lru_cache(maxsize=1)
def _inception(path: Path, sha256: str, device: torch.device) -> nn.Module:
    """torch-fidelity's extractor; `sha256` is an argument so that other weights are another network."""
    from torch_fidelity.utils import create_feature_extractor

    return create_feature_extractor(
        "inception-v3-compat", ["2048"], cuda=False, feature_extractor_weights_path=str(path), verbose=False
    ).to(device)


def _digest(images: UInt8[Tensor, "b c h w"]) -> str:
    shape = str(tuple(images.shape)).encode()
    return hashlib.sha256(shape + images.cpu().contiguous().numpy().tobytes()).hexdigest()
