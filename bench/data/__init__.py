"""Datasets and their splits: embedded, downloaded with checksums, or one's own folder."""

from typing import TYPE_CHECKING

from bench.data.catalogue import DATASETS, Entry, check, downloads, fetch, find, load, load_again, specs

if TYPE_CHECKING:
    from bench.data.images import Dataset, Images, pixel_statistics, remarks, resident

__all__ = [
    "DATASETS", "Dataset", "Entry", "Images", "check", "downloads", "fetch", "find", "load", "load_again",
    "pixel_statistics", "remarks", "resident", "specs",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """What needs torch waits until somebody asks: help does not."""
    if name in ("Dataset", "Images", "pixel_statistics", "resident", "remarks"):
        from bench.data import images

        return getattr(images, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
