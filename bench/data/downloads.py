"""Datasets that torchvision knows where to get: fetched once, checked, unpacked out of sight, then put in place."""

import tempfile
from importlib.metadata import version
from itertools import count
from pathlib import Path
from pkgutil import resolve_name

import torch
from jaxtyping import UInt8
from torch import Tensor

from bench.data.catalogue import Entry
from bench.data.images import Dataset, in_memory
from bench.machine.download import download

# What torchvision raises on files that are missing, cut short or not what their names say.
_DAMAGE = (RuntimeError, AssertionError, ValueError, TypeError, KeyError, EOFError)


def load_download(entry: Entry, *, allowed: bool, progress: bool) -> tuple[Dataset, bool]:
    """The dataset, downloaded first if it is missing or damaged, and whether it was downloaded.

    Raises ValueError if it has to be downloaded and may not (`allowed`) or cannot be.
    """
    name, where = entry.name, entry.folder
    try:
        return _read(entry), False
    except _DAMAGE:
        state = "damaged in" if where.exists() else "not in"
    except OSError as error:
        raise ValueError(f"cannot read {name} in {where}: {error.strerror}") from None
    copy = f"run `bench fetch {name}` where there is a network and copy its {where.name} to {where}"
    if not allowed:
        raise ValueError(f"{name} is {state} {where}, and this run may not download (is BENCH_OFFLINE set?): {copy}")
    try:
        _obtain(entry, progress)
    except _DAMAGE as error:
        raise ValueError(f"cannot download {name}: {error}: try again, or {copy}") from None
    except OSError as error:
        raise ValueError(
            f"cannot write {name} to {where.parent}: {error.strerror}; set BENCH_DATA to a folder with room that "
            "you may write to"
        ) from None
    return _read(entry), True


def _read(entry: Entry) -> Dataset:
    """Checked while being read: CIFAR by its checksums, MNIST by its lengths."""
    cls = resolve_name(entry.loader)
    train, test = (_pixels(cls(str(entry.folder.parent), train=train).data) for train in (True, False))
    return in_memory(
        entry.name,
        train,
        test,
        source="download",
        origin=f"torchvision {version('torchvision')}, {cls.__name__}",
        split="as published",
        resize="none",
        archives_md5={Path(target).name: md5 for _, target, md5 in _archives(entry)},
    )


def _pixels(data: object) -> UInt8[Tensor, "n c h w"]:
    pixels = torch.as_tensor(data)
    return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def _obtain(entry: Entry, progress: bool) -> None:
    """Downloads and unpacks in a hidden folder beside the entry's, which only ever appears complete."""
    where, root = entry.folder, entry.folder.parent
    root.mkdir(parents=True, exist_ok=True)
    if where.exists():  # damaged, or we would not be here
        where.rename(_unused(where))
    with tempfile.TemporaryDirectory(prefix=f".{entry.name}-", dir=root) as scratch:
        for urls, target, md5 in _archives(entry):
            archive = Path(scratch) / target
            archive.parent.mkdir(parents=True, exist_ok=True)
            download(urls, archive, f"md5:{md5}", progress=progress)
        resolve_name(entry.loader)(scratch, download=True)  # finds the archives in place and unpacks them
        try:
            (Path(scratch) / where.name).rename(where)
        except OSError:
            if not where.exists():  # otherwise another process was faster, with the same files
                raise


def _unused(where: Path) -> Path:
    names = (where.with_name(f"{where.name}.damaged-{i}") for i in count(1))
    return next(name for name in names if not name.exists())


def _archives(entry: Entry) -> list[tuple[list[str], str, str]]:
    """For each file to download: its addresses, its path where torchvision looks for it, its md5."""
    cls = resolve_name(entry.loader)
    if hasattr(cls, "resources"):
        return [
            ([mirror + file for mirror in cls.mirrors], f"{cls.__name__}/raw/{file}", md5)
            for file, md5 in cls.resources
        ]
    return [([cls.url], cls.filename, cls.tgz_md5)]
