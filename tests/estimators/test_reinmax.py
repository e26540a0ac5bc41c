"""ReinMax against its formula in NumPy, a case worked by hand, and the exact gradient of quadratics."""

from unittest import mock

import numpy as np
import pytest
import torch
from helpers.toys import all_codes, exact_objective, gradient, toy

import estimators.reinmax as module
from estimators import Latent, Problem, load
from estimators._categorical import one_hot, sample
from estimators.reinmax import ReinMax

PROBLEM = toy("factorised").problem()


def quadratic(length: int, vocab: int):
    """A random quadratic of a whole one-hot code, cross terms between positions included."""
    noise = torch.Generator().manual_seed(length * vocab)
    size = length * vocab
    curvature = torch.randn(size, size, generator=noise).double()
    slope = torch.randn(size, generator=noise).double()

    def f(code):
        flat = code.flatten(-2).double()
        return (flat @ curvature * flat).sum(-1) + flat @ slope

    return f


def enumerated(estimator, logits, f):
    """E_q of the estimator's gradient of f, exactly: every code in turn takes the place of the sampled one."""
    probs, total = logits.softmax(-1), 0.0
    for code in all_codes(*logits.shape):
        leaf = logits.clone().requires_grad_()
        with mock.patch("estimators.reinmax.sample", return_value=code[0]):
            (found,) = torch.autograd.grad(f(estimator.relax(leaf, PROBLEM)), leaf)
        total = total + probs.gather(-1, code[0][:, None]).prod() * found
    return total


def exact(logits, f):
    leaf = logits.clone().requires_grad_()
    codes = all_codes(*logits.shape)[:, 0]
    log_q = leaf.log_softmax(-1).expand(len(codes), -1, -1).gather(-1, codes[..., None]).sum((-2, -1))
    return torch.autograd.grad((log_q.exp() * f(one_hot(codes, logits.shape[-1]))).sum(), leaf)[0]


def logits_of(length: int, vocab: int, scale: float = 1.0):
    return torch.randn(length, vocab, generator=torch.Generator().manual_seed(1)).double() * scale


def reinmax(arguments: str = "", length: int = 2, vocab: int = 5) -> ReinMax:
    estimator = load(f"reinmax:{arguments}", Latent(length, vocab, 8))
    assert isinstance(estimator, ReinMax)
    return estimator


def test_by_hand():
    # pi = (1/2, 1/2), D = (1, 0), g = (1, 0): pi1 = (3/4, 1/4), J(pi1) 2g = (3/8, -3/8), J(pi) g/2 = (1/8, -1/8)
    logits = torch.zeros(1, 2, requires_grad=True)
    with mock.patch("estimators.reinmax.sample", return_value=torch.tensor([0])):
        reinmax(vocab=2).relax(logits, PROBLEM)[..., 0].sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.25, -0.25]]))


@pytest.mark.parametrize("temperature", [1.0, 1.5, 4.0])
def test_gradient_is_the_formula_in_numpy(temperature):
    logits = torch.randn(7, 2, 5, requires_grad=True)
    slope = torch.randn(7, 2, 5)
    code = reinmax(f"temperature={temperature}").relax(
        logits, Problem(**{**vars(PROBLEM), "noise": torch.Generator().manual_seed(3)})
    )
    (code * slope).sum().backward()
    drawn = sample(logits, torch.Generator().manual_seed(3))
    assert torch.equal(code, one_hot(drawn, 5))

    theta, g, d = logits.detach().double().numpy(), slope.double().numpy(), np.eye(5)[drawn.numpy()]

    def softmax(x):
        unnormalised = np.exp(x - x.max(-1, keepdims=True))
        return unnormalised / unnormalised.sum(-1, keepdims=True)

    def jacobian(p, v):
        return p * v - p * (p * v).sum(-1, keepdims=True)

    expected = jacobian((softmax(theta / temperature) + d) / 2, 2 * g) - jacobian(softmax(theta), g / 2)
    np.testing.assert_allclose(logits.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize(("length", "vocab"), [(1, 2), (1, 7), (2, 4), (3, 3)])
def test_exact_for_quadratics_at_temperature_one(length, vocab, scale):
    f, logits = quadratic(length, vocab), logits_of(length, vocab, scale)
    torch.testing.assert_close(enumerated(reinmax(), logits, f), exact(logits, f), rtol=1e-5, atol=1e-6)


def test_neither_exact_for_cubics_nor_at_other_temperatures():
    f, logits = quadratic(1, 4), logits_of(1, 4)

    def cubic(code):
        return f(code) + (code.double() @ torch.arange(4.0).double()).pow(3).sum(-1)

    for arguments, g in (("", cubic), ("temperature=2", f)):
        found, wanted = enumerated(reinmax(arguments), logits, g), exact(logits, g)
        assert (found - wanted).norm() > 0.02 * wanted.norm()


class Faulty(ReinMax):
    """The formula with its three weights free: two, a half, and how much of the code there is in the midpoint."""

    weights = (2.0, 0.5, 0.5)

    def relax(self, logits, problem):
        twice, half, share = self.weights
        code = one_hot(module.sample(logits, problem.noise), logits.shape[-1])
        mixture = (1 - share) * (logits.detach() / self.temperature).softmax(-1) + share * code
        midpoint = (mixture.log() + (logits - logits.detach())).softmax(-1)
        surrogate = twice * midpoint - half * logits.softmax(-1)
        return code + (surrogate - surrogate.detach())


@pytest.mark.parametrize(
    ("weights", "passes"),
    [
        ((2.0, 0.5, 0.5), True),
        ((2.0, -0.5, 0.5), False),
        ((1.0, 0.5, 0.5), False),
        ((2.0, 1.0, 0.5), False),
        ((2.0, 0.5, 0.25), False),
        ((1.0, 0.0, 0.0), False),  # straight_through
    ],
)
def test_a_broken_weight_is_caught(weights, passes):
    f, logits = quadratic(2, 3), logits_of(2, 3)
    faulty = Faulty(Latent(2, 3, 8))
    faulty.weights = weights
    found, wanted = enumerated(faulty, logits, f), exact(logits, f)
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6) is passes
    assert passes or (found - wanted).norm() > 0.02 * wanted.norm()


@pytest.mark.parametrize(("spec", "unbiased"), [("reinmax", True), ("straight_through", False)])
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_sampled_loss_agrees_with_the_oracle_on_a_quadratic(spec, unbiased, beta):
    length, vocab = 3, 3
    case, f = toy("factorised", length, vocab), quadratic(length, vocab)
    case.log_lik = lambda code: f(code if code.is_floating_point() else one_hot(code, vocab)).float()
    estimator = load(spec, Latent(length, vocab, 8))
    wanted = gradient(lambda: -exact_objective(case, beta, length, vocab), case.posterior)
    noise = torch.Generator().manual_seed(4)
    draws = torch.stack(
        [
            gradient(lambda: estimator.loss(case.problem(beta, b=64, noise=noise)).loss, case.posterior)
            for _ in range(150)
        ]
    )
    error = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - wanted).abs() - 1e-5 * wanted.abs().max()
    assert bool((off <= 4.5 * error).all()) is unbiased


def test_certain_posteriors_give_finite_gradients():
    logits = torch.tensor([[0.0, 300.0, -300.0], [0.0, -1e4, 1e4]], requires_grad=True)
    code = reinmax(vocab=3).relax(logits, PROBLEM)
    assert torch.equal(code, one_hot(torch.tensor([1, 2]), 3))
    (code * torch.randn(3)).sum().backward()
    assert logits.grad.isfinite().all()


def test_temperatures_below_one_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"temperature=0.5 is less than 1; try temperature=1.0"):
        reinmax("temperature=0.5")
