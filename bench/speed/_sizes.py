"""What is timed: networks of the published sizes, by the images they are for."""

from dataclasses import dataclass

import estimators
from bench import data
from bench.config import Preset


@dataclass(frozen=True)
class Size:
    name: str
    preset: Preset
    shape: tuple[int, int, int]
    cpu_batch: int
    """Images per step where nobody says otherwise on a CPU; on a GPU it is the preset's."""


def sizes() -> dict[str, Size]:
    """Of every dataset that has a shape, and of the paper's ImageNet."""
    found = {
        info.name: Size(info.name, Preset(info.name, "paper"), info.shape, 32)
        for info in data.DATASETS.values()
        if info.shape
    }
    found["imagenet256"] = Size("imagenet256", Preset("folder", "imagenet256"), (3, 256, 256), 2)
    return found


def size(name: str) -> Size:
    """Raises ValueError for a name that has no size."""
    found = sizes()
    if name not in found:
        raise ValueError(f"--dataset {name} has no shape of its own; {estimators.nearest(name, found)}")
    return found[name]
