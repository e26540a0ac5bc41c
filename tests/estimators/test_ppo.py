"""PPO: score function without lag, importance weighting and clipping with it, and the penalty that keeps it near."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from helpers.toys import Toy, all_codes, exact_objective, gradient, log_q, toy_for
from torch import nn

from bench.build import Task
from estimators import Latent, Problem, load
from estimators.ppo import COEFFICIENTS, PPO, clipped_gain

KINDS = pytest.mark.parametrize("kind", ["factorised", "causal"])


def ppo_for(arguments: str, kind: str, length: int = 2, vocab: int = 4) -> tuple[PPO, Toy]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        estimator, case = toy_for(f"ppo:{arguments}", kind, length, vocab)
    assert isinstance(estimator, PPO)
    return estimator, case


def older(case: Toy, distance: float = 0.3) -> nn.Module:
    """A policy some way from the toy's."""
    old, noise = copy.deepcopy(case.posterior), torch.Generator().manual_seed(20)
    with torch.no_grad():
        for parameter in old.parameters():
            parameter.add_(distance * torch.randn(parameter.shape, generator=noise))
    return old


def lagged(case: Toy, old: nn.Module, beta: float = 1.0, b: int = 1, noise: torch.Generator | None = None) -> Problem:
    return dataclasses.replace(case.problem(beta, b, noise), behaviour=old.bind(case.features.expand(b, -1, -1)))


def recorded(estimator, problem: Problem):
    """The estimate, and the codes the decoder was given."""
    seen = []

    def recording(code):
        seen.append(code)
        return problem.log_lik(code)

    estimate = estimator.loss(dataclasses.replace(problem, log_lik=recording))
    return estimate, seen[0]


@KINDS
@pytest.mark.parametrize("arguments", ["clip=1e9,lag=0", "clip=0.2,lag=4", "clip=0.01,lag=1"])
def test_where_the_policies_agree_it_is_reinforce_with_a_critic(kind, arguments):
    ppo, case = ppo_for(arguments, kind)
    reinforce = load("reinforce:baseline=critic", ppo.latent)
    nn.init.normal_(ppo.critic.network[-1].weight, generator=torch.Generator().manual_seed(0))
    reinforce.baseline.load_state_dict(ppo.critic.state_dict())
    for seed in range(4):
        losses, codes = [], []
        for estimator in (ppo, reinforce):
            estimate, code = recorded(estimator, case.problem(0.7, 5, torch.Generator().manual_seed(seed)))
            losses.append(estimate.loss)
            codes.append(code)
        assert torch.equal(*codes)
        for ours, theirs in ((case.posterior, case.posterior), (case.decoder, case.decoder), (ppo, reinforce)):
            found = gradient_of(losses[0], ours)
            torch.testing.assert_close(found, gradient_of(losses[1], theirs), rtol=1e-5, atol=1e-6)
    assert ppo.critic.mean == reinforce.baseline.mean


def gradient_of(loss, module):
    parameters = list(module.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, found, strict=True)]
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.1, 2.0, 2.2, 2.0),
        (1.5, 2.0, 2.4, 0.0),  # no reward for moving on
        (0.5, 2.0, 1.0, 2.0),  # but for coming back
        (0.9, -2.0, -1.8, -2.0),
        (0.5, -2.0, -1.6, 0.0),
        (1.5, -2.0, -3.0, -2.0),
    ],
)
def test_clipping_by_hand(ratio, advantage, gain, slope):
    log_ratio = torch.tensor([ratio]).log().requires_grad_()
    found = clipped_gain(log_ratio, torch.tensor([advantage]), 0.2)
    torch.testing.assert_close(found, torch.tensor([gain]))
    (found_slope,) = torch.autograd.grad(found.sum(), log_ratio)
    torch.testing.assert_close(found_slope, torch.tensor([slope * ratio]))


def per_position(posterior, code):
    return posterior.replay(code).log_softmax(-1).gather(-1, code[..., None])[..., 0]


def too_eager(log_ratio, advantage, clip):
    ratio = log_ratio.exp()
    return torch.maximum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


FAULTS = {
    "none": clipped_gain,
    "the higher of the two": too_eager,
    "no clipping": lambda log_ratio, advantage, clip: log_ratio.exp() * advantage,
    "no ratio": lambda log_ratio, advantage, clip: log_ratio * advantage,
    "wrong sign": lambda log_ratio, advantage, clip: -clipped_gain(log_ratio, advantage, clip),
}


@KINDS
@pytest.mark.parametrize("fault", FAULTS)
def test_encoder_gradient_is_the_formula_in_numpy(kind, fault, monkeypatch):
    """Each position's score has weight A r, or 0 where clipped, less the penalty's c (r - 1)."""
    monkeypatch.setattr("estimators.ppo.clipped_gain", FAULTS[fault])
    estimator, case = ppo_for("clip=0.15,k=16", kind, length=3)
    old, beta, noise = older(case), 0.7, torch.Generator().manual_seed(1)
    estimator.coefficient.fill_(0.4)
    _, first = recorded(estimator, lagged(case, old, beta, 8, noise))
    problem = lagged(case, old, beta, 8, noise)
    estimate, code = recorded(estimator, problem)

    def returns(code):
        return (case.log_lik(code) - beta * (log_q(problem, code) + 3 * np.log(4))).detach().double().numpy()

    # the critic's network starts at zero: what is left of it is the mean of the batch before
    advantage = (returns(code) - returns(first).mean())[..., None]
    scores = per_position(problem.posterior, code)
    ratio = np.exp((scores - per_position(problem.behaviour, code)).detach().double().numpy())
    clipped = ((advantage > 0) & (ratio > 1.15)) | ((advantage < 0) & (ratio < 0.85))
    assert 0.1 < clipped.mean() < 0.9
    assert 0.1 < (advantage > 0).mean() < 0.9
    weight = torch.tensor(np.where(clipped, 0.0, advantage * ratio) - 0.4 * (ratio - 1))
    found = gradient_of(estimate.loss, case.posterior)
    expected = gradient_of(-(weight * scores).sum(-1).mean(), case.posterior)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5) is (fault == "none")


@KINDS
def test_codes_come_from_the_old_policy(kind):
    estimator, case = ppo_for("", kind)
    old = older(case)
    with torch.no_grad():
        old.head.bias[2] += 50.0
    _, code = recorded(estimator, lagged(case, old, b=3))
    assert (code == 2).all()


def mean_gradient(draw, module, n: int):
    """The mean of n gradients, and its standard error."""
    draws = torch.stack([gradient(draw, module) for _ in range(n)])
    return draws.mean(0), draws.std(0) / n**0.5


def agree(mean, error, wanted) -> bool:
    return bool(((mean - wanted).abs() <= 4.5 * error + 1e-5 * wanted.abs().max()).all())


@KINDS
@pytest.mark.parametrize("fault", ["none", "no ratio", "wrong sign"])
def test_without_clip_or_penalty_one_position_is_unbiased_at_any_lag(kind, fault, monkeypatch):
    monkeypatch.setattr("estimators.ppo.clipped_gain", FAULTS[fault])
    estimator, case = ppo_for("clip=1e9,lag=0", kind, length=1)
    estimator.coefficient.zero_()
    old, noise = older(case), torch.Generator().manual_seed(2)
    mean, error = mean_gradient(lambda: estimator.loss(lagged(case, old, 0.7, 64, noise)).loss, case.posterior, n=150)
    assert agree(mean, error, gradient(lambda: -exact_objective(case, 0.7, 1, 4), case.posterior)) is (fault == "none")


@KINDS
def test_penalty_is_the_kl_from_the_old_policy_to_the_new(kind):
    estimator, case = ppo_for("lag=0", kind, length=3, vocab=3)
    old, codes, noise = older(case), all_codes(3, 3), torch.Generator().manual_seed(3)
    # nothing to gain: the loss is the penalty alone
    case.log_lik = lambda code: torch.zeros(code.shape[:2])

    def exact():
        problem = lagged(case, old)
        before = per_position(problem.behaviour, codes).sum(-1).detach()
        return (before.exp() * (before - log_q(problem, codes))).sum()

    values = []

    def estimated():
        estimate = estimator.loss(lagged(case, old, 0.0, 64, noise))
        values.append(estimate.terms["policy_kl"])
        return estimate.loss

    mean, error = mean_gradient(estimated, case.posterior, n=100)
    assert agree(mean, error, gradient(exact, case.posterior))
    kl = 3 * torch.stack(values)
    assert agree(kl.mean(), kl.std() / len(kl) ** 0.5, exact().detach())


@pytest.mark.parametrize(
    ("kls", "coefficient"),
    [
        ([9.0, 9.0, 0.01], 1.0),  # only the last update of a lag counts
        ([0.0, 0.0, 0.014], 1.0),
        ([0.0, 0.0, 0.016], 2.0),
        ([0.0, 0.0, 0.007], 1.0),
        ([0.0, 0.0, 0.006], 0.5),
        ([0.0, 0.0, 0.1, 0.0, 0.0, 0.1], 4.0),
        ([0.0] * 3000, COEFFICIENTS[0]),
        ([9.0] * 3000, COEFFICIENTS[1]),
    ],
)
def test_coefficient_steers_towards_the_target(kls, coefficient):
    estimator, _ = ppo_for("lag=3,kl_target=0.01", "factorised")
    for kl in kls:
        estimator._adapt(torch.tensor(kl))
    assert estimator.coefficient.item() == pytest.approx(coefficient)


@pytest.mark.parametrize("lag", [0, 1])
def test_coefficient_stays_where_the_policies_never_differ(lag):
    estimator, case = ppo_for(f"lag={lag}", "factorised")
    for _ in range(5):
        estimator.loss(case.problem(b=4))
    assert estimator.coefficient == 1


def train(kind: str, steered: bool):
    """How much of the way to the best objective 160 updates go, and the KL at the end of lags 4 to 15."""
    length, vocab, beta, lag = 2, 16, 0.1, 4
    estimator, case = ppo_for(f"clip=1e9,lag={lag},kl_target=0.01", kind, length, vocab)
    old, noise, kls = copy.deepcopy(case.posterior), torch.Generator().manual_seed(4), []
    optimiser = torch.optim.Adam([*case.posterior.parameters(), *estimator.parameters()], lr=0.03)
    rewards = case.log_lik(all_codes(length, vocab)).detach()
    best = beta * ((rewards / beta).logsumexp(0) - length * np.log(vocab)).item()
    before = exact_objective(case, beta, length, vocab).item()
    for step in range(160):
        if step % lag == 0:
            old.load_state_dict(case.posterior.state_dict())
        if not steered:
            estimator.coefficient.zero_()
        estimate = estimator.loss(lagged(case, old, beta, 16, noise))
        optimiser.zero_grad()
        estimate.loss.backward()
        optimiser.step()
        if step % lag == lag - 1:
            kls.append(estimate.terms["policy_kl"].item())
    after = exact_objective(case, beta, length, vocab).item()
    return (after - before) / (best - before), max(kls[3:15])


@KINDS
def test_training_with_a_lag_improves_the_objective_and_holds_the_kl_near_its_target(kind):
    progress, kl = train(kind, steered=True)
    assert progress > 0.9
    assert kl < 0.03
    assert train(kind, steered=False)[1] > 2 * kl


@KINDS
def test_policies_far_apart_give_finite_losses(kind):
    estimator, case = ppo_for("", kind)
    old = older(case)
    with torch.no_grad():
        old.head.bias[2] += 50.0
    loss = estimator.loss(lagged(case, old, b=3)).loss
    assert loss.isfinite()
    assert gradient_of(loss, case.posterior).isfinite().all()


@pytest.mark.parametrize("lag", [0, 1, 7])
def test_lag_is_an_argument_and_a_snapshot_is_kept_for_it(lag):
    estimator = load(f"ppo:lag={lag}", Latent(2, 4, 8))
    assert estimator.lag == lag
    assert (Task(nn.Linear(1, 1), estimator).snapshot is None) is (lag == 0)


def test_arguments_that_fit_nothing_are_refused_with_a_remedy():
    for arguments, words in (
        ("k=0", "at least 1"),
        ("clip=0", "try clip=0.2"),
        ("lag=-1", "try lag=4"),
        ("kl_target=0", "try kl_target=0.01"),
    ):
        with pytest.raises(ValueError, match=words):
            load(f"ppo:{arguments}", Latent(2, 4, 8))
