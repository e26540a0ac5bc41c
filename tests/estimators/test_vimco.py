"""VIMCO against the exact gradient of its own bound: the sum over all k-tuples of codes, without sampling error."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.toys import all_codes, exact_objective, gradient, log_q, toy_for

from estimators import Problem, load
from estimators import vimco as vimco_module
from estimators.vimco import leave_one_out_signal

LENGTH, VOCAB = 2, 2
LOG_PRIOR = -LENGTH * math.log(VOCAB)
KINDS = pytest.mark.parametrize("kind", ["factorised", "causal"])


class Given:
    """A posterior whose sample is fixed in advance."""

    def __init__(self, posterior, code):
        self.posterior, self.code = posterior, code

    def rollout(self, draw, k):
        assert len(self.code) == k
        return self.code, self.posterior.replay(self.code)

    def replay(self, code):
        return self.posterior.replay(code)


def tuples(k):
    """Every k-tuple of codes, each [k, 1, L]."""
    return [torch.stack(chosen) for chosen in itertools.product(all_codes(LENGTH, VOCAB), repeat=k)]


def exact_bound(case, beta, k, reward=1.0):
    """E log mean_k w_k by enumeration, differentiable; `reward` scales the log-likelihood."""
    problem, total = case.problem(beta), torch.zeros(())
    for code in tuples(k):
        scores = log_q(problem, code)[:, 0]
        log_w = reward * case.log_lik(code)[:, 0] + beta * (LOG_PRIOR - scores)
        total = total + scores.sum().exp() * (log_w.logsumexp(0) - math.log(k))
    return total


def mean_gradient(estimator, case, beta, reward=1.0):
    """The estimator's exact expectation with respect to the encoder: over every tuple it could have drawn."""
    total = torch.zeros(())
    for code in tuples(estimator.k):
        problem = case.problem(beta)
        given = Given(problem.posterior, code)
        settings = {"posterior": given, "behaviour": given, "log_lik": lambda code: reward * case.log_lik(code)}
        chance = log_q(problem, code).detach().sum().exp()
        loss = estimator.loss(Problem(**{**vars(problem), **settings})).loss
        total = total + chance * gradient(lambda loss=loss: loss, case.posterior)
    return total


@KINDS
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("k", [2, 3])
def test_expectation_is_the_exact_gradient_of_the_bound(kind, beta, k):
    estimator, case = toy_for(f"vimco:k={k}", kind, LENGTH, VOCAB, 2.0)
    found = mean_gradient(estimator, case, beta)
    exact = gradient(lambda: -exact_bound(case, beta, k), case.posterior)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5 * exact.abs().max().item())
    elbo = gradient(lambda: -exact_objective(case, beta, LENGTH, VOCAB), case.posterior)
    assert (exact - elbo).norm() > 0.01 * elbo.norm()


@KINDS
@pytest.mark.parametrize("fault", ["sign of the weights", "no weights", "mean over samples", "baseline of itself"])
def test_a_broken_multi_sample_gradient_is_caught(kind, fault, monkeypatch):
    original = leave_one_out_signal

    def broken(log_w):
        weights = log_w.softmax(0)
        if fault == "sign of the weights":
            return original(log_w) + 2 * weights
        if fault == "no weights":
            return original(log_w) + weights
        if fault == "mean over samples":
            return (original(log_w) - weights) / len(log_w) + weights
        # a baseline that has seen its own sample is not a baseline
        return log_w.logsumexp(0) - math.log(len(log_w)) - log_w

    monkeypatch.setattr(vimco_module, "leave_one_out_signal", broken)
    with pytest.raises(AssertionError):
        test_expectation_is_the_exact_gradient_of_the_bound(kind, 1.0, 3)


@KINDS
def test_bound_of_nearly_equal_weights_is_the_elbo(kind):
    """log mean w = mean log w to first order: with all of log w scaled down, the gradients are those of one sample."""
    estimator, case = toy_for("vimco:k=2", kind, LENGTH, VOCAB, 2.0)
    elbo = gradient(lambda: -exact_objective(case, 1.0, LENGTH, VOCAB), case.posterior)
    off = []
    for scale in (0.02, 0.01):
        off.append((mean_gradient(estimator, case, scale, reward=scale) / scale - elbo).norm() / elbo.norm())
    assert off[1] < 0.02
    assert off[1].item() == pytest.approx(off[0].item() / 2, rel=0.1)


def test_bound_tightens_with_more_samples_towards_the_evidence():
    _, case = toy_for("vimco", "factorised", LENGTH, VOCAB, 2.0)
    with torch.no_grad():
        evidence = (case.log_lik(all_codes(LENGTH, VOCAB)) + LOG_PRIOR).logsumexp(0).item()
        values = [exact_objective(case, 1.0, LENGTH, VOCAB), *(exact_bound(case, 1.0, k) for k in (2, 3, 4))]
    ordered = [value.item() for value in values] + [evidence]
    assert ordered == sorted(ordered)
    assert ordered[0] < ordered[1]


def test_reported_bound_is_the_log_mean_weight_of_the_sample():
    estimator, case = toy_for("vimco:k=5", "causal", 3, 4)
    seen = []
    problem = case.problem(0.7, b=6, noise=torch.Generator().manual_seed(0))

    def recording(code):
        seen.append(code)
        return case.log_lik(code)

    terms = estimator.loss(Problem(**{**vars(problem), "log_lik": recording})).terms
    log_w = case.log_lik(seen[0]) - 0.7 * (log_q(problem, seen[0]) + 3 * math.log(4))
    torch.testing.assert_close(terms["bound"], log_w.exp().mean(0).log().mean().detach(), rtol=1e-4, atol=1e-4)


def test_signal_agrees_with_the_formula_in_numpy():
    log_w = np.random.default_rng(0).normal(size=(6, 5)) * 4
    expected = np.empty_like(log_w)
    for i, x in itertools.product(range(6), range(5)):
        others = np.delete(log_w[:, x], i)
        swapped = np.exp(others).sum() + np.exp(others.mean())
        expected[i, x] = np.log(np.exp(log_w[:, x]).mean()) - np.log(swapped / 6)
    np.testing.assert_allclose(leave_one_out_signal(torch.tensor(log_w)).numpy(), expected, rtol=1e-9)


def test_signal_by_hand():
    # weights 1 and 3: mean 2; without the first the other's 3 stands twice, without the second 1 does
    found = leave_one_out_signal(torch.tensor([[1.0], [3.0]]).log())
    torch.testing.assert_close(found, torch.tensor([[2 / 3], [2.0]]).log())


def test_signal_of_extreme_weights_is_finite_and_ignores_a_common_factor():
    log_w = torch.tensor([[0.0, -1e5], [1e5, -1e5], [-1e5, -1e5]])
    assert leave_one_out_signal(log_w).isfinite().all()
    torch.testing.assert_close(leave_one_out_signal(log_w)[:, 1], torch.zeros(3))
    small = torch.randn(4, 3)
    torch.testing.assert_close(leave_one_out_signal(small.double() - 1e6), leave_one_out_signal(small.double()))


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match=r"k=1 samples .* try k=8"):
        load("vimco:k=1", toy_for("vimco", "factorised")[0].latent)
