"""Datasets by name."""

import math
import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from bench.data import embedded
from bench.data.downloads import load_download, location
from bench.data.folder import load_folder
from bench.data.images import Dataset

_FOLDER = "folder:PATH"


@dataclass(frozen=True)
class DatasetInfo:
    """What `bench list` and `bench doctor` say about a dataset; the numbers are None for one's own."""

    name: str
    summary: str
    shape: tuple[int, int, int] | None
    n_train: int | None
    n_test: int | None
    source: Literal["embedded", "download", "yours"]
    where: str
    present: bool

    @property
    def bytes(self) -> int | None:
        """Memory that the pixels of both splits take."""
        if self.shape is None or self.n_train is None or self.n_test is None:
            return None
        return (self.n_train + self.n_test) * math.prod(self.shape)


_NAMED = (
    ("digits", "handwritten digits of scikit-learn", (1, 8, 8), 1437, 360),
    ("photos", "crops of seven photographs, split by region", (3, 32, 32), 16654, 721),
    ("mnist", "handwritten digits", (1, 28, 28), 60_000, 10_000),
    ("fashion_mnist", "pictures of clothes", (1, 28, 28), 60_000, 10_000),
    ("cifar10", "photographs of ten kinds of things", (3, 32, 32), 50_000, 10_000),
    ("cifar100", "photographs of a hundred kinds of things", (3, 32, 32), 50_000, 10_000),
)
_COMES_WITH = {"digits": "scikit-learn", "photos": "scikit-image and scikit-learn"}


def catalogue() -> list[DatasetInfo]:
    """Every dataset there is, without loading any."""
    named = []
    for name, summary, shape, n_train, n_test in _NAMED:
        if name in _COMES_WITH:
            source, where, present = "embedded", _COMES_WITH[name], True
        else:
            source, where, present = "download", str(location(name)), location(name).is_dir()
        named.append(DatasetInfo(name, summary, shape, n_train, n_test, source, where, present))
    summary = "your own images: a directory or .zip with train/ and test/; --image-size N resizes and crops"
    return [*named, DatasetInfo(_FOLDER, summary, None, None, None, "yours", "PATH", present=True)]


def names() -> list[str]:
    """The datasets that have a name of their own; `folder:PATH` comes besides."""
    return [name for name, *_ in _NAMED]


def check(spec: str, image_size: int | None = None) -> None:
    """Raises ValueError for a dataset nobody knows, or an image size it cannot have; loads nothing."""
    if image_size is not None and image_size < 1:
        raise ValueError(f"--image-size {image_size} is not a size; give the side in pixels, such as 64")
    if spec == "folder:":
        raise ValueError("folder: needs a path, such as folder:./images or folder:~/images.zip")
    if spec.startswith("folder:"):
        return
    if spec in names():
        if image_size is not None:
            raise ValueError(f"--image-size goes with {_FOLDER}; the images of {spec} have the size they have")
        return
    if ":" not in spec and (os.sep in spec or spec.lower().endswith(".zip") or (spec and Path(spec).exists())):
        raise ValueError(f"{spec!r} is no name of a dataset; for your own images type folder:{spec}")
    valid = [*names(), _FOLDER]
    near = get_close_matches(spec.lower().replace("-", "_"), valid, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no dataset {spec!r}; {hint}there are {', '.join(valid)}")


def load(spec: str, *, image_size: int | None = None, progress: bool = False, download: bool = True) -> Dataset:
    """The dataset called `spec`, its pixels on the host.

    `image_size` (pixels) resizes and crops the images of a folder. A missing dataset is downloaded, unless
    `download` is false or BENCH_OFFLINE is set. Raises ValueError, in one line, for whatever stands in the way.
    """
    check(spec, image_size)
    kind, _, path = spec.partition(":")
    match kind:
        case "folder":
            return load_folder(path, image_size=image_size, progress=progress)
        case "digits":
            return embedded.digits()
        case "photos":
            return embedded.photos()
    online = download and not os.environ.get("BENCH_OFFLINE")
    dataset, _ = load_download(spec, allowed=online, progress=progress)
    return dataset


def fetch(name: str, *, progress: bool = True) -> str:
    """Downloads a dataset unless it is here, checks it, and says in one line where it is.

    Raises ValueError if that is not possible.
    """
    info = next((info for info in catalogue() if info.name == name), None)
    if info is None or info.source == "yours":
        valid = ", ".join(info.name for info in catalogue() if info.source == "download")
        raise ValueError(f"nothing to fetch is called {name!r}; there are {valid}")
    if info.source == "embedded":
        return f"{name}: comes with {info.where}, nothing to fetch"
    dataset, fresh = load_download(name, allowed=True, progress=progress)
    state = "downloaded" if fresh else "already here"
    return f"{name}: {state}, {len(dataset.train)} train and {len(dataset.test)} test images, checked: {info.where}"
