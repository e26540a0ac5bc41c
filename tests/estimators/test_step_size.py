"""Step-size rules against hand-worked cases, scipy, and second implementations."""

import math

import numpy as np
import pytest
import torch
from helpers.step_sizes import rule, samples
from scipy import optimize
from scipy.special import logsumexp, softmax


def kl_to_equal(weights: np.ndarray) -> np.ndarray:
    return np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-300) * len(weights)), 0).sum(0)


def kl_dual(eta: float, returns: np.ndarray, beta: float, epsilon: float) -> float:
    """The dual as it is written down, over the mean of the columns of returns."""
    temperature = eta + beta
    return eta * epsilon + temperature * np.mean(logsumexp(returns / temperature, axis=0) - math.log(len(returns)))


def minimise_over_eta(dual) -> float:
    found = optimize.minimize_scalar(lambda x: dual(math.exp(x)), bounds=(-15, 12), options={"xatol": 1e-10})
    return math.exp(found.x)


# --- kl


@pytest.mark.parametrize("beta", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("epsilon", [0.02, 0.5, 1.2])
def test_kl_eta_minimises_the_dual_as_scipy_does_and_the_bound_is_met_with_equality(epsilon, beta):
    advantage, log_q = samples()
    returns = (advantage - beta * log_q).numpy()
    step = rule("kl", epsilon=epsilon)(advantage, log_q, beta)
    expected = minimise_over_eta(lambda eta: kl_dual(eta, returns, beta, epsilon))
    assert step.eta.item() == pytest.approx(expected, rel=1e-4)
    assert kl_to_equal(step.log_weights.exp().numpy()).mean() == pytest.approx(epsilon, rel=1e-4)

    each = rule("kl", epsilon=epsilon, per_image=True)(advantage, log_q, beta)
    expected = [
        minimise_over_eta(lambda eta, i=i: kl_dual(eta, returns[:, i : i + 1], beta, epsilon)) for i in range(6)
    ]
    np.testing.assert_allclose(each.eta.numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(kl_to_equal(each.log_weights.exp().numpy()), epsilon, rtol=1e-4)


def test_kl_dual_is_convex():
    advantage, log_q = samples()
    eta = np.linspace(0.01, 60, 400)
    values = np.array([kl_dual(x, (advantage - 2.0 * log_q).numpy(), 2.0, 0.3) for x in eta])
    assert np.diff(values, 2).min() > -1e-9


@pytest.mark.parametrize("beta", [0.0, 0.7, 3.0])
def test_kl_weights_solve_the_bounded_problem_itself(beta):
    """max E[A] + beta H subject to KL(p || q) <= epsilon over four codes, by a general solver. A code that is drawn as
    often as q says makes the samples' estimate exact."""
    drawn = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    q = np.bincount(drawn) / len(drawn)
    rewards, epsilon = np.array([0.0, 1.0, 2.5, 1.5]), 0.2

    def kl(p):
        return (p * np.log(p / q)).sum()

    solution = optimize.minimize(
        lambda p: -(p @ rewards) + beta * (p * np.log(p)).sum(),
        q,
        bounds=[(1e-9, 1)] * 4,
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "ineq", "fun": lambda p: epsilon - kl(p)},
        ],
        options={"ftol": 1e-14, "maxiter": 1000},
    ).x
    advantage, log_q = torch.tensor(rewards[drawn])[:, None], torch.tensor(np.log(q[drawn]))[:, None]
    weights = rule("kl", epsilon=epsilon)(advantage, log_q, beta).log_weights.exp().squeeze(1).numpy()
    np.testing.assert_allclose(np.bincount(drawn, weights), solution, atol=1e-4)


def test_kl_bound_that_does_not_bind_leaves_eta_at_zero():
    advantage, log_q = samples()
    returns = (advantage - 1000.0 * log_q).numpy()
    step = rule("kl", epsilon=1.9)(advantage, log_q, 1000.0)
    assert step.eta.item() == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(step.log_weights.exp().numpy(), softmax(returns / 1000, axis=0), rtol=1e-5)
    assert kl_to_equal(step.log_weights.exp().numpy()).mean() < 1.9


# --- two samples, by hand: the weight p of the better one fixes T = gap / log(p / (1 - p))


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize(("name", "knob"), [("kl", "epsilon"), ("ess_solve", "ess_target")])
def test_two_samples_by_hand(name, knob, beta):
    p, gap = 0.8, 3.0
    value = {
        "epsilon": p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)),
        "ess_target": 1 / (p**2 + (1 - p) ** 2) / 2,
    }[knob]
    # the gap in reward is what is left of the gap in return
    log_q = torch.tensor([[-1.0], [-2.0]], dtype=torch.float64)
    advantage = torch.tensor([[0.0], [gap - beta]], dtype=torch.float64)
    for per_image in (False, True):
        step = rule(name, 2, **{knob: value}, per_image=per_image)(advantage, log_q, beta)
        assert step.eta.item() == pytest.approx(gap / math.log(p / (1 - p)) - beta, rel=1e-5)
        np.testing.assert_allclose(step.log_weights.exp().squeeze(1).numpy(), [1 - p, p], rtol=1e-5)


# --- ess_solve


@pytest.mark.parametrize("beta", [0.0, 2.0])
@pytest.mark.parametrize(("k", "target"), [(2, None), (3, None), (8, None), (8, 0.75), (64, 0.25), (64, 0.02)])
def test_solved_ess_hits_its_target(k, target, beta):
    advantage, log_q = (values.float() for values in samples(k, b=100, scale=1000.0))
    fraction = target or {2: 0.55, 3: 0.4, 8: 0.33}[k]
    step = rule("ess_solve", k, ess_target=target)(advantage, log_q, beta)
    assert step.ess.mean().item() == pytest.approx(fraction * k, rel=1e-3)
    each = rule("ess_solve", k, ess_target=target, per_image=True)(advantage, log_q, beta)
    np.testing.assert_allclose(each.ess.numpy(), fraction * k, rtol=1e-3)
    assert each.eta.shape == (100,)
    assert step.eta.shape == ()


def test_solved_ess_stays_at_eta_zero_where_the_target_is_exceeded_already():
    advantage, log_q = samples()
    step = rule("ess_solve", ess_target=0.2)(advantage, log_q * 0, beta := 1e4)
    assert step.eta.item() == pytest.approx(0, abs=1e-6 * beta)
    assert step.ess.mean() > 0.9 * 8


def test_learned_and_solved_ess_agree_on_a_batch_that_does_not_change():
    advantage, log_q = samples()
    learned = rule("ess", eta=20.0)
    optimiser = torch.optim.Adam(learned.parameters(), lr=0.03)
    for _ in range(500):
        optimiser.zero_grad()
        learned(advantage, log_q, 1.0).loss.backward()
        optimiser.step()
    solved = rule("ess_solve")(advantage, log_q, 1.0)
    assert learned(advantage, log_q, 1.0).eta.item() == pytest.approx(solved.eta.item(), rel=1e-2)


# --- lbps


def bound(temperature: float, returns: np.ndarray, delta: float) -> np.ndarray:
    """Of each image, per column."""
    weights = softmax(returns / temperature, axis=0)
    spread, ess = np.ptp(returns, axis=0), 1 / np.square(weights).sum(0)
    return (weights * returns).sum(0) - spread * np.sqrt((1 - delta) / (delta * ess))


@pytest.mark.parametrize("k", [2, 8, 64])
@pytest.mark.parametrize("delta", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_lbps_bound_is_as_high_as_on_a_fine_grid(k, delta, beta):
    advantage, log_q = samples(k)
    returns = (advantage - beta * log_q).numpy()
    grid = beta + np.logspace(-4, 5, 4000)
    table = np.array([bound(temperature, returns, delta) for temperature in grid])
    spread = np.ptp(returns, axis=0)
    step = rule("lbps", k, delta=delta)(advantage, log_q, beta)
    found = bound(max(step.eta.item() + beta, 1e-6), returns, delta).mean()
    assert found >= table.mean(1).max() - 1e-4 * spread.mean()
    each = rule("lbps", k, delta=delta, per_image=True)(advantage, log_q, beta)
    for i, eta in enumerate(each.eta.tolist()):
        assert bound(max(eta + beta, 1e-6), returns[:, [i]], delta)[0] >= table[:, i].max() - 1e-4 * spread[i]


def test_lbps_with_a_large_penalty_is_worked_out_by_hand():
    """To first order in 1 / T the bound is mean + Var / T - c r (1 + Var / 2 T^2) / sqrt(K), highest at T = c r /
    sqrt(K)."""
    advantage, log_q = samples(k=64, b=1)
    delta = 1e-4
    expected = math.sqrt((1 - delta) / delta) * np.ptp(advantage.numpy()) / math.sqrt(64)
    assert rule("lbps", 64, delta=delta)(advantage, log_q, 0.0).eta.item() == pytest.approx(expected, rel=0.05)


# --- vmpo


@pytest.mark.parametrize(("k", "b"), [(8, 6), (3, 5), (1, 4)])
@pytest.mark.parametrize("beta", [0.0, 0.4])
def test_vmpo_agrees_with_a_second_implementation(k, b, beta):
    rewards, log_q = samples(k, b)
    epsilon = 0.3
    step = rule("vmpo", k, epsilon=epsilon)(rewards, log_q, beta)
    returns = (rewards - beta * log_q).numpy()
    flat = (returns - returns.mean(0)).flatten()
    if k == 1:  # nothing to compare a sample with: all tie
        np.testing.assert_allclose(step.log_weights.exp().numpy(), 1)
        return
    best = np.argsort(flat)[-((len(flat) + 1) // 2) :]
    if len(flat) % 2 == 1:
        assert len(best) == len(flat) // 2 + 1
    eta = minimise_over_eta(lambda eta: kl_dual(eta, flat[best, None], beta, epsilon))
    psi = np.zeros(len(flat))
    psi[best] = softmax(flat[best] / (eta + beta))
    assert step.eta.item() == pytest.approx(eta, rel=1e-4)
    np.testing.assert_allclose(step.log_weights.exp().flatten().numpy() / b, psi, rtol=1e-4, atol=1e-9)
    assert kl_to_equal(psi[best]) == pytest.approx(epsilon, rel=1e-4)


def test_vmpo_sample_sizes_are_those_within_an_image_and_zero_for_an_image_without_a_weight():
    advantage = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [-3.0, -4.0, 0.0]])
    step = rule("vmpo", 4, epsilon=5.0)(advantage, torch.zeros(4, 3), beta := 2.0)
    # a bound that does not bind: T = beta; six of twelve samples are above the median
    e = math.exp(1 / beta)
    weights = torch.tensor([[1.0, e, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(step.log_weights.exp(), weights / weights.sum() * 3)
    torch.testing.assert_close(step.ess, torch.tensor([3.0, (e + 2) ** 2 / (e**2 + 2), 0.0]))


# --- fixed and greedy


def test_fixed_eta_is_what_was_given_whatever_the_rewards():
    advantage, log_q = samples()
    for scale in (1.0, 1e3):
        step = rule("fixed", eta=7.0)(advantage * scale, log_q, 0.5)
        assert step.eta.item() == 7.0
        expected = softmax((advantage * scale - 0.5 * log_q).numpy() / 7.5, axis=0)
        np.testing.assert_allclose(step.log_weights.exp().numpy(), expected, rtol=1e-6)


def test_greedy_at_beta_one_weighs_by_the_normalised_importance_weights_of_the_true_posterior():
    log_lik, log_q = samples()
    step = rule("greedy")(log_lik, log_q, 1.0)
    expected = torch.exp(log_lik - log_q) / torch.exp(log_lik - log_q).sum(0)
    torch.testing.assert_close(step.log_weights.exp(), expected)
    assert step.eta == 0


def test_greedy_without_entropy_weight_takes_the_best_sample_or_shares_among_equals():
    advantage = torch.tensor([[1.0, 5.0], [2.0, 5.0], [2.0, -1.0], [1.999, 5.0]])
    step = rule("greedy", 4)(advantage, -torch.rand(4, 2), 0.0)
    torch.testing.assert_close(
        step.log_weights.exp(), torch.tensor([[0.0, 1 / 3], [0.5, 1 / 3], [0.5, 0.0], [0.0, 1 / 3]])
    )


@pytest.mark.parametrize("name", ["kl", "ess_solve", "lbps"])
def test_a_tighter_knob_means_a_higher_eta(name):
    advantage, log_q = samples()
    knob, loose, tight = {
        "kl": ("epsilon", 1.0, 0.1),
        "ess_solve": ("ess_target", 0.3, 0.7),
        "lbps": ("delta", 0.8, 0.1),
    }[name]
    etas = [rule(name, **{knob: value})(advantage, log_q, 0.5).eta.item() for value in (loose, tight)]
    assert 1.5 * etas[0] < etas[1]


# --- what the theory says must not matter
