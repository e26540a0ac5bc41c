"""Score functions with the KL sampled, and with the KL of every position computed."""

import dataclasses

import pytest
import torch
from helpers.toys import exact_objective, gradient, toy_for

BETA = 5.0
CASES = pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("reinforce:baseline=loo", "factorised"),
        ("reinforce:baseline=loo", "causal"),
        ("reinforce:baseline=none", "factorised"),
        ("reinforce:baseline=none", "causal"),
        ("ppo:lag=0", "factorised"),
        ("ppo:lag=0", "causal"),
        ("carms:k=3", "factorised"),
    ],
)


def draws(spec: str, kind: str, count: int = 300):
    """Gradients with respect to the posterior, a row per draw, and the exact one."""
    length, vocab = 2, 3
    estimator, case = toy_for(spec, kind, length, vocab)
    noise = torch.Generator().manual_seed(3)
    found = [
        gradient(lambda: estimator.loss(case.problem(BETA, b=16, noise=noise)).loss, case.posterior)
        for _ in range(count)
    ]
    return torch.stack(found), gradient(lambda: -exact_objective(case, BETA, length, vocab), case.posterior)


@CASES
def test_the_exact_kl_leaves_the_gradient_unbiased(spec, kind):
    found, exact = draws(f"{spec},kl=exact", kind)
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - exact).abs() <= 4.5 * error + 1e-4 * exact.abs().max()).all()


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("reinforce:baseline=loo", "factorised"),
        ("reinforce:baseline=loo", "causal"),
        ("ppo:lag=0", "factorised"),
        ("ppo:lag=0", "causal"),
        ("carms:k=3", "factorised"),
    ],
)
def test_the_exact_kl_has_less_variance_where_there_is_a_baseline(spec, kind):
    sampled, exact = (draws(f"{spec},kl={how}", kind, 100)[0].var(0).sum() for how in ("sampled", "exact"))
    assert exact < 0.8 * sampled


@pytest.mark.parametrize("spec", ["reinforce", "carms", "ppo:lag=0"])
def test_the_direct_term_is_what_a_factorised_kl_contributes(spec):
    estimator, case = toy_for(f"{spec}{',' if ':' in spec else ':'}kl=exact", "factorised", 2, 3)
    problem = case.problem(BETA, b=4)
    silent = dataclasses.replace(problem, log_lik=lambda code: torch.zeros(code.shape[:2]))
    if spec == "ppo:lag=0":
        # a critic that has just begun has not learned the KL, which is in its returns
        estimator.critic.forward = lambda returns, problem: (returns, returns.new_zeros(()))
    found = gradient(lambda: estimator.loss(silent).loss, case.posterior)
    code = torch.zeros(1, 4, 2, dtype=torch.int64)
    direct = gradient(lambda: BETA * estimator.kl(case.problem(b=4).posterior.replay(code)).mean(), case.posterior)
    torch.testing.assert_close(found, direct)
