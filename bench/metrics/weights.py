"""Pretrained weights behind LPIPS and rFID: where they are, whether they are intact, and how to get them.

lpips and torch-fidelity load whatever lies in torch's checkpoint folder without looking at it, and download
without a checksum. So files are checked and fetched here, and the libraries only ever see verified ones.

Of AlexNet LPIPS needs the five convolutions. Any file whose name begins with `alexnet` will do that holds just these
numbers: torchvision's own, or a safetensors of 10 MB with `features.0.weight` and its like.
"""

import functools
import hashlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.machine.download import download
from bench.metrics.catalogue import METRICS

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT = 10.0
"""Seconds without an answer or a byte after which a download counts as failed."""
RFID_SECONDS_PER_IMAGE = 0.12
"""Inception on two CPU cores, for the message that says why rFID is left out there."""


@dataclass(frozen=True)
class Weights:
    """One file."""

    name: str
    """In the catalogue of metrics."""
    filename: str
    url: str
    sha256: str
    """Of the file as published."""
    tensors: tuple[str, ...] = ()
    """What is used of it, where that is not all."""
    tensors_sha256: str = ""
    """Over these, in this order, as float32."""

    @property
    def target(self) -> Path:
        """Where the published file belongs."""
        return directory() / self.filename

    @property
    def path(self) -> Path:
        """Of the first file that is the real thing; else where it belongs."""
        return next(filter(self._is_real, self._candidates()), self.target)

    @property
    def state(self) -> Literal["present", "missing", "corrupt"]:
        candidates = self._candidates()
        return "present" if any(map(self._is_real, candidates)) else "corrupt" if candidates else "missing"

    @property
    def digest(self) -> str:
        """Of what is used."""
        return self.tensors_sha256 or self.sha256

    def _candidates(self) -> list[Path]:
        others = sorted(directory().glob(f"{self.name}*")) if self.tensors else []
        found = dict.fromkeys([self.target, *others])
        return [path for path in found if path.is_file() and os.access(path, os.R_OK)]

    def _is_real(self, path: Path) -> bool:
        stat = path.stat()
        if _sha256(path, stat.st_mtime_ns, stat.st_size) == self.sha256:
            return True
        return bool(self.tensors) and (
            _sha256_of_tensors(path, self.tensors, stat.st_mtime_ns, stat.st_size) == self.tensors_sha256
        )

    @property
    def used_by(self) -> str:
        """The metrics that cannot be computed without them."""
        return ", ".join(metric.name for metric in METRICS.values() if metric.weights == self.name)


_KNOWN = (
    Weights(
        "inception",
        "weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    Weights(
        "alexnet",
        "alexnet-owt-7be5be79.pth",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        tuple(f"features.{layer}.{part}" for layer in (0, 3, 6, 8, 10) for part in ("weight", "bias")),
        "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc",
    ),
)
WEIGHTS = {weights.name: weights for weights in _KNOWN}


def directory() -> Path:
    """`$TORCH_HOME/hub/checkpoints`, the folder in which torchvision and torch-fidelity look."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def find(name: str) -> Path | None:
    """Path of the weights `name`, or None where the file is missing or its sha256 is wrong."""
    return WEIGHTS[name].path if WEIGHTS[name].state == "present" else None


def require(metric: str) -> Path:
    """Path of the weights behind `metric`; raises ValueError where they are not here. Downloads nothing."""
    name = METRICS[metric].weights
    assert name is not None, metric
    path = find(name)
    if path is None:
        raise ValueError(f"{_lacking(metric, name)}; run `bench fetch weights`")
    return path


def available(metric: str) -> tuple[bool, str]:
    """Whether `metric` can be computed here and, if not, the reason in one line.

    Downloads what is missing, at most one attempt per process; not at all where BENCH_OFFLINE is set.
    """
    name = METRICS[metric].weights
    if name is None or find(name):
        return True, ""
    if os.environ.get("BENCH_OFFLINE"):
        return False, f"{_lacking(metric, name)}, and BENCH_OFFLINE is set; unset it, or copy the file there"
    problem = _download_once(WEIGHTS[name], directory())
    if find(name):
        return True, ""
    return False, f"{_lacking(metric, name)}; {problem}; run `bench fetch weights` where there is a network"


def absent(metrics: Iterable[str], device: str, *, asked: bool) -> dict[str, str]:
    """Those of the image metrics that will not be computed here, and why. Raises ValueError if one was `asked` for."""
    found = {}
    for metric in metrics:
        ok, reason = available(metric)
        if not ok and asked:
            raise ValueError(f"--metrics {metric}: {reason}")
        if not ok:
            found[metric] = reason
        elif metric == "rfid" and device == "cpu" and not asked:
            found[metric] = (
                f"about {RFID_SECONDS_PER_IMAGE:g} s per test image and readout on the CPU; --metrics rfid computes it"
            )
    return found


def fetch() -> list[str]:
    """Downloads every file that is missing or corrupt; one line per file says where it is.

    Raises ValueError, after all were tried, with what went wrong for each file that could not be had.
    """
    lines, problems = [], []
    for name, weights in WEIGHTS.items():
        here = weights.state == "present"
        try:
            if not here:
                _download(weights)
            lines.append(f"{name}: {'already here' if here else 'downloaded'}, checksum right: {weights.path}")
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise ValueError(f"{'; '.join(problems)}; try again, or copy by hand to {directory()}")
    return lines


def _lacking(metric: str, name: str) -> str:
    return f"{metric} needs {WEIGHTS[name].filename}, which is {WEIGHTS[name].state} in {directory()}"


@functools.lru_cache
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Hex digest; time and size are arguments so that a file is hashed again when it changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache
def _sha256_of_tensors(path: Path, names: tuple[str, ...], mtime_ns: int, size: int) -> str:
    """Hex digest over the numbers themselves, whatever file they come in; empty if they are not all in it."""
    try:
        tensors = tensors_of(path, names)
    except ValueError:
        return ""
    digest = hashlib.sha256()
    for name in names:
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def tensors_of(path: Path, names: Iterable[str]) -> "dict[str, Tensor]":
    """Float32 tensors of a safetensors file or a torch checkpoint. Raises ValueError if they are not in it."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
        return {name: content[name].float().contiguous() for name in names}
    except Exception as error:  # damaged files make both libraries raise nearly anything
        raise ValueError(f"{path} does not hold {', '.join(names)}: {error}") from None


@functools.lru_cache
def _download_once(weights: Weights, folder: Path) -> str:
    """What went wrong, or "". Remembered: a sweep without a network waits for one timeout, not for many."""
    try:
        _download(weights)
    except ValueError as problem:
        return str(problem)
    return ""


def _download(weights: Weights) -> None:
    """Puts the file in place whole and verified, or not at all. Raises ValueError with one line."""
    path = weights.target
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download([weights.url], partial, f"sha256:{weights.sha256}", progress=True, timeout=TIMEOUT)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{weights.filename}: cannot write {error.filename} ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{weights.filename}: {error}, getting {weights.url}") from error
