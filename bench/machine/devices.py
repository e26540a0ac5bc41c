"""What a run can be done on here."""

import os
from typing import Literal


def choose(name: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Raises ValueError for a GPU that is not there."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch finds no GPU here; try --device cpu (bench doctor says more)")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
