"""A dataset as training sees it: two splits that hand out uint8 batches on the device."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bench.machine.devices import cores, free_memory

CPU = torch.device("cpu")
T = TypeVar("T")
R = TypeVar("R")


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
    """Images to learn from and held-out images to measure on.

    `provenance` can be written as JSON and says where the images came from and how they were cut, split and
    resized; `fingerprint` is the same for the same images and differs for others.
    """

    name: str
    train: Images
    test: Images
    shape: tuple[int, int, int]
    provenance: dict[str, object]
    fingerprint: str

    def to(self, device: torch.device) -> "Dataset":
        """The same images, handed out on `device`; held there if they take at most half of its free memory."""
        size = (len(self.train) + len(self.test)) * int(np.prod(self.shape))
        fits = size <= free_memory(device) // 2
        return replace(self, train=self.train.to(device, held=fits), test=self.test.to(device, held=fits))


def in_memory(
    name: str, train: UInt8[Tensor, "n c h w"], test: UInt8[Tensor, "m c h w"], **provenance: object
) -> Dataset:
    """A dataset of pixels that are already here, identified by those pixels."""
    digest = hashlib.sha256()
    for split in (train, test):
        digest.update(repr(tuple(split.shape)).encode())
        digest.update(split.contiguous().numpy().data)
    return describe(name, resident(train), resident(test), digest.hexdigest()[:16], **provenance)


def describe(name: str, train: Images, test: Images, fingerprint: str, **provenance: object) -> Dataset:
    """A dataset whose provenance also holds what can be read off it."""
    facts = {"n_train": len(train), "n_test": len(test), "shape": list(train.shape), "fingerprint": fingerprint}
    return Dataset(name, train, test, train.shape, {**provenance, **facts}, fingerprint)


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
