from pathlib import Path

import pytest

from bench import records


@pytest.fixture
def sweep(tmp_path) -> Path:
    records.open_sweep(tmp_path / "sweep")
    return tmp_path / "sweep"
