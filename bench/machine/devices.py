"""What a run can be done on here, and its memory: how much is free, and the most there was. Loads no torch itself."""

import contextlib
import os
import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def _cuda():
    import torch

    return torch.cuda


def choose(name: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Raises ValueError for a GPU that is not there."""
    if name == "cuda" and not _cuda().is_available():
        raise ValueError("--device cuda, but torch finds no GPU here; try --device cpu (bench doctor says more)")
    if name == "auto":
        return "cuda" if _cuda().is_available() else "cpu"
    return name


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(_cuda().device_count())]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak_memory(device: "torch.device") -> None:
    """Start counting anew, where the system allows it."""
    if device.type == "cuda":
        _cuda().reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: "torch.device") -> int:
    """Bytes."""
    if device.type == "cuda":
        return _cuda().max_memory_allocated(device)
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: "torch.device") -> int:
    """Bytes free on `device`; for the host, what this process may still take before it is killed or swaps."""
    if device.type == "cuda":
        return _cuda().mem_get_info(device)[0]
    return min([_host_memory(), *_control_group_memory()])


def _host_memory() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    # macOS does not say what is free without help; half of what is built in is a safe guess.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _control_group_memory(
    membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> list[int]:
    """What each enclosing control group leaves: a batch job owns a slice of its node, not the node."""
    if not membership.exists():
        return []
    version_2 = [line[3:] for line in membership.read_text().splitlines() if line.startswith("0::")]
    left = []
    for path in version_2:
        group = mount / path.lstrip("/")
        for folder in [group, *group.parents]:
            limit, used = folder / "memory.max", folder / "memory.current"
            if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
                left.append(max(0, int(text) - int(used.read_text())))
    return left
