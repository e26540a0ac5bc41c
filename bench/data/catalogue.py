"""THE list of datasets, and what is done with one by its name: check, load, fetch. Loads no torch until images are.

A new dataset is an entry here: of torchvision nothing else, otherwise also the function that `loader` names.
"""

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal

from bench.text import nearest

if TYPE_CHECKING:
    from bench.data.images import Dataset


@dataclass(frozen=True)
class Entry:
    """What is known of a dataset without loading it; `shape` (c, h, w) and `counts` are None for one's own."""

    name: str
    summary: str
    shape: tuple[int, int, int] | None
    counts: tuple[int, int, int] | None
    """Images to learn from, for validation, and for the test."""
    presets: str
    """Which file of bench/presets has its settings."""
    source: Literal["embedded", "download", "yours"]
    lies: str
    """In which package embedded images come, and in which folder below `$BENCH_DATA` torchvision looks for others."""
    loader: str = ""
    """`module:name`: of embedded images a function that makes the Dataset, of downloads a class of torchvision."""

    @property
    def spec(self) -> str:
        """As it is typed."""
        return f"{self.name}:{self.lies}" if self.source == "yours" else self.name

    @property
    def folder(self) -> Path:
        """Of a download: where its files are or will be."""
        root = Path(os.environ.get("BENCH_DATA") or "~/.cache/discrete-latents-bench/data")
        return root.expanduser().absolute() / self.lies

    @property
    def where(self) -> str:
        return str(self.folder) if self.source == "download" else self.lies

    @property
    def present(self) -> bool:
        return self.source != "download" or self.folder.is_dir()

    @property
    def bytes(self) -> int | None:
        """Memory that the pixels of all splits take."""
        return None if self.shape is None or self.counts is None else sum(self.counts) * math.prod(self.shape)


_OWN = (
    "your own images: a directory or .zip, split into train/, val/ and test/ or not; --image-size N resizes and crops"
)
_PHOTOS = "crops of seven photographs, split by region"
_CIFAR100 = "photographs of a hundred kinds of things"
DATASETS = {
    entry.name: entry
    for entry in (
        Entry("digits", "handwritten digits of scikit-learn", (1, 8, 8), (1294, 143, 360),
              "digits", "embedded", "scikit-learn", "bench.data.embedded:digits"),
        Entry("photos", _PHOTOS, (3, 32, 32), (10_763, 566, 721),
              "photos", "embedded", "scikit-image and scikit-learn", "bench.data.embedded:photos"),
        Entry("mnist", "handwritten digits", (1, 28, 28), (55_000, 5000, 10_000),
              "mnist", "download", "MNIST", "torchvision.datasets:MNIST"),
        Entry("fashion_mnist", "pictures of clothes", (1, 28, 28), (55_000, 5000, 10_000),
              "mnist", "download", "FashionMNIST", "torchvision.datasets:FashionMNIST"),
        Entry("cifar10", "photographs of ten kinds of things", (3, 32, 32), (45_000, 5000, 10_000),
              "cifar10", "download", "cifar-10-batches-py", "torchvision.datasets:CIFAR10"),
        Entry("cifar100", _CIFAR100, (3, 32, 32), (45_000, 5000, 10_000),
              "cifar10", "download", "cifar-100-python", "torchvision.datasets:CIFAR100"),
        Entry("folder", _OWN, None, None, "folder", "yours", "PATH"),
    )
}  # fmt: skip
"""In the order in which they are shown."""


def specs() -> list[str]:
    """All datasets as they are typed."""
    return [entry.spec for entry in DATASETS.values()]


def downloads() -> list[str]:
    """What `fetch` gets."""
    return [name for name, entry in DATASETS.items() if entry.source == "download"]


def find(spec: str) -> Entry:
    """By its name, whatever path follows. Raises ValueError for a dataset nobody knows."""
    name = spec.partition(":")[0]
    if name in DATASETS:
        return DATASETS[name]
    if ":" not in spec and (os.sep in spec or spec.lower().endswith(".zip") or (spec and Path(spec).exists())):
        raise ValueError(f"{spec!r} is no name of a dataset; for your own images type folder:{spec}")
    raise ValueError(f"no dataset {spec!r}; {nearest(spec.lower().replace('-', '_'), specs())}")


def check(spec: str, image_size: int | None = None) -> Entry:
    """The entry of what was typed. Raises ValueError for a dataset nobody knows, a path that is missing or goes with
    none, or an image size it cannot have; loads nothing."""
    if image_size is not None and image_size < 1:
        raise ValueError(f"--image-size {image_size} is not a size; give the side in pixels, such as 64")
    entry, (name, colon, path) = find(spec), spec.partition(":")
    if entry.source == "yours" and not path:
        raise ValueError(f"{name}: needs a path, such as folder:./images or folder:~/images.zip")
    if entry.source != "yours" and colon:
        raise ValueError(f"no dataset {spec!r}; a path goes with folder:PATH, and {name} is all of a name")
    if entry.source != "yours" and image_size is not None:
        raise ValueError(f"--image-size goes with folder:PATH; the images of {spec} have the size they have")
    return entry


def load(spec: str, *, image_size: int | None = None, progress: bool = False, download: bool = True) -> "Dataset":
    """The dataset called `spec`, its pixels on the host.

    `image_size` (pixels) resizes and crops the images of a folder. A missing dataset is downloaded, unless
    `download` is false or BENCH_OFFLINE is set. Raises ValueError, in one line, for whatever stands in the way.
    """
    entry = check(spec, image_size)
    match entry.source:
        case "yours":
            from bench.data.folder import load_folder

            return load_folder(spec.partition(":")[2], image_size=image_size, progress=progress)
        case "embedded":
            return resolve_name(entry.loader)()
        case "download":
            from bench.data.downloads import load_download

            online = download and not os.environ.get("BENCH_OFFLINE")
            return load_download(entry, allowed=online, progress=progress)[0]


def load_again(name: str, provenance: Mapping[str, object], fingerprint: str) -> "Dataset":
    """The images of a run that was planned earlier, or on another machine: `name` and `fingerprint` as in its config,
    `provenance` as its dataset had. Raises ValueError if they are gone or others."""
    spec = f"folder:{provenance['path']}" if name.startswith("folder:") else name
    size = provenance.get("image_size")
    assert size is None or isinstance(size, int)
    dataset = load(spec, image_size=size)
    if dataset.fingerprint != fingerprint:
        raise ValueError(
            f"{spec} holds other images on {socket.gethostname()} now than the run is for (fingerprint "
            f"{dataset.fingerprint}, not {fingerprint}); bring them back, or begin a new sweep with another --out"
        )
    return dataset


def fetch(name: str, *, progress: bool = True) -> str:
    """Downloads a dataset unless it is here, checks it, and says in one line where it is.

    Raises ValueError if that is not possible.
    """
    entry = DATASETS.get(name)
    if entry is None or entry.source == "yours":
        raise ValueError(f"nothing to fetch is called {name!r}; {nearest(name, downloads())}")
    if entry.source == "embedded":
        return f"{name}: comes with {entry.where}, nothing to fetch"
    from bench.data.downloads import load_download

    dataset, fresh = load_download(entry, allowed=True, progress=progress)
    state = "downloaded" if fresh else "already here"
    learned = len(dataset.train) + len(dataset.validation)
    return f"{name}: {state}, {learned} train and {len(dataset.test)} test images, checked: {entry.where}"
