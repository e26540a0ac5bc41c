"""Data flows one way: which room may import which, read from the source. `pytest -s` prints the plan of the house."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("bench", "estimators", "models")
ROOMS = (
    "estimators",
    "models",
    "text",
    "machine",
    "presets",
    "seeds",
    "data",
    "config",
    "build",
    "metrics",
    "records",
    "training",
    "stats",
    "tables",
    "figures",
    "pages",
    "sweeps",
    "ablation",
    "tuning",
    "gradients",
    "speed",
    "conformance",
    "cli",
)
"""From the ground up: a room imports only those below it."""
MOST_ARROWS = 110
JOINS_BOTH = {"bench/build.py", "bench/conformance/toys.py"}
LIGHT = ("bench.stats", "bench.records", "bench.tables", "bench.metrics.catalogue", "bench.data", "bench.text")


def sources() -> list[Path]:
    return sorted(path for package in ("estimators", "models", "bench") for path in (ROOT / package).rglob("*.py"))


def room(module: str) -> str:
    """`bench.stats.bands` lies in stats, `bench.config` is a room itself; the door, `bench/__init__.py`, is none."""
    first, *rest = module.split(".")
    return (rest[0] if rest else "") if first == "bench" else first


def imports(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it, and the modules whose names it takes out of a package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = ROOT.joinpath(*node.module.split("."))
            names = [alias.name for alias in node.names]
            modules = [name for name in names if (inside / name).is_dir() or (inside / f"{name}.py").is_file()]
            found |= {f"{node.module}.{name}" for name in modules}
            if len(modules) < len(names):
                found.add(node.module)
    return found


def arrows() -> dict[str, set[str]]:
    """By room, those it imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sources():
        mine = room(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        for module in imports(path):
            if module.partition(".")[0] in OURS and room(module) not in (mine, ""):
                found[mine].add(room(module))
    return found


def test_every_room_imports_only_rooms_below_it():
    found = arrows()
    print()
    for name in reversed(ROOMS):
        print(f"{name:12} <- {', '.join(sorted(found[name], key=ROOMS.index))}")
    count = sum(len(below) for name, below in found.items() if name)
    print(f"{len(ROOMS)} rooms, {count} arrows")
    upward = [
        (name, other)
        for name, below in found.items()
        for other in below
        if name and ROOMS.index(other) > ROOMS.index(name)
    ]
    assert not upward
    assert count <= MOST_ARROWS


def test_there_are_no_rooms_but_these():
    inside = {path.stem for path in (ROOT / "bench").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert inside - {"__init__", "__pycache__"} == set(ROOMS) - {"estimators", "models"}


def test_private_modules_are_imported_by_their_own_room_alone():
    for path in sources():
        mine = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for module in imports(path):
            if module.partition(".")[0] in OURS and room(module) != mine:
                assert not any(part.startswith("_") for part in module.split(".")), (path, module)


def test_estimators_and_models_need_torch_and_jaxtyping_alone():
    standard = set(sys.stdlib_module_names)
    for package in ("estimators", "models"):
        for path in (ROOT / package).rglob("*.py"):
            outside = {module.partition(".")[0] for module in imports(path)} - standard
            assert outside <= {"torch", "jaxtyping", package}, path


def test_one_file_joins_models_and_estimators_and_the_toys_of_the_tests():
    def packages(path: Path) -> set[str]:
        return {module.partition(".")[0] for module in imports(path)}

    both = {path.relative_to(ROOT).as_posix() for path in sources() if {"models", "estimators"} <= packages(path)}
    assert both == JOINS_BOTH


def without(modules: tuple[str, ...], imported: str) -> bool:
    code = f"import sys, {imported}; sys.exit(any(module in sys.modules for module in {modules!r}))"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_help_needs_no_torch():
    assert without(("torch", "pandas", "matplotlib"), "bench.cli")


@pytest.mark.parametrize("module", LIGHT)
def test_what_only_reads_results_needs_no_torch(module):
    assert without(("torch", "matplotlib"), module)
