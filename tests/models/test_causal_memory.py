"""A causal step of a score function never keeps the logits of all positions; its memory grows as its inputs do."""

import pytest
import torch
from helpers.live_memory import LiveMemory

import models
import models.posterior
from estimators import Latent, Problem, load
from estimators._categorical import log_prob_by_position

PIECE = 2**12
WIDTH, BATCH = 16, 2
SIZES = {"k": 8, "length": 32, "vocab": 256}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(models.posterior, "PIECE", PIECE)


def made(length: int, vocab: int) -> tuple[models.Causal, torch.Tensor]:
    torch.manual_seed(0)
    return models.Causal(length, vocab, WIDTH, layers=1, heads=2, mlp_ratio=2), torch.randn(BATCH, length, WIDTH)


def problem(posterior: models.Causal, features: torch.Tensor) -> Problem:
    bound = posterior.bind(features)
    return Problem(
        bound, bound, lambda code: -code.float().mean(-1), 0.1, 0.0, torch.Generator().manual_seed(1), features
    )


def counted_step(spec: str, length: int, vocab: int, k: int) -> tuple[int, int]:
    """Bytes kept for the backward pass, and at the peak of the whole step."""
    posterior, features = made(length, vocab)
    estimator = load(f"{spec}:k={k}", Latent(length, vocab, WIDTH))
    with LiveMemory() as memory:
        loss = estimator.loss(problem(posterior, features)).loss
        kept = memory.live
        loss.backward()
    return kept, memory.peak


@pytest.mark.parametrize("spec", ["daps", "reinforce", "daps_local", "ppo", "vimco"])
def test_no_logits_of_all_positions_are_kept(spec):
    saved = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    posterior, features = made(SIZES["length"], SIZES["vocab"])
    estimator = load(f"{spec}:k={SIZES['k']}", Latent(SIZES["length"], SIZES["vocab"], WIDTH))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        estimator.loss(problem(posterior, features))
    assert saved
    assert max(saved) < SIZES["k"] * BATCH * SIZES["length"] * SIZES["vocab"] / 4


@pytest.mark.parametrize("grown", SIZES)
def test_memory_grows_linearly(grown):
    kept, peak = zip(
        *(counted_step("daps", **{**SIZES, grown: factor * SIZES[grown]}) for factor in (1, 2, 4)), strict=True
    )
    assert peak[1] > peak[0]
    if grown == "vocab":
        assert kept[0] == kept[2]  # what is kept does not depend on it at all
    for bytes_ in (kept, peak):
        assert bytes_[2] - bytes_[1] <= 2.02 * (bytes_[1] - bytes_[0]), f"{grown} doubled twice: {bytes_} bytes"


@pytest.mark.parametrize("piece", [1, 300, 2**12, 2**30])
def test_pieces_change_neither_values_nor_gradients(piece, monkeypatch):
    posterior, features = made(7, 24)
    code = torch.randint(24, (3, BATCH, 7), generator=torch.Generator().manual_seed(2))
    weight = torch.randn(3, BATCH, 7, generator=torch.Generator().manual_seed(3))
    parameters = list(posterior.parameters())

    whole = log_prob_by_position(posterior.bind(features).replay(code), code)
    monkeypatch.setattr(models.posterior, "PIECE", piece)
    pieces = posterior.bind(features).read_replay(code, log_prob_by_position)
    torch.testing.assert_close(pieces, whole, rtol=1e-6, atol=1e-6)
    expected = torch.autograd.grad((whole * weight).sum(), parameters)
    found = torch.autograd.grad((pieces * weight).sum(), parameters)
    for mine, its in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)
