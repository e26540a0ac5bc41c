import os
import sys
import textwrap

os.environ["BENCH_OFFLINE"] = "1"  # no test waits for a network that is not there

import helpers._typecheck  # noqa: F401  the hook looks it up
import pytest
from jaxtyping import install_import_hook

# before anything imports them: shapes in annotations are then checked at every call
install_import_hook(["estimators", "models"], "helpers._typecheck.checker")


@pytest.fixture(autouse=True)
def _two_threads():
    """Tests run side by side: more threads than cores makes all of them slow."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Run `bench ARGUMENTS` in an empty folder; returns exit code, stdout and stderr."""
    from bench import cli

    monkeypatch.chdir(tmp_path)
    # whoever runs the tests may have weights
    monkeypatch.setenv("TORCH_HOME", "/nowhere")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capsys.readouterr()
        return code, out, err

    return call


PLUGIN = """
import os, signal, time
from pathlib import Path
from estimators import straight_through
TRACES = Path({traces!r})

def note(line):
    with (TRACES / "notes").open("a") as file:
        file.write(line + "\\n")

def first_time(name):
    try:
        (TRACES / name).open("x").close()
    except FileExistsError:
        return False
    return True

class Odd(straight_through.StraightThrough):
    \"\"\"Straight-through, and something odd.\"\"\"
    def loss(self, problem):
{body}
        return super().loss(problem)
"""


@pytest.fixture
def odd(monkeypatch, tmp_path):
    """Install the plug-in estimator `odd`: straight-through that first does what is given. It may `note(line)`, ask
    `first_time(name)`, and kill itself; returns a function that reads the notes."""
    import estimators

    site = tmp_path / "site"

    def install(body: str):
        information = site / "odd-1.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
        (information / "entry_points.txt").write_text("[bench.estimators]\nodd = odd_estimator:Odd\n")
        source = PLUGIN.format(traces=str(site), body=textwrap.indent(textwrap.dedent(body), " " * 8))
        (site / "odd_estimator.py").write_text(source)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site))
        estimators.available.cache_clear()
        notes = site / "notes"
        return lambda: notes.read_text().splitlines() if notes.exists() else []

    yield install
    estimators.available.cache_clear()
    sys.modules.pop("odd_estimator", None)
