"""The page of a gradient lab."""

import pandas as pd
import pytest
from helpers.drawn import drawn  # noqa: F401  figures are not what is tested here
from helpers.report_page import page_of, words

from bench import records
from bench.records import COLUMNS


def rows(estimator: str, posterior: str, bias: float, variance: float, skipped: str = "") -> list[dict]:
    name = f"{estimator}-{posterior}"
    identity = {"run": name, "estimator": estimator, "posterior": posterior, "dataset": "digits", "preset": "quick"}
    where = {**identity, "seed": 0, "device": "cpu", "seconds": float("nan"), "split": "test", "readout": skipped}
    values = {"bias_squared": bias, "bias_error": 0.01, "variance": variance, "mse": bias + variance, "cosine": 0.5}
    values = {"skipped": float("nan")} if skipped else values
    return [
        {**where, "step": step, "images": 32 * step, "decodes": 0 if skipped else 8, "metric": m, "value": v, "n": 2048}
        for step in (0, 100)
        for m, v in values.items()
    ]


@pytest.fixture
def folder(tmp_path):
    """What is left of a lab in a table alone."""
    records.open_sweep(tmp_path / "gradients-digits")
    found = [
        *rows("daps", "factorised", 0.2, 1.5),
        *rows("reinforce", "factorised", -0.0004, 1830.0),
        *rows("reinforce", "causal", 0.01, 2.0),
        *rows("carms", "causal", 0.0, 0.0, skipped="factorised posterior only"),
    ]
    frame = pd.DataFrame(found, columns=list(COLUMNS))
    records.write_table(frame, tmp_path / "gradients-digits")
    return tmp_path / "gradients-digits"


def test_a_gradient_lab_is_a_page_with_its_table_and_figures(folder):
    page = page_of(folder)
    assert words(page.root.find(".//h1")) == "Gradients: digits, preset quick"
    table = page.section("s0-gradients").findall(".//tbody/tr")
    shown = [[words(cell) for cell in row] for row in table]
    assert shown[0] == ["daps", "factorised", "0", "8", "0.2±0.01", "1.5", "1.7", "0.5"]
    assert shown[1][:5] == ["reinforce", "factorised", "0", "8", "\N{MINUS SIGN}0.0004±0.01"]
    assert [row[1:3] for row in shown] == [["factorised", "0"]] * 2 + [["factorised", "100"]] * 2 + [
        ["causal", "0"],
        ["causal", "100"],
    ]
    assert "squared bias ↓" in words(page.section("s0-gradients").find(".//thead"))
    assert words(page.section("s0-figure-knobs").find(".//figcaption")) == "What knobs shows."
    assert not page.has("s0-verdict")
    assert "Nothing to report" not in words(page.root)


def test_what_the_lab_left_out_is_said_with_its_reason(folder):
    problems = words(page_of(folder).section("s0-problems"))
    assert "1 of 4 runs are not in the means above: 1 skipped (carms, causal, seed 0)." in problems
    assert "factorised posterior only" in problems
