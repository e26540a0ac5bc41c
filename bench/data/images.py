"""A dataset as training sees it: two splits that hand out uint8 batches on the device."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bench.data.ahead import map_ahead
from bench.machine.memory import free_memory

CPU = torch.device("cpu")


@runtime_checkable
class Images(Protocol):
    """One split: `len()` images of one `shape` (c, h, w) with c in {1, 3}."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def __len__(self) -> int: ...

    def batches(self, order: Iterable[Int[Tensor, "_"]]) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        """The images with these indices, batch by batch (of any sizes), on the split's device.

        A split that is read from files takes up to two batches of `order` before they are needed.
        """
        ...


@dataclass(frozen=True)
class Resident:
    """A split held in memory; batches are gathered where the pixels are and arrive on `device`."""

    pixels: UInt8[Tensor, "n c h w"]
    device: torch.device = CPU

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self.pixels.shape
        return c, h, w

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, order: Iterable[Int[Tensor, "_"]]) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        for index in order:
            yield self.pixels[index.to(self.pixels.device)].to(self.device)


@dataclass(frozen=True)
class Streamed:
    """A split too large for memory: every batch is decoded from its files, a little ahead of time."""

    shape: tuple[int, int, int]
    names: list[str]
    read: Callable[[str], UInt8[np.ndarray, "c h w"]]
    device: torch.device = CPU

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, order: Iterable[Int[Tensor, "_"]]) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        named = ([self.names[i] for i in index.tolist()] for index in order)
        for images in map_ahead(self.read, named):
            batch = np.empty((len(images), *self.shape), np.uint8)
            for row, image in zip(batch, images, strict=True):
                row[:] = image
            yield torch.from_numpy(batch).to(self.device)


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
        return replace(self, train=_place(self.train, device, fits), test=_place(self.test, device, fits))


def _place(images: Images, device: torch.device, fits: bool) -> Images:
    match images:
        case Resident(pixels):
            return Resident(pixels.to(device) if fits else pixels, device)
        case Streamed():
            return Resident(_collect(images, device), device) if fits else replace(images, device=device)
        case _:
            raise AssertionError(f"unknown kind of images: {type(images).__name__}")


def _collect(images: Images, device: torch.device) -> UInt8[Tensor, "n c h w"]:
    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8, device=device)
    order = torch.arange(len(images)).split(256)
    for index, batch in zip(order, images.batches(order), strict=True):
        pixels[index.to(device)] = batch.to(device)
    return pixels


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
    facts = {
        "n_train": len(train),
        "n_test": len(test),
        "shape": list(train.shape),
        "fingerprint": fingerprint,
    }
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
