"""Data flows one way: who may import whom, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = {"estimators", "models", "bench"}
ALLOWED = {"estimators": {"estimators"}, "models": {"models"}, "bench": OURS}
JOINS_BOTH = {"bench/build.py", "bench/conformance/toys.py"}


def imported(path: Path) -> set[str]:
    """Top-level names of the packages a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def test_packages_import_only_what_lies_before_them():
    for package, allowed in ALLOWED.items():
        for path in sources(package):
            assert not (imported(path) & OURS) - allowed, path


def test_estimators_and_models_need_torch_and_jaxtyping_alone():
    standard = set(sys.stdlib_module_names)
    for package in ("estimators", "models"):
        for path in sources(package):
            assert imported(path) - standard <= {"torch", "jaxtyping", package}, path


def test_one_file_joins_models_and_estimators_and_the_toys_of_the_tests():
    both = {
        path.relative_to(ROOT).as_posix() for path in sources("bench") if {"models", "estimators"} <= imported(path)
    }
    assert both == JOINS_BOTH


def test_help_needs_no_torch():
    code = "import sys, bench.cli; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
