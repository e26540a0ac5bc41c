"""Decoupled straight-through against its formula in NumPy, and what its two temperatures may and may not change."""

import numpy as np
import pytest
import torch
from helpers.toys import toy

from estimators import Latent, Problem, load
from estimators._categorical import kl_to_uniform, one_hot
from estimators.decoupled_st import DecoupledST

LENGTH, VOCAB = 2, 5
LATENT = Latent(LENGTH, VOCAB, 8)


def decoupled(temperature: float, forward_temperature: float, cls: type[DecoupledST] = DecoupledST) -> DecoupledST:
    return cls(LATENT, temperature=temperature, forward_temperature=forward_temperature)


def problem(seed: int = 0, beta: float = 1.0, b: int = 1) -> Problem:
    return toy("factorised", LENGTH, VOCAB).problem(beta, b, torch.Generator().manual_seed(seed))


def code_and_gradient(estimator, logits, slope, seed: int = 0):
    leaf = logits.clone().requires_grad_()
    code = estimator.relax(leaf, problem(seed))
    (code * slope).sum().backward()
    return code.detach(), leaf.grad


LOGITS = torch.randn(3, 7, LENGTH, VOCAB, generator=torch.Generator().manual_seed(1)) * 2
SLOPE = torch.randn(3, 7, LENGTH, VOCAB, generator=torch.Generator().manual_seed(2))


class Swapped(DecoupledST):
    """Differentiates at the temperature to sample by, and the other way round."""

    def relax(self, logits, problem):
        probs = (logits / self.forward_temperature).softmax(-1)
        return one_hot(load("straight_through", LATENT).hard(logits / self.temperature, problem.noise), VOCAB) + (
            probs - probs.detach()
        )


def numpy_gradient(theta, slope, temperature):
    scaled = theta / temperature
    p = np.exp(scaled - scaled.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p * (slope - (p * slope).sum(-1, keepdims=True)) / temperature


@pytest.mark.parametrize(("cls", "passes"), [(DecoupledST, True), (Swapped, False)])
@pytest.mark.parametrize(("temperature", "forward_temperature"), [(0.5, 1.0), (0.7, 2.0), (3.0, 0.1)])
def test_gradient_is_the_jacobian_at_the_backward_temperature(cls, passes, temperature, forward_temperature):
    _, found = code_and_gradient(decoupled(temperature, forward_temperature, cls), LOGITS, SLOPE)
    expected = numpy_gradient(LOGITS.double().numpy(), SLOPE.double().numpy(), temperature)
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5) is passes


@pytest.mark.parametrize(("cls", "passes"), [(DecoupledST, True), (Swapped, False)])
@pytest.mark.parametrize("forward_temperature", [0.3, 1.0, 4.0])
def test_codes_follow_the_forward_temperature_whatever_the_other(cls, passes, forward_temperature):
    draws, logits = 20_000, LOGITS[0, 0]
    code = decoupled(0.5, forward_temperature, cls).relax(logits.expand(draws, -1, -1), problem(3))
    assert torch.equal(code.round(), code)
    probs = (logits / forward_temperature).softmax(-1)
    error = (probs * (1 - probs) / draws).sqrt()
    assert bool(((code.mean(0) - probs).abs() <= 4.5 * error + 1e-4).all()) is passes


def test_is_straight_through_when_both_temperatures_are_one():
    found = code_and_gradient(decoupled(1.0, 1.0), LOGITS, SLOPE)
    torch.testing.assert_close(found, code_and_gradient(load("straight_through", LATENT), LOGITS, SLOPE))


@pytest.mark.parametrize("forward_temperature", [0.25, 2.0])
def test_scaling_the_logits_undoes_the_forward_temperature(forward_temperature):
    """With logits f times larger, temperatures (f t, f) draw the same codes as (t, 1), with 1/f of the gradient."""
    code, slope = code_and_gradient(decoupled(0.5, 1.0), LOGITS, SLOPE)
    scaled = decoupled(0.5 * forward_temperature, forward_temperature)
    other_code, other_slope = code_and_gradient(scaled, LOGITS * forward_temperature, SLOPE)
    assert torch.equal(code, other_code)
    torch.testing.assert_close(slope, forward_temperature * other_slope)


def test_evaluation_and_kl_are_of_the_distribution_the_decoder_was_trained_on():
    estimator, noise = decoupled(0.5, 2.0), torch.Generator().manual_seed(4)
    torch.testing.assert_close(estimator.kl(LOGITS), kl_to_uniform(LOGITS / 2))
    drawn = estimator.hard(LOGITS, torch.Generator().manual_seed(5))
    assert torch.equal(one_hot(drawn, VOCAB), estimator.relax(LOGITS, problem(5)))
    assert torch.equal(estimator.mode(LOGITS), LOGITS.argmax(-1))
    counts = one_hot(estimator.hard(LOGITS[0, 0].expand(20_000, -1, -1), noise), VOCAB).mean(0)
    probs = (LOGITS[0, 0] / 2).softmax(-1)
    assert ((counts - probs).abs() <= 4.5 * (probs * (1 - probs) / 20_000).sqrt()).all()


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_loss_is_the_negative_elbo_of_the_tempered_posterior(beta):
    """For a linear log-likelihood straight-through is exact where the two temperatures meet."""
    case = toy("factorised", LENGTH, VOCAB)
    case.log_lik = lambda code: (code * SLOPE[0, 0]).sum((-2, -1))
    weight = case.posterior.head.weight

    def gradient_of(loss):
        return torch.autograd.grad(loss, weight)[0]

    (logits,) = case.problem().posterior.rollout(lambda params: params, 1)[1]
    tempered = (logits[0] / 2).log_softmax(-1)
    kl = (tempered.exp() * (tempered + np.log(VOCAB))).sum()
    wanted = gradient_of(beta * kl - (tempered.exp() * SLOPE[0, 0]).sum())
    noise = torch.Generator().manual_seed(6)
    found = gradient_of(decoupled(2.0, 2.0).loss(case.problem(beta, 4, noise)).loss)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_extreme_logits_give_finite_gradients():
    logits = torch.tensor([[1e4, -1e4, 0.0, 0.0, 5.0]] * LENGTH)
    for temperature, forward_temperature in ((0.01, 100.0), (100.0, 0.01)):
        code, slope = code_and_gradient(decoupled(temperature, forward_temperature), logits, SLOPE[0, 0])
        assert torch.equal(code.sum(-1), torch.ones(LENGTH))
        assert slope.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("temperature=0", "try temperature=0.5"), ("forward_temperature=-1", "try forward_temperature=1.0")],
)
def test_arguments_that_fit_nothing_are_refused_with_a_remedy(arguments, words):
    with pytest.raises(ValueError, match=words):
        load(f"decoupled_st:{arguments}", LATENT)
