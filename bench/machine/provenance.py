"""Where numbers come from: versions, git commit, hardware."""

import ast
import functools
import hashlib
import inspect
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.machine.devices import cores

PROTOCOL = 2
"""Version of docs/protocol.md: what is held equal, and which images are read when."""
PACKAGES = (
    "discrete-latents-bench", "torch", "torchvision", "torch-fidelity", "lpips", "torchmetrics", "numpy", "pandas",
)  # fmt: skip


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

    found: dict[str, object] = {"cpu": processor(), "cores": cores(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    return found


@functools.cache
def code_fingerprint(estimator: str) -> str:
    """Of the source that decides what a run of this estimator does: all that the training loop imports, and the
    estimator's own file, a plug-in's too. A run goes on from a checkpoint only with the code that wrote it."""
    import estimators

    files = imported_files("bench.training.loop")
    plugin = inspect.getsourcefile(estimators.available()[estimator.partition(":")[0]])
    digest = hashlib.sha256()
    for path in [*files, *([Path(plugin)] if plugin else [])]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def imported_files(module: str) -> list[Path]:
    """The source of a module of this project and of all that it imports from it, directly or not, in a fixed order;
    of `estimators` and `models` every file, as estimators are found by name."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in found:
            continue
        found[name] = path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
    root = Path(__file__).parents[2]
    by_name = (path for package in ("estimators", "models") for path in (root / package).rglob("*.py"))
    return sorted({*found.values(), *by_name})


def _source(module: str) -> Path | None:
    """None for what is not of this project."""
    if module.partition(".")[0] not in ("bench", "estimators", "models"):
        return None
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def of_code() -> dict[str, object]:
    """Versions, commit and command line, as config.json records them."""
    return {"versions": package_versions(), "git": git_commit(), "command": sys.argv}
