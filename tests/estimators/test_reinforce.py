"""REINFORCE with the KL sampled, and with the KL of every position computed."""

import pytest
import torch
from helpers.toys import exact_objective, gradient, toy_for

BETA = 5.0
EXACT = "reinforce:kl=exact"


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


@pytest.mark.parametrize("kind", ["factorised", "causal"])
@pytest.mark.parametrize("baseline", ["loo", "none"])
def test_the_exact_kl_leaves_the_gradient_unbiased(kind, baseline):
    found, exact = draws(f"{EXACT},baseline={baseline}", kind)
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - exact).abs() <= 4.5 * error + 1e-4 * exact.abs().max()).all()


@pytest.mark.parametrize("kind", ["factorised", "causal"])
def test_the_exact_kl_has_less_variance(kind):
    sampled, exact = (draws(spec, kind, 100)[0].var(0).sum() for spec in ("reinforce", EXACT))
    assert exact < 0.8 * sampled


def test_the_direct_term_is_what_a_factorised_kl_contributes():
    estimator, case = toy_for(EXACT, "factorised", 2, 3)
    silent = {**vars(case.problem(BETA, b=4)), "log_lik": lambda code: torch.zeros(code.shape[:2])}
    problem = case.problem(BETA, b=4)
    found = gradient(lambda: estimator.loss(type(problem)(**silent)).loss, case.posterior)
    direct = gradient(
        lambda: BETA * estimator.kl(case.problem(b=4).posterior.replay(torch.zeros(1, 4, 2, dtype=torch.int64))).mean(),
        case.posterior,
    )
    torch.testing.assert_close(found, direct)
