"""Datasets and their splits: embedded, downloaded with checksums, or one's own folder."""

from bench.data.images import Dataset, Images, pixel_statistics, resident
from bench.data.registry import DatasetInfo, catalogue, check, fetch, load, names
from bench.machine.memory import free_memory

__all__ = [
    "Dataset",
    "DatasetInfo",
    "Images",
    "catalogue",
    "check",
    "fetch",
    "free_memory",
    "load",
    "names",
    "pixel_statistics",
    "resident",
]
