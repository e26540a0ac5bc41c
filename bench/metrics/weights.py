"""Pretrained weights behind LPIPS and rFID: where they are, whether they are intact, and how to get them.

lpips and torch-fidelity load whatever lies in torch's checkpoint folder without looking at it, and download
without a checksum. So files are checked and fetched here, and the libraries only ever see verified ones.
"""

import functools
import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.machine.download import download

TIMEOUT = 10.0
"""Seconds without an answer or a byte after which a download counts as failed."""

State = Literal["present", "missing", "corrupt"]


@dataclass(frozen=True)
class Weights:
    name: str
    filename: str
    url: str
    sha256: str
    used_by: str
    """The metric that cannot be computed without this file."""


@dataclass(frozen=True)
class WeightsStatus:
    name: str
    state: State
    path: Path
    used_by: str


WEIGHTS: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="inception",
            filename="weights-inception-2015-12-05-6726825d.pth",
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            used_by="rfid",
        ),
        Weights(
            name="alexnet",
            filename="alexnet-owt-7be5be79.pth",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            used_by="lpips",
        ),
    )
}


def directory() -> Path:
    """`$TORCH_HOME/hub/checkpoints`, the folder in which torchvision and torch-fidelity look."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def find(name: str) -> Path | None:
    """Path of the weights `name`, or None where the file is missing or its sha256 is wrong."""
    path = _path(WEIGHTS[name])
    return path if _state(WEIGHTS[name]) == "present" else None


def require(metric: str) -> Path:
    """Path of the weights behind `metric`; raises ValueError where they are not here. Downloads nothing."""
    weights = _used_by(metric)
    assert weights is not None, metric
    path = find(weights.name)
    if path is None:
        raise ValueError(f"{_lacking(weights)}; run `bench fetch weights`")
    return path


def available(metric: str) -> tuple[bool, str]:
    """Whether `metric` can be computed here and, if not, the reason in one line.

    Downloads what is missing, at most one attempt per process; not at all where BENCH_OFFLINE is set.
    """
    weights = _used_by(metric)
    if weights is None or find(weights.name):
        return True, ""
    if os.environ.get("BENCH_OFFLINE"):
        return False, f"{_lacking(weights)}, and BENCH_OFFLINE is set; unset it, or copy the file there"
    problem = _download_once(weights, directory())
    if find(weights.name):
        return True, ""
    return False, f"{_lacking(weights)}; {problem}; run `bench fetch weights` where there is a network"


def fetch(*, progress: bool = True) -> list[str]:
    """Downloads every file that is missing or corrupt; one line per file says where it is.

    Raises ValueError, after all were tried, with what went wrong for each file that could not be had.
    """
    lines, problems = [], []
    for weights in WEIGHTS.values():
        try:
            lines.append(_fetch_one(weights, progress=progress))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise ValueError(f"{'; '.join(problems)}; try again, or copy by hand to {directory()}")
    return lines


def status() -> list[WeightsStatus]:
    """What is here, for `bench doctor`; downloads nothing."""
    return [WeightsStatus(w.name, _state(w), _path(w), w.used_by) for w in WEIGHTS.values()]


def _used_by(metric: str) -> Weights | None:
    return next((weights for weights in WEIGHTS.values() if weights.used_by == metric), None)


def _lacking(weights: Weights) -> str:
    return f"{weights.used_by} needs {weights.filename}, which is {_state(weights)} in {directory()}"


def _path(weights: Weights) -> Path:
    return directory() / weights.filename


def _state(weights: Weights) -> State:
    path = _path(weights)
    if not (path.is_file() and os.access(path, os.R_OK)):
        return "missing"
    stat = path.stat()
    digest = _sha256(path, stat.st_mtime_ns, stat.st_size)
    return "present" if digest == weights.sha256 else "corrupt"


@functools.lru_cache
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Hex digest; time and size are arguments so that a file is hashed again when it changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_one(weights: Weights, *, progress: bool) -> str:
    if _state(weights) == "present":
        return f"{weights.name}: already here, checksum right: {_path(weights)}"
    _download(weights, progress=progress)
    return f"{weights.name}: downloaded, checksum right: {_path(weights)}"


@functools.lru_cache
def _download_once(weights: Weights, folder: Path) -> str:
    """What went wrong, or "". Remembered: a sweep without a network waits for one timeout, not for many."""
    try:
        _download(weights, progress=True)
    except ValueError as problem:
        return str(problem)
    return ""


def _download(weights: Weights, *, progress: bool) -> None:
    """Puts the file in place whole and verified, or not at all. Raises ValueError with one line."""
    path = _path(weights)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download([weights.url], partial, f"sha256:{weights.sha256}", progress=progress, timeout=TIMEOUT)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{weights.filename}: cannot write {error.filename} ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{weights.filename}: {error}, getting {weights.url}") from error
