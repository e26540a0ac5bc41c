"""Gumbel-Rao: the law of its conditional noise, its formula in NumPy, and what it has in common with Gumbel-Softmax."""

import math

import numpy as np
import pytest
import torch
from helpers.toys import gradient, toy, toy_for

from estimators import Latent, Problem, load
from estimators._categorical import one_hot, sample
from estimators.gumbel_rao import GumbelRao, perturbed_given

LENGTH, VOCAB = 2, 5
LATENT = Latent(LENGTH, VOCAB, 8)


def problem(seed: int = 0, progress: float = 0.0) -> Problem:
    return toy("factorised").problem(noise=torch.Generator().manual_seed(seed), progress=progress)


def rao(arguments: str = "") -> GumbelRao:
    estimator = load(f"gumbel_rao:{arguments}", LATENT)
    assert isinstance(estimator, GumbelRao)
    return estimator


def kolmogorov(values: torch.Tensor, cdf=None, other: torch.Tensor | None = None) -> float:
    """The Kolmogorov-Smirnov statistic times the root of the (effective) sample size: 2.2 is exceeded once in 8000."""
    values = values.sort().values
    ranks = torch.arange(len(values) + 1).double() / len(values)
    if other is None:
        reference, size = cdf(values.double()), len(values)
    else:
        reference = torch.searchsorted(other.sort().values, values, right=True).double() / len(other)
        size = len(values) * len(other) / (len(values) + len(other))
    return max((ranks[1:] - reference).abs().max().item(), (ranks[:-1] - reference).abs().max().item()) * size**0.5


def standard_gumbel(x):
    return (-(-x).exp()).exp()


def without_truncation(code, logits, draws, noise):
    """A broken conditional: the others are drawn freely, not below the largest."""
    log_q = logits.log_softmax(-1)
    log_e = torch.empty(draws, *logits.shape).exponential_(generator=noise).log()
    chosen = code.expand(draws, *code.shape).unsqueeze(-1)
    return (log_q - log_e).scatter(-1, chosen, -log_e.gather(-1, chosen))


def without_normaliser(code, logits, draws, noise):
    """A broken conditional: log Z is left out."""
    chosen = one_hot(code, logits.shape[-1])
    return perturbed_given(code, logits, draws, noise) - chosen * logits.logsumexp(-1, keepdim=True)


LOGITS = torch.tensor([2.0, 0.5, 0.0, -1.0])


@pytest.mark.parametrize(
    ("conditional", "passes"), [(perturbed_given, True), (without_truncation, False), (without_normaliser, False)]
)
def test_noise_is_standard_gumbel_and_independent_once_the_code_is_averaged_out(conditional, passes):
    noise, n = torch.Generator().manual_seed(0), 40_000
    logits = LOGITS.expand(n, -1)
    gumbel = conditional(sample(logits, noise), logits, 1, noise)[0] - LOGITS.log_softmax(-1)
    marginal = max(kolmogorov(column, standard_gumbel) for column in gumbel.T)
    correlation = (torch.corrcoef(standard_gumbel(gumbel).T) - torch.eye(4)).abs().max().item() * n**0.5
    assert (marginal < 2.2 and correlation < 4.5) is passes


@pytest.mark.parametrize(
    ("conditional", "passes"), [(perturbed_given, True), (without_truncation, False), (without_normaliser, False)]
)
@pytest.mark.parametrize("chosen", [0, 3])
def test_conditional_law_is_that_of_the_draws_that_rejection_keeps(chosen, conditional, passes):
    noise = torch.Generator().manual_seed(1)
    free = LOGITS.log_softmax(-1) - torch.empty(400_000, 4).exponential_(generator=noise).log()
    kept = free[free.argmax(-1) == chosen][:20_000]
    found = conditional(torch.tensor(chosen), LOGITS, 20_000, noise)
    off = max(kolmogorov(a, other=b) for a, b in zip(found.T, kept.T, strict=True))
    assert (off < 2.2) is passes


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1000.0])
def test_argmax_of_the_perturbed_logits_is_the_code(scale):
    noise = torch.Generator().manual_seed(2)
    logits = torch.randn(500, 3, 6, generator=noise) * scale
    code = sample(logits, noise)
    perturbed = perturbed_given(code, logits, 7, noise)
    assert perturbed.isfinite().all()
    assert torch.equal(perturbed.argmax(-1), code.expand(7, -1, -1))


def gradient_of(estimator, logits, slope, seed: int):
    leaf = logits.clone().requires_grad_()
    code = estimator.relax(leaf, problem(seed))
    (code * slope).sum().backward()
    return code.detach(), leaf.grad


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.0])
def test_gradient_is_the_formula_in_numpy(draws, temperature):
    """In the paper's own variables: unnormalised logits and the Gumbel noise itself."""
    generator = torch.Generator().manual_seed(3)
    logits, slope = (torch.randn(6, LENGTH, VOCAB, generator=generator) for _ in range(2))
    code, found = gradient_of(rao(f"draws={draws},temperature={temperature}"), logits, slope, seed=4)

    generator = torch.Generator().manual_seed(4)
    drawn = sample(logits, generator)
    assert torch.equal(code, one_hot(drawn, VOCAB))
    e = torch.empty(draws, 6, LENGTH, VOCAB).exponential_(generator=generator).double().numpy()
    theta, g, d = logits.double().numpy(), slope.double().numpy(), np.eye(VOCAB)[drawn.numpy()]
    z = np.exp(theta).sum(-1, keepdims=True)
    e_chosen = (e * d).sum(-1, keepdims=True)
    largest = np.log(z) - np.log(e_chosen)
    noise = np.where(d == 1, largest, -np.log(e / np.exp(theta) + e_chosen / z)) - theta
    p = np.exp((theta + noise) / temperature)
    p /= p.sum(-1, keepdims=True)
    expected = (p * (g - (p * g).sum(-1, keepdims=True))).mean(0) / temperature
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_total_derivative_differentiates_the_conditional_noise_too():
    generator = torch.Generator().manual_seed(5)
    logits, slope = (torch.randn(6, LENGTH, VOCAB, generator=generator) for _ in range(2))
    code, found = gradient_of(rao("draws=3,temperature=0.7,total_derivative=true"), logits, slope, seed=6)

    generator = torch.Generator().manual_seed(6)
    drawn = sample(logits, generator)
    e = torch.empty(3, 6, LENGTH, VOCAB).exponential_(generator=generator).double()
    theta = logits.double().requires_grad_()
    z, d = theta.exp().sum(-1, keepdim=True), one_hot(drawn, VOCAB).double()
    e_chosen = (e * d).sum(-1, keepdim=True)
    noise = torch.where(d == 1, z.log() - e_chosen.log(), -(e / theta.exp() + e_chosen / z).log()) - theta
    (((theta + noise) / 0.7).softmax(-1).mean(0) * slope).sum().backward()
    torch.testing.assert_close(found, theta.grad.float(), rtol=1e-4, atol=1e-5)

    same_code, detached = gradient_of(rao("draws=3,temperature=0.7"), logits, slope, seed=6)
    assert torch.equal(code, same_code)
    assert (found - detached).norm() > 0.1 * detached.norm()


def draws_of(spec: str, temperature: float, n: int = 40_000):
    """n single-image gradients with respect to the logits of a function that is not linear in the code."""
    estimator = load(f"{spec},temperature={temperature}", Latent(1, 4, 8))
    logits = LOGITS.expand(n, 1, -1).clone().requires_grad_()
    code = estimator.relax(logits, problem(7 if spec.startswith("gumbel_rao") else 8))
    value = (code @ torch.tensor([1.0, -2.0, 3.0, 0.5]) + 0.3).pow(3)
    return torch.autograd.grad(value.sum(), logits)[0].squeeze(1).double()


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize(
    ("spec", "passes"),
    [
        ("gumbel_rao:draws=1", True),
        ("gumbel_rao:draws=10", True),
        ("gumbel_rao:draws=1,total_derivative=true", False),
        ("gumbel_rao:draws=10,total_derivative=true", False),
    ],
)
def test_expectation_is_that_of_straight_through_gumbel_softmax(spec, passes, temperature):
    found, wanted = draws_of(spec, temperature), draws_of("gumbel_softmax:k=1", temperature)
    error = (found.var(0) / len(found) + wanted.var(0) / len(wanted)).sqrt()
    assert bool(((found.mean(0) - wanted.mean(0)).abs() <= 4.5 * error).all()) is passes


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_variance_falls_with_the_number_of_draws(temperature):
    variance, error = [], []
    for spec in ("gumbel_softmax:k=1", "gumbel_rao:draws=1", "gumbel_rao:draws=4", "gumbel_rao:draws=50"):
        found = draws_of(spec, temperature)
        square = (found - found.mean(0)).square().sum(-1)
        variance.append(square.mean().item())
        error.append(square.std().item() / len(square) ** 0.5)
    assert abs(variance[0] - variance[1]) <= 4.5 * math.hypot(error[0], error[1])
    assert variance[1] - variance[2] > 4.5 * math.hypot(error[1], error[2])
    assert variance[2] > variance[3]


def mean_of_losses(spec: str, kind: str):
    """The mean gradient of the whole loss, and its standard error."""
    estimator, case = toy_for(spec, kind)
    noise = torch.Generator().manual_seed(9)
    draws = torch.stack(
        [gradient(lambda: estimator.loss(case.problem(b=64, noise=noise)).loss, case.posterior) for _ in range(60)]
    )
    return draws.mean(0), draws.std(0) / len(draws) ** 0.5


@pytest.mark.parametrize("kind", ["factorised", "causal"])
def test_whole_loss_has_the_expectation_of_straight_through_gumbel_softmax(kind):
    found, error = mean_of_losses("gumbel_rao:draws=2", kind)
    wanted, other_error = mean_of_losses("gumbel_softmax", kind)
    slack = 1e-5 * wanted.abs().max()
    assert ((found - wanted).abs() <= 4.5 * torch.hypot(error, other_error) + slack).all()


def test_temperature_decays_exponentially_over_training():
    logits, slope = torch.randn(1, LENGTH, VOCAB), torch.randn(1, LENGTH, VOCAB)
    leaf = logits.clone().requires_grad_()
    (rao("temperature=1,temperature_end=0.01").relax(leaf, problem(10, progress=0.5)) * slope).sum().backward()
    _, expected = gradient_of(rao("temperature=0.1"), logits, slope, seed=10)
    torch.testing.assert_close(leaf.grad, expected)


@pytest.mark.parametrize("total_derivative", ["false", "true"])
def test_certain_posteriors_and_low_temperatures_give_finite_gradients(total_derivative):
    logits = torch.tensor([[0.0, 300.0, -300.0, 0.0, 1.0], [0.0, -1e4, 1e4, 5.0, 5.0]])
    estimator = rao(f"temperature=0.01,total_derivative={total_derivative}")
    code, found = gradient_of(estimator, logits, torch.randn(LENGTH, VOCAB), seed=11)
    assert torch.equal(code.argmax(-1), torch.tensor([1, 2]))
    assert found.isfinite().all()


def test_each_inner_draw_keeps_one_tensor_of_the_logits_size():
    saved = []
    logits = torch.randn(8, LENGTH, VOCAB, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        rao("draws=50").relax(logits, problem(12))
    assert sum(saved) <= (50 + 1) * math.prod(logits.shape)


def test_arguments_that_fit_nothing_are_refused_with_a_remedy():
    for arguments, words in (("draws=0", "try draws=10"), ("temperature=0", "not positive"), ("k=0", "at least 1")):
        with pytest.raises(ValueError, match=words):
            rao(arguments)
