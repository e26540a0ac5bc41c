"""Policy search against values worked out by hand and a NumPy re-implementation."""

import numpy as np
import pytest
import torch
from helpers.toys import gradient, log_q, toy_for

from estimators import Estimate, Latent, Problem, load, parse
from estimators._step_size import RULES, EssTarget, effective_sample_size, log_weights


def numpy_weights(advantage, log_q_values, eta, beta):
    exponent = (advantage - beta * log_q_values) / (eta + beta)
    unnormalised = np.exp(exponent - exponent.max(0))
    return unnormalised / unnormalised.sum(0)


@pytest.mark.parametrize("beta", [0.0, 0.3, 6.0])
@pytest.mark.parametrize("eta", [0.1, 100.0])
def test_weights_agree_with_the_formula_in_numpy(beta, eta):
    generator = np.random.default_rng(0)
    advantage, log_probs = generator.normal(size=(8, 5)) * 30, -generator.random((8, 5)) * 20
    found = log_weights(torch.tensor(advantage), torch.tensor(log_probs), torch.tensor(eta).double(), beta).exp()
    np.testing.assert_allclose(found.numpy(), numpy_weights(advantage, log_probs, eta, beta), rtol=1e-5, atol=1e-12)


def test_weights_ignore_any_baseline_that_is_constant_over_samples():
    advantage, log_probs = torch.randn(8, 5).double(), -torch.rand(8, 5).double()
    eta = torch.tensor(2.0).double()
    shifted = log_weights(advantage + torch.randn(1, 5).double() * 1e3, log_probs, eta, 0.5)
    torch.testing.assert_close(shifted, log_weights(advantage, log_probs, eta, 0.5), rtol=0, atol=1e-9)


def test_by_hand():
    # eta + beta = 2; exponents ln 1, ln 3 -> weights 1/4, 3/4
    advantage = torch.tensor([[0.0], [2 * np.log(3.0)]], dtype=torch.float32)
    weights = log_weights(advantage, torch.zeros(2, 1), torch.tensor(1.5), 0.5).exp()
    torch.testing.assert_close(weights, torch.tensor([[0.25], [0.75]]))
    torch.testing.assert_close(effective_sample_size(weights.log()), torch.tensor([1.6]))


@pytest.mark.parametrize("kind", ["factorised", "causal"])
def test_encoder_gradient_is_weighted_maximum_likelihood(kind):
    estimator, case = toy_for("daps:eta=0.5", kind)
    codes = []
    problem = case.problem(beta=0.7, b=3, noise=torch.Generator().manual_seed(0))

    def recording(code):
        codes.append(code)
        return case.log_lik(code)

    loss = estimator.loss(Problem(**{**vars(problem), "log_lik": recording})).loss
    found = gradient(lambda: loss, case.posterior)
    rewards = case.log_lik(codes[0]).detach().numpy()
    scores = log_q(case.problem(b=3), codes[0])
    weights = torch.tensor(numpy_weights(rewards, scores.detach().numpy(), 0.5, 0.7))
    expected = gradient(lambda: -(weights * scores).sum(0).mean(), case.posterior)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_encoder_loss_is_linear_in_log_q_with_the_weights_of_the_rule(rule):
    estimator, case = toy_for(f"daps:k=5,step_size={rule},eta=0.5", "factorised")
    codes = []
    problem = case.problem(beta=0.7, b=4, noise=torch.Generator().manual_seed(0))

    def recording(code):
        codes.append(code)
        return case.log_lik(code)

    estimate = estimator.loss(Problem(**{**vars(problem), "log_lik": recording}))
    scores = log_q(case.problem(b=4), codes[0])
    step = estimator.step_size(case.log_lik(codes[0]).detach(), scores.detach(), 0.7)
    weights = step.log_weights.exp()
    assert weights.sum().item() == pytest.approx(4)
    found = gradient(lambda: estimate.loss, case.posterior)
    expected = gradient(lambda: -(weights * scores).sum() / 4, case.posterior)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert estimate.terms["eta"].item() == pytest.approx(step.eta.mean().item(), rel=1e-3)
    assert estimate.terms["max_weight"].item() == pytest.approx(weights.amax(0).mean().item(), rel=1e-3)
    ess = (weights.sum(0) ** 2 / (weights**2).sum(0).clamp(min=1e-30) / 5).sort().values
    assert estimate.terms["ess"].item() == pytest.approx(ess.mean().item(), rel=1e-3)
    for percent, rank in ((10, 0), (50, 2), (90, 3)):
        assert estimate.terms[f"ess_p{percent}"].item() == pytest.approx(ess[rank].item(), rel=1e-3)


def test_equal_rewards_and_no_entropy_weight_give_plain_maximum_likelihood():
    log_w = log_weights(torch.zeros(4, 2), -torch.rand(4, 2) * 9, torch.tensor(1.0), 0.0)
    torch.testing.assert_close(log_w.exp(), torch.full((4, 2), 0.25))


def test_ess_rule_raises_eta_when_too_few_samples_count_and_lowers_it_when_too_many():
    advantage = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    for eta, sign in ((0.1, -1), (100.0, 1)):
        rule = EssTarget(k=4, ess_target=0.5, eta=eta, eta_lr=1e-3)
        rule(advantage, torch.zeros(4, 1), 0.0).loss.backward()
        # gradient descent moves against the gradient: negative means eta goes up
        assert torch.sign(rule.log_eta.grad) == sign


def test_training_moves_the_learned_eta_at_its_own_rate():
    estimator, case = toy_for("daps:eta_lr=0.1", "factorised")
    optimiser = torch.optim.Adam(estimator.param_groups(lr=1e-9))
    estimator.loss(case.problem(b=8, noise=torch.Generator().manual_seed(0))).loss.backward()
    optimiser.step()
    # the toy's rewards differ by far less than 100 nats: too many samples count
    assert estimator.step_size.log_eta.exp().item() == pytest.approx(100 * np.exp(-0.1), rel=1e-3)


def test_ess_rule_reaches_its_target():
    torch.manual_seed(0)
    advantage, log_probs = torch.randn(8, 256) * 50, -torch.rand(8, 256) * 10
    rule = EssTarget(k=8, ess_target=0.33, eta=100.0, eta_lr=0.05)
    optimiser = torch.optim.Adam(rule.parameters(), lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        rule(advantage, log_probs, 1.0).loss.backward()
        optimiser.step()
    eta = rule(advantage, log_probs, 1.0).eta
    ess = effective_sample_size(log_weights(advantage, log_probs, eta, 1.0)).mean()
    assert ess.item() == pytest.approx(0.33 * 8, rel=1e-2)


def test_ess_lies_between_one_and_k_even_for_extreme_rewards():
    advantage = torch.tensor([[0.0, 0.0], [1e6, 0.0], [-1e6, 0.0]])
    ess = effective_sample_size(log_weights(advantage, torch.zeros(3, 2), torch.tensor(1e-3), 0.0))
    torch.testing.assert_close(ess, torch.tensor([1.0, 3.0]))


def test_eta_has_its_own_learning_rate_and_escapes_clipping_and_decay():
    (group,) = load("daps:eta_lr=0.02", Latent(4, 8, 8)).param_groups(lr=1.0)
    assert group["lr"] == 0.02
    assert group["clip"] is False
    assert group["weight_decay"] == 0.0


def test_one_sample_has_weight_one():
    estimator, case = toy_for("daps:k=1", "factorised")
    estimate = estimator.loss(case.problem(b=4, noise=torch.Generator().manual_seed(1)))
    assert isinstance(estimate, Estimate)
    assert estimate.terms["max_weight"].item() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["factorised", "causal"])
def test_one_sample_moves_the_encoder_nowhere_on_average(kind):
    """There is nothing to compare a single sample with: the mean gradient is that of log q under q, which is zero."""
    estimator, case = toy_for("daps:k=1", kind)
    noise = torch.Generator().manual_seed(3)
    draws = torch.stack(
        [gradient(lambda: estimator.loss(case.problem(0.0, 64, noise)).loss, case.posterior) for _ in range(100)]
    )
    error = draws.std(0) / len(draws) ** 0.5
    assert (draws.mean(0).abs() <= 4.5 * error + 1e-6).all()
    assert error.max() > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("k=2,ess_target=0.33", "try ess_target=0.75"),
        ("k=0", "at least 1"),
        ("eta=-1", "positive"),
        ("epsilon=0.1", "belongs to step_size=kl"),
        ("step_size=kls", "did you mean kl"),
    ],
)
def test_arguments_that_fit_nothing_are_refused_with_a_remedy(arguments, words):
    with pytest.raises(ValueError, match=words):
        load(f"daps:{arguments}", Latent(4, 8, 8))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 16, 64])
def test_any_number_of_samples_goes_with_any_rule_as_it_is(rule, k):
    estimator, case = toy_for(f"daps:k={k},step_size={rule}", "factorised")
    assert estimator.loss(case.problem(b=4, noise=torch.Generator().manual_seed(1))).loss.isfinite()


@pytest.mark.parametrize("rule", RULES)
def test_what_presets_set_for_daps_fits_every_rule_and_leaves_its_name_short(rule):
    preset = {"daps": {"eta": 1.0, "eta_lr": 0.01, "ess_target": 0.5}}
    load(f"daps:step_size={rule}", Latent(4, 8, 8), preset)
    assert str(parse(f"daps:step_size={rule},eta=1.0", preset)) == f"daps:step_size={rule}".removesuffix(
        ":step_size=ess"
    )


def test_the_papers_step_size_is_the_default():
    plain = load("daps", Latent(4, 8, 8)).step_size
    assert isinstance(plain, EssTarget)
    assert (plain.target, plain.learning_rate) == (0.33 * 8, 1e-3)
    assert plain.log_eta.exp().item() == pytest.approx(100)
