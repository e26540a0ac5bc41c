"""The oracle itself, against sums written out by hand."""

import math

import pytest
import torch
from helpers.toys import all_codes, exact_objective, gradient, log_q, toy_for

from estimators import Latent, Problem, load
from estimators.exact import distance_to_optimal, enumerate_codes, objective, optimal_policy, score_all

KINDS = pytest.mark.parametrize("kind", ["factorised", "causal"])


def test_codes_are_all_there_once():
    codes = enumerate_codes(Latent(3, 4, 8))
    assert codes.shape == (64, 3)
    assert len(codes.unique(dim=0)) == 64


def test_too_many_codes_are_refused_with_the_numbers():
    with pytest.raises(ValueError, match=r"64\^4 = 1.68e\+07 codes, at most 16384; try --set length=2 --set vocab=64"):
        load("exact", Latent(4, 64, 8))
    load("exact", Latent(2, 128, 8))


@KINDS
@pytest.mark.parametrize("beta", [0.0, 1.0, 5.0])
def test_loss_is_minus_the_objective_and_so_is_its_gradient(kind, beta):
    estimator, case = toy_for("exact", kind, length=2, vocab=3)
    loss = estimator.loss(case.problem(beta, b=4)).loss
    expected = -exact_objective(case, beta, 2, 3)
    torch.testing.assert_close(loss, expected)
    for module in (case.posterior, case.decoder):
        found = gradient(lambda: estimator.loss(case.problem(beta, b=4)).loss, module)
        torch.testing.assert_close(
            found, gradient(lambda: -exact_objective(case, beta, 2, 3), module), rtol=1e-4, atol=1e-5
        )


@KINDS
def test_no_perturbation_of_the_optimal_policy_improves_on_it(kind):
    """q* maximises E[R] + beta H(q) - eta KL(q || q_theta): checked against many other distributions."""
    _, case = toy_for("exact", kind, length=2, vocab=3)
    codes, eta, beta = all_codes(2, 3)[:, 0], 0.7, 0.4
    with torch.no_grad():
        scores, rewards = (value[:, 0].double() for value in score_all(case.problem(beta), codes))
    best = optimal_policy(scores[:, None], rewards[:, None], eta, beta)[:, 0].exp()

    def gain(q):
        entropy = -torch.special.xlogy(q, q).sum(-1)
        divergence = (torch.special.xlogy(q, q) - q * scores).sum(-1)
        return (q * rewards).sum(-1) + beta * entropy - eta * divergence

    others = torch.distributions.Dirichlet(torch.ones(9).double()).sample((2000,))
    for step in (1.0, 0.1, 0.01):
        assert (gain(best + step * (others - best)) <= gain(best) + 1e-9).all()


@KINDS
def test_distance_to_optimal_is_a_kl_divergence(kind):
    _, case = toy_for("exact", kind, length=2, vocab=3)
    with torch.no_grad():
        scores, rewards = score_all(case.problem(b=2), all_codes(2, 3)[:, 0])
    q, target = scores.exp(), optimal_policy(scores, rewards, 2.0, 0.5).exp()
    torch.testing.assert_close(target.sum(0), torch.ones(2))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(target.T), torch.distributions.Categorical(q.T)
    )
    torch.testing.assert_close(distance_to_optimal(scores, rewards, 2.0, 0.5), expected)
    assert (distance_to_optimal(scores, rewards, 1e9, 0.0) < 1e-5).all()


@KINDS
def test_objective_with_beta_one_is_bounded_by_the_evidence(kind):
    _, case = toy_for("exact", kind, length=2, vocab=3)
    with torch.no_grad():
        scores, rewards = score_all(case.problem(), all_codes(2, 3)[:, 0])
    evidence = (rewards - 2 * math.log(3)).logsumexp(0)
    assert (objective(scores, rewards, -2 * math.log(3), 1.0) <= evidence + 1e-6).all()


@pytest.mark.slow
@KINDS
def test_policy_search_steps_down_the_distance_to_its_target_ever_closer_with_more_samples(kind):
    """The gate for `daps`: against the exact gradient of KL(q* || q) its self-normalisation bias falls like 1/k."""
    length, vocab, beta, eta, b = 2, 3, 0.5, 3.0, 256
    biases = []
    for k in (2, 8, 128):
        estimator, case = toy_for(f"daps:k={k},ess_target=0.9,eta={eta}", kind, length, vocab)

        def exact(case=case):
            scores, rewards = score_all(case.problem(beta), enumerate_codes(Latent(length, vocab, 8)))
            return distance_to_optimal(scores, rewards, eta, beta).sum()

        target = gradient(exact, case.posterior)
        noise = torch.Generator().manual_seed(1)
        draws = torch.stack(
            [
                gradient(lambda c=case, e=estimator, n=noise: e.loss(c.problem(beta, b, n)).loss, case.posterior)
                for _ in range(40)
            ]
        )
        error = draws.std(0) / len(draws) ** 0.5
        off = draws.mean(0) - target
        biases.append(((off.square() - error.square()).sum() / target.square().sum()).item())
        if k == 128:
            assert (off.abs() <= 4.5 * error + 0.02 * target.abs().max()).all()
    assert biases[0] > 4 * biases[1] > 0
    assert biases[2] < biases[1] / 10


@pytest.mark.slow
@KINDS
def test_a_broken_policy_search_is_caught(kind, monkeypatch):
    """The check above would not pass if the weights had the wrong sign of beta."""
    from estimators._step_size import learned

    original = learned.log_weights
    monkeypatch.setattr(learned, "log_weights", lambda a, q, eta, beta: original(a, -q, eta, beta))
    with pytest.raises(AssertionError):
        test_policy_search_steps_down_the_distance_to_its_target_ever_closer_with_more_samples(kind)


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("fault", ["sign", "missing entropy", "attached"])
def test_a_broken_score_function_is_caught(kind, fault):
    """What the unbiasedness gate does to a REINFORCE that is wrong."""
    from estimators._categorical import log_prob
    from estimators.reinforce import Reinforce

    class Broken(Reinforce):
        def loss(self, problem: Problem):
            with torch.no_grad():
                code, _ = problem.posterior.rollout(lambda p: self.hard(p, problem.noise), self.k)
            log_lik, log_probs = problem.log_lik(code), log_prob(problem.posterior.replay(code), code)
            entropy = {"missing entropy": 0.0, "sign": 1.0, "attached": -1.0}[fault]
            returns = log_lik + problem.beta * entropy * (log_probs if fault == "attached" else log_probs.detach())
            baseline = (returns.sum(0) - returns) / (self.k - 1)
            advantage = returns - baseline
            estimate = super().loss(problem)
            weight = advantage if fault == "attached" else advantage.detach()
            return type(estimate)(-(weight * log_probs).mean() - log_lik.mean(), estimate.terms, estimate.decodes)

    length, vocab, beta = 2, 3, 1.0
    estimator = Broken(Latent(length, vocab, 8))
    _, case = toy_for("reinforce", kind, length, vocab)
    exact = gradient(lambda: -exact_objective(case, beta, length, vocab), case.posterior)
    noise = torch.Generator().manual_seed(8)
    draws = torch.stack(
        [gradient(lambda: estimator.loss(case.problem(beta, 64, noise)).loss, case.posterior) for _ in range(100)]
    )
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact).abs() > 4.5 * error + 1e-6).any()


@KINDS
def test_dropping_the_prefix_term_of_a_causal_entropy_is_caught(kind):
    """The direct term of the path's KL alone is its gradient only when positions are independent."""
    _, case = toy_for("exact", kind, length=2, vocab=3, scale=3.0)
    codes = all_codes(2, 3)

    def true_kl():
        scores = log_q(case.problem(), codes)
        return (scores.exp() * (scores + 2 * math.log(3))).sum()

    def direct_only():
        logits = case.problem().posterior.replay(codes)
        log_p = logits.log_softmax(-1)
        path = (log_p.exp() * log_p).sum((-1, -2)) + 2 * math.log(3)
        return (log_q(case.problem(), codes).exp().detach() * path).sum()

    full, direct = gradient(true_kl, case.posterior), gradient(direct_only, case.posterior)
    gap = (full - direct).norm() / full.norm()
    assert gap < 1e-5 if kind == "factorised" else gap > 1e-2
