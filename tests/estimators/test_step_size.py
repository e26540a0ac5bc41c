"""Step-size rules against hand-worked cases, scipy, and inputs that training should never see but will."""

import math
import typing

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import logsumexp, softmax

from estimators._step_size import RULES, StepSize, make
from estimators.daps import DAPS, quantiles

PER_IMAGE = ("ess_solve", "kl", "lbps")
EVERY = [*((name, False) for name in RULES), *((name, True) for name in PER_IMAGE)]
SOLVED = [(name, per_image) for name, per_image in EVERY if name not in ("ess", "fixed")]
every_rule = pytest.mark.parametrize(("name", "per_image"), EVERY)
solved_rule = pytest.mark.parametrize(("name", "per_image"), SOLVED)


def rule(name: str, k: int = 8, **knobs) -> StepSize:
    nothing = {"ess_target": None, "epsilon": None, "delta": None, "per_image": False}
    return make(name, **{"k": k, "eta": 100.0, "eta_lr": 1e-3, **nothing, **knobs})


def samples(k: int = 8, b: int = 6, seed: int = 0, scale: float = 30.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and log q in nats, of images whose rewards differ in scale."""
    generator = np.random.default_rng(seed)
    rewards = generator.normal(size=(k, b)) * generator.lognormal(size=b) * scale
    return torch.tensor(rewards - rewards.mean(0)), torch.tensor(-generator.random((k, b)) * 9 - 40)


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


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("beta", [0.0, 2.0])
@solved_rule
def test_eta_scales_with_the_rewards_and_the_weights_do_not_change(name, per_image, beta, scale):
    """With beta, which is in nats like the rewards, scaled along; at beta = 0 nothing else has a scale."""
    advantage, log_q = (values.float() for values in samples())
    plain = rule(name, per_image=per_image)(advantage, log_q, beta)
    scaled = rule(name, per_image=per_image)(advantage * scale, log_q, beta * scale)
    # the maximum of a smooth bound is flat: single precision does not fix it any better
    tolerance = 1e-2 if name == "lbps" else 1e-4
    np.testing.assert_allclose(scaled.eta.numpy(), plain.eta.numpy() * scale, rtol=tolerance, atol=1e-6 * beta * scale)
    np.testing.assert_allclose(scaled.log_weights.exp().numpy(), plain.log_weights.exp().numpy(), atol=tolerance)


@every_rule
def test_a_baseline_per_image_changes_nothing(name, per_image):
    advantage, log_q = samples()
    shift = torch.linspace(-500, 500, advantage.shape[1], dtype=torch.float64)
    made = rule(name, per_image=per_image)
    plain, shifted = made(advantage, log_q, 0.5), made(advantage + shift, log_q, 0.5)
    torch.testing.assert_close(shifted.eta, plain.eta, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(shifted.log_weights.exp(), plain.log_weights.exp(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", PER_IMAGE)
def test_an_eta_per_image_knows_nothing_of_the_other_images(name):
    advantage, log_q = samples()
    made = rule(name, per_image=True)
    together = made(advantage, log_q, 0.5)
    alone = [made(advantage[:, [i]], log_q[:, [i]], 0.5) for i in range(advantage.shape[1])]
    torch.testing.assert_close(together.eta, torch.cat([step.eta for step in alone]))
    whole_batch_of_one = rule(name)(advantage[:, [2]], log_q[:, [2]], 0.5)
    torch.testing.assert_close(whole_batch_of_one.eta, together.eta[2])


@solved_rule
def test_single_precision_is_enough_for_thousands_of_nats(name, per_image):
    advantage, log_q = samples(b=40, scale=3000.0)
    made = rule(name, per_image=per_image)
    double, single = made(advantage, log_q * 100, 6.0), made(advantage.float(), log_q.float() * 100, 6.0)
    np.testing.assert_allclose(single.eta.numpy(), double.eta.numpy(), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(single.log_weights.exp().numpy(), double.log_weights.exp().numpy(), atol=2e-3)


# --- extremes


def extremes() -> dict[str, torch.Tensor]:
    noise = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    outlier, one_image, mixed = noise.clone(), torch.zeros(8, 5), noise.clone()
    outlier[3, 2] += 1e6
    one_image[:, 4] = noise[:, 4]
    mixed[:, 0] *= 1e6
    mixed[:, 1] *= 1e-6
    return {
        "equal": torch.zeros(8, 5),
        "equal and large": torch.full((8, 5), 0.0625),
        "outlier": outlier,
        "tiny": noise * 1e-6,
        "huge": noise * 1e6,
        "one image that differs": one_image,
        "mixed scales": mixed,
        "one sample": torch.zeros(1, 5),
        "two samples": noise[:2],
        "one image": noise[:, :1],
    }


@pytest.mark.parametrize("case", extremes())
@every_rule
def test_extremes_give_a_finite_eta_and_weights(name, per_image, case):
    advantage = extremes()[case]
    advantage = advantage - advantage.mean(0)
    log_q = -100 * torch.rand(advantage.shape, generator=torch.Generator().manual_seed(1))
    k, b = advantage.shape
    made = rule(name, k, per_image=per_image, eta=1.0)
    for beta in (0.0, 1e-6, 0.5, 50.0):
        step = made(advantage, log_q, beta)
        spread = ((advantage - beta * log_q).amax(0) - (advantage - beta * log_q).amin(0)).amax()
        assert step.eta.isfinite().all()
        assert (step.eta >= 0).all()
        if name not in ("ess", "fixed"):
            # at 30 times the spread of the returns weights are equal to within a few per cent
            assert (step.eta <= 30 * spread + 1e-20).all()
        weights = step.log_weights.exp()
        assert weights.isfinite().all()
        total = weights.sum() / b if name == "vmpo" else weights.sum(0)
        torch.testing.assert_close(total, torch.ones_like(total))
        assert step.ess.shape == (b,)
        assert (step.ess <= k * (1 + 1e-5)).all()
        assert (step.ess >= (0 if name == "vmpo" else 1 - 1e-5)).all()


@every_rule
def test_equal_returns_get_equal_weights(name, per_image):
    step = rule(name, per_image=per_image)(torch.zeros(8, 3), torch.full((8, 3), -4.0), 0.5)
    torch.testing.assert_close(step.log_weights.exp(), torch.full((8, 3), 1 / 8))
    torch.testing.assert_close(step.ess, torch.full((3,), 8.0))
    if name not in ("ess", "fixed"):
        torch.testing.assert_close(step.eta, torch.zeros_like(step.eta), rtol=0, atol=1e-6)


def test_an_outlier_in_one_image_leaves_the_others_their_weights_under_an_eta_per_image():
    advantage, log_q = samples()
    spoiled = advantage.clone()
    spoiled[3, 2] += 1e6
    for name in PER_IMAGE:
        made = rule(name, per_image=True)
        plain, other = made(advantage, log_q, 0.5), made(spoiled, log_q, 0.5)
        others = [0, 1, 3, 4, 5]
        torch.testing.assert_close(other.eta[others], plain.eta[others])
        assert other.log_weights[:, 2].argmax() == 3


# --- on a device, in a graph


@every_rule
def test_no_rule_waits_for_the_device(name, per_image):
    """Tensors of the meta device have shapes and no values: whatever asks for one fails."""
    made = rule(name, per_image=per_image).to("meta")
    advantage = torch.zeros(8, 5, device="meta")
    step = made(advantage, advantage, 0.5)
    assert step.log_weights.shape == (8, 5)
    assert step.eta.shape == ((5,) if per_image else ())
    assert step.loss.shape == ()
    assert {term.device.type for term in quantiles("ess", step.ess).values()} == {"meta"}


# --- what people type


@pytest.mark.parametrize(
    ("name", "knobs", "words"),
    [
        ("ess", {"epsilon": 0.1}, "no meaning with step_size=ess; it belongs to step_size=kl, step_size=vmpo"),
        ("ess", {"epsilon": 0.0}, "epsilon=0.0 has no meaning"),
        ("kl", {"delta": 0.1}, "belongs to step_size=lbps"),
        ("vmpo", {"per_image": True}, "per_image=true .*step_size=ess_solve, step_size=kl, step_size=lbps"),
        ("kl", {"epsilon": 0.0}, "not positive"),
        ("vmpo", {"epsilon": -1.0}, "not positive"),
        ("kl", {"epsilon": 2.1}, "log 8 = 2.08"),
        ("kl", {"epsilon": 0.7, "k": 2}, "try epsilon=0.17"),
        ("lbps", {"delta": 1.0}, "between 0 and 1"),
        ("lbps", {"delta": 0.0}, "between 0 and 1"),
        ("fixed", {"eta": 0.0}, "step_size=greedy"),
        ("ess", {"eta": 0.0}, "not positive"),
        ("ess", {"ess_target": 0.33, "k": 2}, "try ess_target=0.75"),
        ("ess_solve", {"ess_target": 1.0}, "between 0.125 and 1 times k"),
    ],
)
def test_knobs_that_fit_nothing_are_refused_with_a_remedy(name, knobs, words):
    with pytest.raises(ValueError, match=words):
        rule(name, **knobs)


def test_knobs_that_presets_set_for_all_rules_are_ignored_by_those_without_them():
    advantage, log_q = samples()
    for name in ("kl", "vmpo", "lbps", "greedy"):
        plain = rule(name)(advantage, log_q, 0.5)
        other = rule(name, eta=1.0, eta_lr=0.5, ess_target=0.5)(advantage, log_q, 0.5)
        torch.testing.assert_close(other.log_weights, plain.log_weights, rtol=0, atol=0)


def test_a_target_that_was_not_given_grows_with_k_in_samples():
    targets = [rule("ess", k).target for k in (2, 3, 4, 5, 8, 16, 64)]
    np.testing.assert_allclose(targets, [1.1, 1.2, 1.32, 1.65, 2.64, 5.28, 21.12])


def test_the_rules_are_those_that_can_be_typed():
    assert typing.get_args(typing.get_type_hints(DAPS.__init__)["step_size"]) == tuple(RULES)
