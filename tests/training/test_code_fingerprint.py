"""A checkpoint is used only with the code that wrote it: whatever the training loop imports counts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.sweeps import ROOT

from bench.machine import provenance

DECIDES = (
    "bench/build.py",
    "bench/seeds.py",
    "bench/data/images.py",
    "bench/metrics/evaluate.py",
    "bench/metrics/images.py",
    "bench/training/checkpoint.py",
    "bench/training/clipping.py",
    "bench/training/cuda_graph.py",
    "bench/training/journal.py",
    "bench/training/loop.py",
    "bench/training/step.py",
    "estimators/_base.py",
    "estimators/fsq.py",
    "models/__init__.py",
)
DOES_NOT = ("bench/sweeps/plan.py", "bench/sweeps/status.py", "bench/stats/intervals.py", "bench/cli/__init__.py")
fingerprint = provenance.code_fingerprint.__wrapped__
"""Without its memory."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Iterator[Path]:
    """A copy of the sources, in the place of those that the tests run from."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("bench", "estimators", "models"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "__file__", str(root / "bench" / "machine" / "provenance.py"))
        yield root


@pytest.fixture(scope="module")
def unchanged(checkout) -> str:
    return fingerprint("daps")


def test_all_that_the_loop_imports_is_found():
    found = {path.relative_to(ROOT).as_posix() for path in provenance.imported_files("bench.training.loop")}
    assert found >= set(DECIDES)
    assert not found & set(DOES_NOT)


@pytest.mark.parametrize("name", [*DECIDES, *DOES_NOT])
def test_a_change_of_what_decides_the_numbers_is_other_code(checkout, unchanged, name):
    path = checkout / name
    content = path.read_text()
    path.write_text(content + "# changed\n")
    assert (fingerprint("daps") != unchanged) == (name in DECIDES)
    path.write_text(content)
    assert fingerprint("daps") == unchanged
