"""LFQ and BSQ against NumPy, enumeration of all codes, and cases worked by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.quantizer_cases import PROBLEM, normal
from torch import nn

from estimators import Latent, load
from estimators.bsq import BSQ
from estimators.lfq import LFQ


def binary(name: str, bits: int, **arguments: float) -> LFQ | BSQ:
    text = ",".join(f"{key}={value}" for key, value in arguments.items())
    return load(f"{name}:{text}" if text else name, Latent(2, 2**bits, 8))


both = pytest.mark.parametrize("name", ["lfq", "bsq"])


@both
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 12])
def test_binary_codes_and_indices_round_trip(name, bits):
    estimator = binary(name, bits)
    index = torch.arange(2**bits)[:, None]
    codes = estimator.code(index)
    assert codes.shape == (2**bits, 1, bits)
    assert codes.is_floating_point()
    assert torch.equal(estimator.index(codes), index)
    assert torch.equal(estimator.hard(codes), codes)
    assert len(codes.unique(dim=0)) == 2**bits
    size = {"lfq": 1.0, "bsq": bits**-0.5}[name]
    torch.testing.assert_close(codes.abs(), torch.full_like(codes, size))


@both
def test_a_binary_index_is_the_sum_of_the_positive_channels_powers_of_two(name):
    vectors = normal(7, 5, 6)
    expected = [[sum(2**i for i in range(6) if row[i] > 0) for row in rows] for rows in vectors.tolist()]
    assert binary(name, 6).index(vectors).tolist() == expected


def test_bsq_codes_are_the_nearest_on_the_sphere():
    estimator = binary("bsq", 4)
    vectors = normal(50, 2, 4)
    codes = estimator.code(torch.arange(16))
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    assert torch.equal(estimator.index(vectors), torch.cdist(unit.flatten(0, 1), codes).argmin(-1).reshape(50, 2))


def soft_codes(vectors: np.ndarray, size: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """softmax(-|vector - code|^2 / temperature) over all codes, and the codes."""
    codes = size * np.array(list(itertools.product((-1.0, 1.0), repeat=vectors.shape[-1])))
    affinity = -((vectors[:, None] - codes) ** 2).sum(-1) / temperature
    weight = np.exp(affinity - affinity.max(-1, keepdims=True))
    return weight / weight.sum(-1, keepdims=True), codes


def entropy(probs: np.ndarray) -> np.ndarray:
    return -(probs * np.log(np.where(probs > 0, probs, 1))).sum(-1)


def product_of_marginals(probs: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The distribution over all codes whose bits are independent with the probabilities they have under `probs`."""
    one = probs @ (codes > 0)
    return np.where(codes > 0, one, 1 - one).prod(-1)


def penalty_agrees(estimator: LFQ | BSQ, bits: int) -> bool:
    """Both entropies and the penalty, by enumeration of all codes, for vectors of several lengths."""
    agree = []
    spherical = isinstance(estimator, BSQ)
    for seed, scale in enumerate((0.03, 1.0, 5.0)):
        vectors = scale * normal(1, 9, 2, bits, seed=seed)
        _, loss, terms = estimator.quantise(vectors, PROBLEM)
        e = vectors.flatten(0, -2).double().numpy()
        if spherical:
            e = e / np.linalg.norm(e, axis=-1, keepdims=True)
        probs, codes = soft_codes(e, bits**-0.5 if spherical else 1.0, estimator.temperature)
        average = probs.mean(0)
        sample = entropy(probs).mean()
        batch = entropy(product_of_marginals(average, codes) if spherical else average)
        own = estimator.entropy * 2 * (sample - batch)
        if not spherical:
            own += estimator.commitment * ((e - np.sign(e)) ** 2).sum() / 9
        agree += [
            terms["sample_entropy"].item() == pytest.approx(sample, rel=1e-4, abs=1e-6),
            terms["batch_entropy"].item() == pytest.approx(batch, rel=1e-4, abs=1e-6),
            loss.item() == pytest.approx(own, rel=1e-4, abs=1e-5),
        ]
    return all(agree)


@both
@pytest.mark.parametrize("bits", [1, 2, 3, 5])
@pytest.mark.parametrize("temperature", [0.01, 0.5, 3.0])
def test_entropies_are_those_of_all_codes_enumerated(name, bits, temperature):
    assert penalty_agrees(binary(name, bits, temperature=temperature, entropy=0.7), bits)


class WrongSign(LFQ):
    def penalty(self, vectors):
        loss, terms = super().penalty(vectors)
        return -loss, terms


class BitsOfTheAverageTakenForIndependent(LFQ):
    def batch_entropy(self, bits):
        return BSQ.batch_entropy(self, bits)


class HalfTheLogits(LFQ):
    def soft_bits(self, vectors):
        return super().soft_bits(vectors / 2)


class MeanOverPositions(BSQ):
    def penalty(self, vectors):
        loss, terms = super().penalty(vectors)
        return loss / 2, terms


class NotProjected(BSQ):
    def penalty(self, vectors):
        return super().penalty(2 * vectors)


@pytest.mark.parametrize(
    "broken", [WrongSign, BitsOfTheAverageTakenForIndependent, HalfTheLogits, MeanOverPositions, NotProjected]
)
def test_the_entropy_check_rejects_broken_copies(broken):
    assert not penalty_agrees(broken(Latent(2, 8, 8), entropy=0.7, temperature=0.5), 3)


def test_bsq_soft_codes_are_the_papers_with_tau_twice_the_inverse_temperature():
    u = normal(6, 3).double().numpy()
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    probs, codes = soft_codes(u, 3**-0.5, temperature=0.8)
    weight = np.exp(2 / 0.8 * u @ codes.T)
    np.testing.assert_allclose(probs, weight / weight.sum(-1, keepdims=True))
    bits = binary("bsq", 3, temperature=0.8).soft_bits(torch.tensor(u).float()[None, :, None])
    np.testing.assert_allclose(bits[..., 1].numpy(), 1 / (1 + np.exp(-2 * 2 / 0.8 * 3**-0.5 * u)), rtol=1e-5)


def test_the_bsq_batch_entropy_is_never_below_the_exact_one():
    for seed in range(20):
        vectors = normal(1, 4, 2, 3, seed=seed)
        exact = binary("lfq", 3, temperature=1).quantise(vectors, PROBLEM)[2]["batch_entropy"]
        bits = binary("lfq", 3, temperature=1).soft_bits(vectors)
        assert BSQ.batch_entropy(binary("bsq", 3), bits) >= exact - 1e-6


def test_entropies_of_two_opposite_codes_by_hand():
    # both positions certain: (+, +) and (-, -); two codes of four are used, and each bit is a fair coin
    vectors = torch.tensor([1.0, -1.0]).reshape(1, 1, 2, 1).expand(-1, -1, -1, 2)
    for name, batch in (("lfq", math.log(2)), ("bsq", 2 * math.log(2))):
        terms = binary(name, 2, temperature=0.01).quantise(vectors, PROBLEM)[2]
        assert terms["sample_entropy"].item() == pytest.approx(0, abs=1e-6)
        assert terms["batch_entropy"].item() == pytest.approx(batch)


@both
def test_the_penalty_alone_makes_codes_certain_and_their_use_uniform(name):
    estimator = binary(name, 2, temperature=1)
    vectors = (0.1 * normal(1, 16, 2, 2) + 0.05).requires_grad_()
    optimiser = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(150):
        loss, terms = estimator.penalty(vectors if name == "lfq" else nn.functional.normalize(vectors, dim=-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # on the sphere no code is more certain than those at the corners, where the log-odds of both bits are 2
    lowest = {"lfq": 0.0, "bsq": 2 * entropy(np.array([1, math.exp(2)]) / (1 + math.exp(2)))}[name]
    assert terms["sample_entropy"] < lowest + 0.05
    assert terms["batch_entropy"] > math.log(4) - 0.05
    if name == "lfq":
        # and so does the use of hard codes; independent bits, which bsq assumes, would leave this open
        assert estimator.index(vectors).unique(return_counts=True)[1].tolist() == pytest.approx([8] * 4, abs=2)


@both
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_the_gradient_of_the_loss_is_that_of_the_enumerated_one(name, temperature):
    bits, estimator = 3, binary(name, 3, temperature=temperature, entropy=0.7)
    vectors = normal(1, 5, 2, bits).requires_grad_()
    code, loss, _ = estimator.quantise(vectors, PROBLEM)
    upstream = normal(1, 5, 2, bits, seed=1)
    ((code * upstream).sum() + loss).backward()

    copy = vectors.detach().double().requires_grad_()
    e = copy.flatten(0, -2)
    if name == "bsq":
        e = e / e.square().sum(-1, keepdim=True).sqrt()
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * bits)
    codes = signs * (bits**-0.5 if name == "bsq" else 1)
    probs = (-(e[:, None] - codes).square().sum(-1) / temperature).softmax(-1)
    average = probs.mean(0)
    if name == "bsq":
        one = average @ (signs > 0).double()
        average = torch.where(signs > 0, one, 1 - one).prod(-1)
    total = 0.7 * 2 * (torch.special.entr(probs).sum(-1).mean() - torch.special.entr(average).sum())
    if name == "lfq":
        total = total + 0.25 * (e - e.detach().sign()).square().sum() / 5
    (total + (e * upstream.flatten(0, -2)).sum()).backward()
    torch.testing.assert_close(vectors.grad, copy.grad.float(), rtol=1e-4, atol=1e-6)


def test_bsq_passes_rounding_as_the_identity_and_the_projection_as_it_is():
    vector, upstream = normal(2, 4).double().numpy()
    e = torch.tensor(vector).float().reshape(1, 1, 1, 4).requires_grad_()
    code, _, _ = load("bsq:entropy=0", Latent(1, 16, 8)).quantise(e, PROBLEM)
    code.backward(torch.tensor(upstream).float().reshape(1, 1, 1, 4))
    length = np.linalg.norm(vector)
    unit = vector / length
    np.testing.assert_allclose(e.grad.flatten().numpy(), (upstream - unit * (unit @ upstream)) / length, rtol=1e-5)


@both
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-3, 1e3, 1e15])
@pytest.mark.parametrize("temperature", [1e-4, 1.0, 1e4])
def test_extreme_vectors_and_temperatures_give_finite_losses_and_gradients(name, scale, temperature):
    estimator = binary(name, 6, temperature=temperature)
    vectors = (scale * normal(1, 8, 2, 6)).requires_grad_()
    code, loss, terms = estimator.quantise(vectors, PROBLEM)
    (code.sum() + loss).backward()
    assert vectors.grad.isfinite().all()
    assert loss.isfinite()
    for key in ("sample_entropy", "batch_entropy"):
        assert -1e-5 <= terms[key] <= 6 * math.log(2) + 1e-5


@both
@pytest.mark.parametrize(("vocab", "fits"), [(3, 2), (9, 8), (12, 8), (100, 128), (500, 512), (1000, 1024)])
def test_a_vocabulary_that_is_no_power_of_two_is_refused_with_the_nearest(name, vocab, fits):
    with pytest.raises(ValueError, match=rf"vocabulary is {vocab}; try --set vocab={fits}$"):
        load(name, Latent(2, vocab, 8))
    load(name, Latent(2, fits, 8))
