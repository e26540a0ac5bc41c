"""Where numbers come from: versions, git commit, hardware."""

import functools
import hashlib
import inspect
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "discrete-latents-bench",
    "torch",
    "torchvision",
    "torch-fidelity",
    "lpips",
    "torchmetrics",
    "numpy",
    "pandas",
)


def package_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_commit() -> str | None:
    """Of this checkout, with `+changes` if files differ from it; None outside one."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def hardware() -> dict[str, object]:
    import torch

    found: dict[str, object] = {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    return found


@functools.cache
def code_fingerprint(estimator: str) -> str:
    """Of the source that decides what a training step of this estimator does, a plug-in's file included: a run goes
    on from a checkpoint only with the code that wrote it."""
    import estimators

    root = Path(__file__).parent
    files = [root / "build.py", root / "trainer.py"]
    for package in ("estimators", "models"):
        files += sorted((root.parent / package).rglob("*.py"))
    plugin = inspect.getsourcefile(estimators.available()[estimator.partition(":")[0]])
    digest = hashlib.sha256()
    for path in [*files, *([Path(plugin)] if plugin else [])]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def of_code() -> dict[str, object]:
    """Versions, commit and command line, as config.json records them."""
    return {"versions": package_versions(), "git": git_commit(), "command": sys.argv}
