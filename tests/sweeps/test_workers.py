"""The server of worker processes does not outlive its command."""

import subprocess
import sys

import pytest
from helpers.sweeps import ROOT

SLEEPS = 120


@pytest.mark.skipif(sys.platform != "linux", reason="the system cannot tell it that its parent ended")
def test_it_ends_with_its_command_even_in_the_middle_of_its_imports(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text(f"import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep({SLEEPS})\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    command = (
        "import pathlib, time\n"
        "from bench.sweeps import executors\n"
        "executors._PRELOADED = (executors._PRELOADED[0], 'endless')\n"
        "executors.warm_up()\n"
        "while not pathlib.Path('begun').exists(): time.sleep(0.01)\n"
    )
    # the server has the command's output open: it reaches its end when both have
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, timeout=SLEEPS / 2, check=True)
