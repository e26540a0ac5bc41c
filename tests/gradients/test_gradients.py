"""The gradient lab: its statistics on cases with known answers, its numbers against the oracle, and the command."""

from pathlib import Path

import pytest
import torch
from helpers.configs import TINY

from bench import data, records
from bench.gradients import lab as gradients
from bench.gradients.lab import Gradients, statistics

SMALL = {"length": "2", "vocab": "3"}


def test_statistics_of_draws_with_a_known_bias_and_variance():
    generator = torch.Generator().manual_seed(0)
    exact = torch.tensor([[3.0, 4.0]])
    draws = exact[:, None] + torch.tensor([0.5, 0.0]) + 2 * torch.randn(1, 40_000, 2, generator=generator)
    found = statistics(Gradients(draws, 4, None), exact)
    assert found["bias_squared"] == pytest.approx(0.25 / 25, abs=3 * found["bias_error"])
    assert found["bias_error"] < 0.002
    assert found["variance"] == pytest.approx(8 / 25, rel=0.03)
    assert found["mse"] == pytest.approx((8 + 0.25) / 25, rel=0.03)
    assert found["snr"] == pytest.approx((3.5**2 + 16) / 8, rel=0.03)
    assert found["snr_per_decode"] == pytest.approx(found["snr"] / 4)


def test_the_bias_of_unbiased_draws_is_zero_within_its_error_most_of_the_time():
    generator = torch.Generator().manual_seed(1)
    exact = torch.tensor([[1.0, 2.0, 2.0]])
    scores = []
    for _ in range(200):
        draws = exact[:, None] + torch.randn(1, 64, 3, generator=generator)
        found = statistics(Gradients(draws, 1, None), exact)
        scores.append(found["bias_squared"] / found["bias_error"])
    scores = torch.tensor(scores)
    assert scores.mean().abs() < 4.5 * scores.std() / 200**0.5
    assert (scores.abs() < 3).float().mean() > 0.95


@pytest.fixture(scope="module")
def lab():
    """Rows of a small lab, by (estimator, posterior) at the last step."""
    patch = pytest.MonkeyPatch()
    patch.setattr(gradients, "CHECKPOINTS", (0, 20))
    patch.setattr(gradients, "WARMUP", 5)
    specs = ["exact", "daps:eta=5,eta_lr=0.0", "reinforce", "straight_through", "vq", "rebar"]
    rows = list(gradients.measure(specs, ("factorised", "causal"), [2, 8], [], data.load("digits"), 0, SMALL))
    patch.undo()
    return rows


def value(rows, estimator, posterior, metric, step=20):
    (row,) = [
        row
        for row in rows
        if (row["estimator"], row["posterior"], row["metric"], row["step"]) == (estimator, posterior, metric, step)
    ]
    return row["value"]


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_the_oracle_has_neither_bias_nor_variance(lab, posterior):
    assert abs(value(lab, "exact", posterior, "bias_squared")) < 1e-6
    assert value(lab, "exact", posterior, "variance") < 1e-6
    assert value(lab, "exact", posterior, "cosine") == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_what_is_unbiased_measures_so_and_more_samples_have_less_variance(lab, posterior):
    names = ["reinforce", "reinforce:k=2"] + (["rebar:k=2", "rebar:k=8"] if posterior == "factorised" else [])
    for name in names:
        bias, error = value(lab, name, posterior, "bias_squared"), value(lab, name, posterior, "bias_error")
        assert abs(bias) < 4.5 * error
    ratio = value(lab, "reinforce:k=2", posterior, "variance") / value(lab, "reinforce", posterior, "variance")
    assert 3 < ratio < 12


def test_straight_through_measures_biased(lab):
    bias = value(lab, "straight_through:k=8", "factorised", "bias_squared")
    assert bias > 4.5 * value(lab, "straight_through:k=8", "factorised", "bias_error")


def test_what_has_no_exact_gradient_is_left_out_with_the_reason(lab):
    reasons = {(row["estimator"], row["posterior"]): row["readout"] for row in lab if row["metric"] == "skipped"}
    assert "quantizer" in reasons["vq", "factorised"]
    assert reasons["rebar", "causal"] == "factorised posterior only"


def test_the_lab_reproduces(lab, monkeypatch):
    monkeypatch.setattr(gradients, "CHECKPOINTS", (0,))
    monkeypatch.setattr(gradients, "WARMUP", 5)
    overrides = {**SMALL, "steps": 20}
    again = list(gradients.measure(["reinforce"], ("causal",), [2], [], data.load("digits"), 0, overrides))
    for metric in ("bias_squared", "variance"):
        assert value(again, "reinforce:k=2", "causal", metric, 0) == value(lab, "reinforce:k=2", "causal", metric, 0)


def test_the_command_leaves_a_table_and_figures(bench, monkeypatch):
    monkeypatch.setattr(gradients, "CHECKPOINTS", (0, 2))
    monkeypatch.setattr(gradients, "WARMUP", 2)
    monkeypatch.setattr(gradients, "DRAWS", 16)
    code, out, err = bench("gradients", "-e", "daps,reinforce,vq", "--k", "2,8", "--set", "length=2")
    assert code == 0, err
    assert "daps:k=2" in out or "daps" in out
    assert "without vq" in out
    folder = Path("results/gradients-digits")
    import pandas as pd

    frame = pd.read_parquet(folder / "results.parquet")
    assert list(frame.columns) == list(records.COLUMNS)
    assert {"bias_squared", "variance", "mse", "cosine", "snr", "snr_per_decode"} <= set(frame.metric)
    assert {path.stem for path in (folder / "figures").iterdir()} == {"bias_variance", "error_against_decodes"}


def test_a_finished_run_can_be_measured(bench, monkeypatch):
    bench("run", "--dataset", "digits", *TINY, "-e", "reinforce", "--seeds", "1", "--out", "sweep")
    (run,) = [Path(path).parent for path in Path("sweep/runs").glob("*/checkpoint.safetensors")]
    code, out, err = bench("gradients", "-e", "reinforce,straight_through,fsq", "--checkpoint", str(run))
    assert code == 0, err
    for words in ("relative_variance", "cosine_to_reference", "straight_through", "without fsq"):
        assert words in out
    (run / "checkpoint.safetensors").unlink()
    code, _, err = bench("gradients", "-e", "reinforce", "--checkpoint", str(run))
    assert code == 2
    assert "holds no finished run" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--k", "1,two"], "--k 1,two is not a list of numbers"),
        (["--set", "vocab=64"], "64^4 = 1.68e+07 codes, at most 16384"),
        (["--dataset", "digitz"], "digits"),
        (["--set", "nonsense=1"], "no such setting"),
    ],
)
def test_mistakes_are_one_line(bench, arguments, words, tmp_path):
    code, _, err = bench("gradients", "-e", "reinforce", *arguments)
    assert code == 2
    assert words in err
    assert not list(tmp_path.iterdir())
