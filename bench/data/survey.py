"""The first look at somebody's images: every file decoded once, to keep the pixels or to know what to leave out."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import UnidentifiedImageError

from bench.data.decode import Picture, decode, size_of
from bench.data.files import Files
from bench.data.images import CPU, Images, Resident, Streamed, map_ahead
from bench.machine.devices import free_memory

_BATCH = 32  # images looked at together, read two batches ahead: few, for they may be large
_SAMPLE = 2000  # images whose size is read for a message


@dataclass
class Split:
    """The image files below `folder` (its name ends in `/`): all, those that decode, and why the others do not."""

    label: str
    folder: str
    names: list[str]
    readable: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


class Survey:
    """Looks at one split after the other; keeps the pixels if all of them take at most half of the free memory.

    `channels` is 1 if every image so far is grey, else 3; `upscaled` counts images smaller than `image_size`.
    """

    def __init__(self, files: Files, splits: list[Split], image_size: int | None) -> None:
        self.channels = 1
        self.upscaled = 0
        self._files = files
        self._names = [name for split in splits for name in split.names]
        self._image_size = image_size
        self._digest = hashlib.sha256(f"image_size={image_size}\n".encode())
        self._first: str | None = None
        self._shape = (3, 0, 0)
        self._pixels: UInt8[np.ndarray, "n 3 h w"] | None = None
        self._start: dict[str, int] = {}
        self._kept = 0

    @property
    def fingerprint(self) -> str:
        """Of names and file contents, so that a directory and a .zip of it have the same."""
        return self._digest.hexdigest()[:16]

    def look(self, split: Split, advance: Callable[[int], None]) -> None:
        """Fills in `split.readable` and `split.unreadable`.

        Raises ValueError if images differ in size and there is no `image_size` to bring them to.
        """
        self._start[split.label] = self._kept
        batches = [split.names[i : i + _BATCH] for i in range(0, len(split.names), _BATCH)]
        look = partial(_look, self._files, self._image_size)
        for batch, looks in zip(batches, map_ahead(look, batches), strict=True):
            for name, (checksum, picture) in zip(batch, looks, strict=True):
                line = f"{split.label}/{name.removeprefix(split.folder)} {checksum:08x}\n"
                self._digest.update(line.encode(errors="surrogateescape"))
                if isinstance(picture, str):
                    split.unreadable[name] = picture
                else:
                    self._keep(name, picture)
                    split.readable.append(name)
            advance(len(batch))

    def _keep(self, name: str, picture: Picture) -> None:
        if self._first is None:
            self._first, self._shape = name, picture.pixels.shape
            if len(self._names) * picture.pixels.size <= free_memory(CPU) // 2:
                self._pixels = np.empty((len(self._names), *self._shape), np.uint8)
        if picture.pixels.shape != self._shape:
            raise ValueError(self._sizes(self._first, name))
        if self._pixels is not None:
            self._pixels[self._kept] = picture.pixels
        self._kept += 1
        self.upscaled += picture.upscaled
        if not picture.grey:
            self.channels = 3

    def images(self, split: Split) -> Images:
        """The readable images of a split that has been looked at."""
        if self._pixels is None:
            _, h, w = self._shape
            read = partial(_read_again, self._files, self._image_size, self.channels)
            return Streamed((self.channels, h, w), split.readable, read)
        start = self._start[split.label]
        pixels = self._pixels[start : start + len(split.readable), : self.channels]
        return Resident(torch.from_numpy(np.ascontiguousarray(pixels)))

    def _sizes(self, *known: str) -> str:
        sample = {*self._names[:: -(-len(self._names) // _SAMPLE)], *known}
        counts: Counter[tuple[int, int]] = Counter()
        for name in sample:
            try:
                counts[size_of(self._files.read(name))] += 1
            except Exception:  # unreadable files have no size
                continue
        sizes = [f"{w}x{h} ({n})" for (w, h), n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        shorter = min(min(size) for size in counts)
        return (
            f"images of {len(sizes)} sizes among {len(sample)} looked at: {', '.join(sizes[:6])}"
            f"{' ...' if sizes[6:] else ''}: give --image-size N to resize and crop them to squares of N pixels "
            f"(the shortest side is {shorter})"
        )


def _look(files: Files, image_size: int | None, name: str) -> tuple[int, Picture | str]:
    """Checksum of the file, and the image or the reason that there is none."""
    checksum = 0
    try:
        raw = files.read(name)
        checksum = zlib.crc32(raw)
        return checksum, decode(raw, image_size)
    except Exception as error:  # damaged files make Pillow raise nearly anything
        return checksum, _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"  # Pillow's own words hold an address in memory
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _read_again(files: Files, image_size: int | None, channels: int, name: str) -> UInt8[np.ndarray, "c h w"]:
    _, picture = _look(files, image_size, name)
    if isinstance(picture, str):
        raise ValueError(f"{name!r} was an image when the run began and is none now ({picture}); was it changed?")
    return picture.pixels[:channels]
