"""What the command line leaves open: device, metrics, downloads."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TypeVar

import estimators
from bench import data
from bench.metrics import catalogue, weights
from bench.metrics.catalogue import METRICS

T = TypeVar("T", int, float)

RFID_SECONDS_PER_IMAGE = 0.12
"""Inception on two CPU cores, for the message that says why rFID is left out there."""


def check_tensorboard() -> None:
    """Raises ValueError if it is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard needs TensorBoard, which is not installed; type pip install '.[tensorboard]'")


def metric_names(text: str | None) -> tuple[str, ...]:
    """Image metrics named in a comma-separated list; all when there is none. The others are always measured.

    Raises ValueError for an unknown name.
    """
    if text is None:
        return tuple(catalogue.names("image"))
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}; {estimators.nearest(name, METRICS)}")
    return tuple(name for name in catalogue.names("image") if name in names)


def absent_metrics(names: Sequence[str], device: str, *, asked: bool) -> Mapping[str, str]:
    """Those of `names` that cannot be computed here, and why. Raises ValueError if they were asked for by name."""
    absent = {}
    for name in names:
        available, reason = weights.available(name)
        if not available:
            if asked:
                raise ValueError(f"--metrics {name}: {reason}")
            absent[name] = reason
        elif name == "rfid" and device == "cpu" and not asked:
            absent[name] = (
                f"about {RFID_SECONDS_PER_IMAGE:g} s per test image and readout on the CPU; --metrics rfid computes it"
            )
    return absent


def numbers(option: str, text: str, kind: type[T]) -> list[T]:
    """A comma-separated list of numbers. Raises ValueError for anything else."""
    try:
        return [kind(piece) for piece in text.split(",") if piece.strip()]
    except ValueError:
        raise ValueError(f"{option} {text} is not a list of numbers; try {option} 1,2,4") from None


def downloads(names: Sequence[str]) -> list[str]:
    """What `bench fetch` is to get, split at commas. Raises ValueError for what cannot be downloaded."""
    valid = [*data.downloads(), "weights"]
    wanted = [name for text in names for name in text.split(",") if name]
    for name in wanted:
        if name not in valid:
            raise ValueError(f"nothing to fetch is called {name!r}; {estimators.nearest(name, valid)}")
    return wanted
