"""Sweeps that many tests of figures look at."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.figure_sweeps import crowded, table_of, usual
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    return table_of()


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    return (load_digits().images[:24] * 255 / 16).astype(np.uint8)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory) -> Path:
    return usual(tmp_path_factory.mktemp("figures") / "usual")


@pytest.fixture(scope="session")
def crowd(tmp_path_factory) -> Path:
    return crowded(tmp_path_factory.mktemp("figures") / "crowd")
