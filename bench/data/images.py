"""A dataset as training sees it: three splits that hand out uint8 batches on the device."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bench.machine.devices import cores, free_memory
from bench.seeds import mixed

CPU = torch.device("cpu")
T = TypeVar("T")
R = TypeVar("R")
SHARE, MOST = 10, 5000
"""Validation is one image in so many of those to learn from, and at most so many."""
CUT = f"one in {SHARE} of train (at most {MOST:,}), the first of a fixed mixed order"
FLAT = "no train/ and test/: one in ten of all images is held out for the test, the first of a fixed mixed order"
"""What `split` in provenance says of images that came without any."""


@dataclass(frozen=True)
class Resident:
    """A split of images of one `shape` (c, h, w), c in {1, 3}, held in memory."""

    pixels: UInt8[Tensor, "n c h w"]
    device: torch.device = CPU

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self.pixels.shape
        return c, h, w

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, order: Iterable[Int[Tensor, "_"]]) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        """The images with these indices, batch by batch (of any sizes), on `device`."""
        for index in order:
            yield self.pixels[index.to(self.pixels.device)].to(self.device)

    def to(self, device: torch.device, *, held: bool) -> "Resident":
        """The same images, handed out on `device`, and `held` there."""
        return Resident(self.pixels.to(device) if held else self.pixels, device)


@dataclass(frozen=True)
class Streamed:
    """The same, too large for memory: every batch is decoded from its files, up to two batches of `order` before it is
    needed."""

    shape: tuple[int, int, int]
    names: list[str]
    read: Callable[[str], UInt8[np.ndarray, "c h w"]]
    device: torch.device = CPU

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, order: Iterable[Int[Tensor, "_"]]) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        named = ([self.names[i] for i in index.tolist()] for index in order)
        for images in map_ahead(self.read, named):
            yield torch.from_numpy(np.stack(images) if images else np.empty((0, *self.shape), np.uint8)).to(self.device)

    def to(self, device: torch.device, *, held: bool) -> "Resident | Streamed":
        if not held:
            return replace(self, device=device)
        pixels = torch.empty((len(self), *self.shape), dtype=torch.uint8, device=device)
        order = torch.arange(len(self)).split(256)
        for index, batch in zip(order, self.batches(order), strict=True):
            pixels[index.to(device)] = batch.to(device)
        return Resident(pixels, device)


Images = Resident | Streamed
"""One split."""


@dataclass(frozen=True)
class Dataset:
    """Images to learn from, images to choose by, and images that are read once, when all is chosen and learned.

    `provenance` can be written as JSON and says where the images came from and how they were cut, split and
    resized; `fingerprint` is the same for the same images in the same splits and differs for others.
    """

    name: str
    train: Images
    validation: Images
    test: Images
    shape: tuple[int, int, int]
    provenance: dict[str, object]
    fingerprint: str

    def held_out(self, split: Literal["validation", "test"]) -> Images:
        """One of the two."""
        return self.validation if split == "validation" else self.test

    def to(self, device: torch.device) -> "Dataset":
        """The same images, handed out on `device`; train and validation are held there if they take at most half of
        its free memory. No test image is touched."""
        size = (len(self.train) + len(self.validation)) * int(np.prod(self.shape))
        held = size <= free_memory(device) // 2
        return replace(
            self,
            train=self.train.to(device, held=held),
            validation=self.validation.to(device, held=held),
            test=self.test.to(device, held=False),
        )


def cut(n: int) -> tuple[list[int], list[int]]:
    """Which of n images are to learn from, in order, and which are for validation: see CUT. Raises ValueError if there
    are not enough for both."""
    if n < 2:
        raise ValueError(
            f"{n} image to learn from leaves none to hold out; at least 3 are needed, and hundreds make sense"
        )
    count = min(max(1, n // SHARE), MOST)
    order = mixed(n)
    return sorted(order[count:]), order[:count]


def in_memory(
    name: str,
    train: UInt8[Tensor, "n c h w"],
    test: UInt8[Tensor, "m c h w"],
    validation: UInt8[Tensor, "l c h w"] | None = None,
    **provenance: object,
) -> Dataset:
    """A dataset of pixels that are already here, identified by those pixels. Without `validation` it is cut from
    train."""
    if validation is None:
        kept, held_out = cut(len(train))
        train, validation = train[kept], train[held_out]
        provenance = {**provenance, "validation_split": CUT}
    splits = (train, validation, test)
    digest = hashlib.sha256()
    for split in splits:
        digest.update(repr(tuple(split.shape)).encode())
        digest.update(split.contiguous().numpy().data)
    marks = [[mark(image) for image in split.numpy()] for split in splits]
    return describe(name, list(map(resident, splits)), digest.hexdigest()[:16], **repeated(*marks), **provenance)


def mark(pixels: UInt8[np.ndarray, "c h w"]) -> bytes:
    """The same for images with the same pixels, and for no others."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def repeated(train: Sequence[bytes], validation: Sequence[bytes], test: Sequence[bytes]) -> dict[str, int]:
    """From the marks of all images, for provenance: how many of those held out were seen before."""
    learned, chosen_by = set(train), set(validation)
    return {
        "validation_images_in_train": sum(one in learned for one in validation),
        "test_images_in_train": sum(one in learned for one in test),
        "test_images_in_validation": sum(one in chosen_by for one in test),
    }


def remarks(dataset: Dataset) -> list[str]:
    """What to know before training, in words: a split that we made, and images of one that stand in another too."""
    counts = {"validation": len(dataset.validation), "test": len(dataset.test)}
    found = []
    if dataset.provenance.get("split") == FLAT:
        held_out = " and ".join(f"{counts[name]} for {name}" for name in ("test", "validation"))
        found.append(f"{dataset.name}: {FLAT}; held out are {held_out}, {len(dataset.train)} are to learn from")
    for held_out, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        count = dataset.provenance.get(f"{held_out}_images_in_{other}")
        if count:
            found.append(f"{count} of {counts[held_out]} {held_out} images stand in {other} too, pixel by pixel")
    return found


def describe(name: str, splits: Sequence[Images], fingerprint: str, **provenance: object) -> Dataset:
    """A dataset of train, validation and test, whose provenance also holds what can be read off it."""
    train, validation, test = splits
    counts = {"n_train": len(train), "n_validation": len(validation), "n_test": len(test)}
    facts = {**provenance, **counts, "shape": list(train.shape), "fingerprint": fingerprint}
    return Dataset(name, train, validation, test, train.shape, facts, fingerprint)


def resident(pixels: UInt8[Tensor, "n c h w"]) -> Images:
    """A split of these pixels, handed out where they are."""
    return Resident(pixels, pixels.device)


def pixel_statistics(images: Images) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
    """Mean and standard deviation of each channel over all pixels, in grey levels (0 to 255), on the CPU.

    The deviation is at least one grey level, so that it can be divided by.
    """
    channels = images.shape[0]
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for batch in images.batches(torch.arange(len(images)).split(256)):
        for channel in range(channels):
            counts[channel] += torch.bincount(batch[:, channel].flatten(), minlength=256).cpu()
    level = torch.arange(256, dtype=torch.float64)
    share = counts / counts.sum(dim=1, keepdim=True, dtype=torch.float64)
    mean = share @ level
    variance = (share * (level - mean[:, None]) ** 2).sum(dim=1)
    return mean.float(), variance.sqrt().clamp(min=1.0).float()


def map_ahead(work: Callable[[T], R], batches: Iterable[Sequence[T]], ahead: int = 2) -> Iterator[list[R]]:
    """`work` done on every item of every batch, in order, `ahead` batches before they are asked for.

    `batches` is therefore consumed up to `ahead` batches early. What `work` raises is raised here.
    """
    threads = min(16, cores())
    pool = ThreadPoolExecutor(threads)
    under_way: deque[list[Future[list[R]]]] = deque()

    def start(batch: Sequence[T]) -> list[Future[list[R]]]:
        # A task per thread, not per item: tiny images decode faster than threads hand over the interpreter.
        size = max(1, -(-len(batch) // threads))
        parts = [batch[first : first + size] for first in range(0, len(batch), size)]
        return [pool.submit(lambda part: [work(item) for item in part], part) for part in parts]

    def finish(parts: list[Future[list[R]]]) -> list[R]:
        return list(chain.from_iterable(part.result() for part in parts))

    try:
        for batch in batches:
            under_way.append(start(batch))
            if len(under_way) > ahead:
                yield finish(under_way.popleft())
        while under_way:
            yield finish(under_way.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
