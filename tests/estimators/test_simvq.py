"""SimVQ against the paper's algorithm in NumPy."""

import numpy as np
import pytest
import torch
from helpers.quantizer_cases import PROBLEM, normal

from estimators import Latent, load
from estimators.simvq import SimVQ


def simvq(vocab: int = 6, width: int = 4, cls: type[SimVQ] = SimVQ) -> SimVQ:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        estimator = cls(Latent(2, vocab, width), commitment=0.25)
    with torch.no_grad():
        estimator.basis.add_(0.3 * normal(width, width, seed=1))
    return estimator


def simvq_agrees(estimator: SimVQ) -> bool:
    """Value and gradients of the loss of algorithm 1 of the paper, in NumPy."""
    vectors, upstream = normal(1, 3, 2, 4, seed=2).requires_grad_(), normal(1, 3, 2, 4, seed=3)
    code, loss, _ = estimator.quantise(vectors, PROBLEM)
    ((code * upstream).sum() + loss).backward()
    e, g = (x.detach().flatten(0, -2).double().numpy() for x in (vectors, upstream))
    table, basis = estimator.table.double().numpy(), estimator.basis.detach().double().numpy()
    codebook = table @ basis
    chosen = ((e[:, None] - codebook) ** 2).sum(-1).argmin(-1)
    q = codebook[chosen]
    pairs = [
        (code.flatten(0, -2), q),
        (loss, 1.25 * ((e - q) ** 2).sum() / 3),
        (vectors.grad.flatten(0, -2), g + 0.25 * 2 * (e - q) / 3),
        (estimator.basis.grad, table[chosen].T @ (2 * (q - e)) / 3),
    ]
    return all(
        found is not None and np.allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
        for found, expected in pairs
    )


class WeightOnTheCodebook(SimVQ):
    """The commitment weight on the wrong term, as in a known bug of public code."""

    def quantise(self, vectors, problem):
        code, _, terms = super().quantise(vectors, problem)
        own = self.codebook[self.index(vectors)]
        distance = [
            (a - b).square().sum() / vectors.shape[1] for a, b in ((vectors, own.detach()), (vectors.detach(), own))
        ]
        return code, distance[0] + self.commitment * distance[1], terms


class NoCodebookLoss(SimVQ):
    def quantise(self, vectors, problem):
        code, _, terms = super().quantise(vectors, problem)
        commitment = (vectors - code.detach()).square().sum() / vectors.shape[1]
        return code, (1 + self.commitment) * commitment, terms


class DecoderTeachesTheBasis(SimVQ):
    """The straight-through code left attached."""

    def quantise(self, vectors, problem):
        code, loss, terms = super().quantise(vectors, problem)
        own = self.codebook[self.index(vectors)]
        return code + own - own.detach(), loss, terms


def test_simvq_losses_and_gradients_by_hand():
    assert simvq_agrees(simvq())


@pytest.mark.parametrize("broken", [WeightOnTheCodebook, NoCodebookLoss, DecoderTeachesTheBasis])
def test_the_simvq_check_rejects_broken_copies(broken):
    assert not simvq_agrees(simvq(cls=broken))


def test_simvq_learns_the_basis_alone_and_one_step_moves_every_code():
    estimator = simvq(vocab=32)
    (group,) = estimator.param_groups(lr=0.1)
    assert [tuple(parameter.shape) for parameter in group["params"]] == [(4, 4)]
    table, before = estimator.table.clone(), estimator.codebook.detach()
    vector = normal(1, 1, 2, 4, seed=4)
    assert len(estimator.index(vector).unique()) <= 2
    estimator.quantise(vector, PROBLEM)[1].backward()
    torch.optim.SGD(group["params"], lr=0.1).step()
    assert torch.equal(estimator.table, table)
    assert ((estimator.codebook - before).norm(dim=-1) > 0).all()


def test_simvq_starts_with_codes_of_about_unit_length():
    for width in (8, 128):
        length = load("simvq", Latent(2, 4096, width)).codebook.norm(dim=-1)
        assert length.square().mean().item() == pytest.approx(1, rel=0.1)


def test_simvq_table_comes_from_the_constructors_seed_and_survives_a_checkpoint():
    first, again = simvq(), simvq()
    assert torch.equal(first.table, again.table)
    other = load("simvq", Latent(2, 6, 4))
    assert not torch.equal(other.table, first.table)
    other.load_state_dict(first.state_dict())
    assert torch.equal(other.codebook, first.codebook)


def test_simvq_codes_and_indices_round_trip():
    estimator = simvq(vocab=64, width=8)
    codes = estimator.codebook.detach()[:, None]
    assert torch.equal(estimator.index(codes)[:, 0], torch.arange(64))
    assert torch.equal(estimator.hard(codes), codes)
