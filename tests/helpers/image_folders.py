"""Folders of images as people have them, and their loading."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import data


def picture(seed: int, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Image.Image:
    height, width = size
    array = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(array).convert(mode)


def save(root: Path, name: str, image: Image.Image) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def fill(root: Path, train: int = 4, test: int = 3, **kwargs) -> Path:
    for i in range(train):
        save(root, f"train/{i:03}.png", picture(i, **kwargs))
    for i in range(test):
        save(root, f"test/{i:03}.png", picture(1000 + i, **kwargs))
    return root


def zipped(root: Path, archive: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", compression) as file:
        for path in sorted(root.rglob("*")):
            file.write(path, path.relative_to(root))
    return archive


def load(path: Path, **kwargs) -> data.Dataset:
    return data.load(f"folder:{path}", **kwargs)


def everything(split: data.Images) -> torch.Tensor:
    return torch.cat(list(split.batches(torch.arange(len(split)).split(3))))


def learned_from(dataset: data.Dataset) -> torch.Tensor:
    """What lies in train/: train and the validation that is cut from it."""
    return torch.cat([everything(dataset.train), everything(dataset.validation)])


def as_set(pixels: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in pixels}


def refused(path: Path, **kwargs) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        load(path, **kwargs)
    return str(error.value)
