"""An estimator from another package: installed, listed, run, and held to what it claims."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package in a folder of its own, built away from the checkout."""
    site = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for path in (ROOT / "tests/example_plugin").iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(source)], check=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "OMP_NUM_THREADS": "1"}


def python(*arguments: str, env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_is_listed_with_its_arguments(installed):
    done = python("-m", "bench.cli", "list", "estimators", env=installed)
    assert "argmax_st" in done.stdout
    assert "temperature=1.0" in done.stdout


@pytest.mark.slow
def test_it_runs_beside_ours(installed, tmp_path):
    arguments = [
        "--dataset",
        "digits",
        "--preset",
        "quick",
        "--steps",
        "3",
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "o"),
    ]
    done = python("-m", "bench.cli", "run", "-e", "argmax_st:temperature=2,fsq", *arguments, env=installed)
    assert done.returncode == 0, done.stderr
    assert "argmax_st:temperature=2" in done.stdout


@pytest.mark.slow
def test_the_conformance_suite_runs_on_it(installed, tmp_path):
    done = python("-m", "bench.conformance", "argmax_st", env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "18 passed" in done.stdout  # nine properties, two posteriors
    assert python("-m", "bench.conformance", "argmax_sd", env=installed, cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_the_conformance_suite_rejects_a_false_claim(installed, tmp_path):
    (tmp_path / "false_claim.py").write_text(
        "from example_estimator import ArgmaxStraightThrough\n"
        "class Claims(ArgmaxStraightThrough):\n"
        "    '''A biased estimator that says it is not.'''\n"
        "    unbiased = True\n"
    )
    metadata = tmp_path / "false_claim-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: false-claim\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[bench.estimators]\nclaims = false_claim:Claims\n")
    env = {**installed, "PYTHONPATH": os.pathsep.join([str(tmp_path), installed["PYTHONPATH"]])}
    done = python("-m", "bench.conformance", "claims", env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "test_unbiased_means_equal_to_enumeration" in done.stdout


def test_the_readme_shows_the_example_as_it_is():
    example = (ROOT / "tests/example_plugin/example_estimator.py").read_text().split('"""\n\n', 1)[1]
    assert example.strip() in (ROOT / "README.md").read_text()
