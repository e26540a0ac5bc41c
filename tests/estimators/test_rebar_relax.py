"""REBAR and RELAX against the paper's formulas written out with both noises, against enumeration, and against finite
differences of their own variance."""

import pytest
import torch
from helpers.toys import exact_objective, gradient, toy_for
from torch import nn

from estimators import Latent, Problem, load
from estimators import rebar as rebar_module
from estimators._categorical import one_hot
from estimators.rebar import REBAR, logit_gradient, perturbed

SPECS = pytest.mark.parametrize("spec", ["rebar", "relax"])


def unsettle(estimator: REBAR) -> REBAR:
    """Own parameters as far from their start as training could take them; the encoder's gradient must not care."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 4)
    return estimator


def conditional(log_q, v, code):
    """z~ of the paper, given the code and uniform noise v, differentiable in log q."""
    hard = one_hot(code, log_q.shape[-1]).bool()
    v_code = v.gather(-1, code[..., None])
    others = -(-v.log() / log_q.exp() - v_code.log()).log()
    return torch.where(hard, -(-v_code.log()).log(), others)


def tied_noise(z, log_q):
    """The v for which the conditional is z itself: the paper's formula solved for v."""
    top = (-z.amax(-1, keepdim=True)).exp()
    hard = one_hot(z.argmax(-1), z.shape[-1]).bool()
    return torch.where(hard, (-top).exp(), (-log_q.exp() * ((-z).exp() - top)).exp())


def published(f, c, logits, noise_u, noise_v):
    """The estimator as printed, one sample per image: autograd through both z and z~."""
    leaf = logits.clone().requires_grad_()
    log_q = leaf.log_softmax(-1)
    z = log_q - (-noise_u.log()).log()
    code = z.argmax(-1)
    z_given_code = conditional(log_q, noise_v(z.detach(), log_q.detach()), code)
    score = log_q.gather(-1, code[..., None]).sum((-2, -1))
    surrogate = (f(code) - c(z_given_code)).detach() * score + c(z) - c(z_given_code)
    return torch.autograd.grad(surrogate.sum(), leaf)[0], z.detach()


def nonlinear(seed):
    """A function of [k b L v] relaxed codes that couples their positions."""
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)).double()

    def function(code):
        soft = code if code.is_floating_point() else one_hot(code, 4).double()
        return 5 * torch.tanh((weight * soft).sum((-2, -1))) + (weight * soft).sum(-1).square().sum(-1)

    return function


def test_gradient_is_the_published_formula_with_tied_noise():
    f, relaxed = nonlinear(0), nonlinear(1)
    logits = 2 * torch.randn(2, 7, 3, 4).double()
    noise_u = torch.rand(2, 7, 3, 4).double()

    def c(z):
        return 0.7 * relaxed((z / 0.4).softmax(-1))

    expected, z = published(f, c, logits, noise_u, tied_noise)
    z.requires_grad_()
    found = logit_gradient(f(z.argmax(-1)), c(z), z, logits)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-9, atol=1e-9)


def test_tied_noise_gives_back_z_and_is_uniform_whatever_the_code():
    """What makes tying legitimate: given the code, v must still be independent and uniform."""
    logits = torch.tensor([1.5, 0.0, -1.0, -2.5]).double().expand(200_000, 4)
    z = perturbed(logits, torch.Generator().manual_seed(0))
    log_q = logits.log_softmax(-1)
    v, code = tied_noise(z, log_q), z.argmax(-1)
    torch.testing.assert_close(conditional(log_q, v, code), z)
    for chosen in range(4):
        given = v[code == chosen]
        error = (1 / 12 / len(given)) ** 0.5
        assert ((given.mean(0) - 0.5).abs() < 4.5 * error).all()
        # the variance of (v - 1/2)^2 is 1/180
        assert ((given.var(0) - 1 / 12).abs() < 4.5 * (1 / 180 / len(given)) ** 0.5).all()
        correlation = torch.corrcoef(given.T) - torch.eye(4)
        assert correlation.abs().max() < 4.5 / len(given) ** 0.5


def test_tied_and_independent_noise_agree_in_expectation():
    f, relaxed = nonlinear(2), nonlinear(3)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, generator=generator).double().expand(40_000, 1, 3, 4)
    noise_u, noise_v = (torch.rand(logits.shape, generator=generator).double() for _ in range(2))

    def c(z):
        return relaxed((z / 0.6).softmax(-1))

    tied, _ = published(f, c, logits, noise_u, tied_noise)
    independent, _ = published(f, c, logits, noise_u, lambda z, log_q: noise_v)
    difference = (tied - independent).flatten(1)
    assert (difference.mean(0).abs() < 4.5 * difference.std(0) / len(difference) ** 0.5).all()


def deviation(estimator, case, exact, beta, draws=100, b=64):
    """Largest distance of the mean encoder gradient from the exact one, in standard errors."""
    noise = torch.Generator().manual_seed(8)
    found = torch.stack(
        [gradient(lambda: estimator.loss(case.problem(beta, b, noise)).loss, case.posterior) for _ in range(draws)]
    )
    error = found.std(0) / draws**0.5
    return ((found.mean(0) - exact).abs() / (error + 1e-6 * exact.abs().max())).max().item()


@SPECS
@pytest.mark.parametrize(("beta", "scale"), [(0.0, 1.0), (1.0, 3.0), (5.0, 0.1)])
def test_unbiased_with_any_parameters_of_its_own_and_several_samples(spec, beta, scale):
    estimator, case = toy_for(f"{spec}:k=2", "factorised", 2, 3, scale)
    exact = gradient(lambda: -exact_objective(case, beta, 2, 3), case.posterior)
    assert deviation(unsettle(estimator), case, exact, beta) < 4.5


@pytest.mark.slow
@SPECS
@pytest.mark.parametrize("fault", ["sign of c", "missing path", "path without its conditional", "path of the simplex"])
def test_a_broken_control_variate_is_caught(spec, fault, monkeypatch):
    def broken(log_lik, control, z, logits):
        (slope,) = torch.autograd.grad(control.sum(), z, create_graph=True)
        probs = logits.softmax(-1)
        score = one_hot(z.argmax(-1), z.shape[-1]) - probs
        path = slope * (z - z.amax(-1, keepdim=True)).exp().detach()
        if fault == "path without its conditional":
            path = slope
        if fault == "missing path":
            path = torch.zeros_like(path)
        through_softmax = 0 if fault == "path of the simplex" else probs * path.sum(-1, keepdim=True)
        signal = log_lik + control if fault == "sign of c" else log_lik - control
        return signal[..., None, None] * score + path - through_softmax

    monkeypatch.setattr(rebar_module, "logit_gradient", broken)
    torch.manual_seed(0)  # the network of relax: with some, this fault is smaller than the noise
    estimator, case = toy_for(f"{spec}:k=8", "factorised", 2, 3, 3.0)
    exact = gradient(lambda: -exact_objective(case, 1.0, 2, 3), case.posterior)
    assert deviation(unsettle(estimator), case, exact, 1.0, b=256) > 6


def test_no_control_is_reinforce_without_a_baseline():
    estimator, case = toy_for("rebar:eta=0,k=3", "factorised")
    seen = []
    problem = case.problem(0.0, b=5, noise=torch.Generator().manual_seed(2))

    def recording(code):
        seen.append(code.detach())
        return case.log_lik(code)

    found = gradient(lambda: estimator.loss(Problem(**{**vars(problem), "log_lik": recording})).loss, case.posterior)
    code = seen[0]

    def score_function():
        log_q = case.problem(b=5).posterior.replay(code).log_softmax(-1).gather(-1, code[..., None]).sum((-2, -1))
        return -(case.log_lik(code).detach() * log_q).mean()

    torch.testing.assert_close(found, gradient(score_function, case.posterior), rtol=1e-4, atol=1e-6)


@SPECS
def test_own_parameters_follow_finite_differences_of_the_second_moment(spec):
    estimator, case = toy_for(f"{spec}:k=4", "factorised")
    unsettle(estimator)
    own = dict(estimator.named_parameters())
    directions = [{name: torch.ones(())} for name in ("eta", "log_temperature")]
    if spec == "relax":
        generator = torch.Generator().manual_seed(3)
        directions.append({n: torch.randn(p.shape, generator=generator) for n, p in own.items() if p.ndim})

    def estimate():
        return estimator.loss(case.problem(0.5, b=256, noise=torch.Generator().manual_seed(4)))

    loss = estimate().loss
    found = torch.autograd.grad(loss, list(own.values()))
    for direction in directions:
        slope = sum((g * direction[n]).sum().item() for n, g in zip(own, found, strict=True) if n in direction)
        values = []
        for step in (5e-3, -5e-3):
            with torch.no_grad():
                for name, way in direction.items():
                    own[name].add_(step * way)
            values.append(estimate().terms["second_moment"].item())
            with torch.no_grad():
                for name, way in direction.items():
                    own[name].sub_(step * way)
        assert slope == pytest.approx((values[0] - values[1]) / 1e-2, rel=2e-2, abs=1e-3)


@SPECS
def test_second_moment_is_of_the_gradient_that_is_handed_to_the_logits(spec):
    estimator, case = toy_for(f"{spec}:k=1", "factorised")
    unsettle(estimator)
    problem = case.problem(0.0, b=6, noise=torch.Generator().manual_seed(5))
    estimate = estimator.loss(problem)
    (handed,) = torch.autograd.grad(estimate.loss, problem.posterior.params)
    torch.testing.assert_close(handed.mul(6).square().sum((-2, -1)).mean(), estimate.terms["second_moment"])


@SPECS
def test_control_variate_leaves_no_trace_in_decoder_or_features(spec):
    estimator, case = toy_for(f"{spec}:k=2", "factorised")
    unsettle(estimator)
    seen = []
    problem = case.problem(1.0, b=5, noise=torch.Generator().manual_seed(6))
    features = problem.features.clone().requires_grad_()

    def recording(code):
        seen.append(code.detach())
        return case.log_lik(code)

    loss = estimator.loss(Problem(**{**vars(problem), "log_lik": recording, "features": features})).loss
    hard, soft = seen
    assert not hard.is_floating_point()
    assert torch.equal(soft.argmax(-1), hard)
    found = gradient(lambda: loss, case.decoder)
    plain = gradient(lambda: -case.log_lik(hard).mean(), case.decoder)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)
    loss = estimator.loss(Problem(**{**vars(problem), "features": features})).loss
    assert torch.autograd.grad(loss, features, allow_unused=True) == (None,)


def test_relax_starts_as_rebar_and_then_departs_from_it():
    (first, case), (second, _) = toy_for("rebar", "factorised"), toy_for("relax", "factorised")

    def encoder_gradient(estimator):
        problem = case.problem(b=8, noise=torch.Generator().manual_seed(7))
        return gradient(lambda: estimator.loss(problem).loss, case.posterior)

    assert torch.equal(encoder_gradient(first), encoder_gradient(second))
    nn.init.ones_(second.of_both.weight)
    assert not torch.allclose(encoder_gradient(first), encoder_gradient(second), rtol=1e-2)


@SPECS
def test_fitting_reduces_the_variance(spec):
    estimator, case = toy_for(f"{spec}:eta=-1,temperature=5", "factorised", scale=2.0)
    noise = torch.Generator().manual_seed(8)
    (group,) = estimator.param_groups(lr=0.02)
    assert len(group["params"]) == len(list(estimator.parameters()))
    optimiser = torch.optim.Adam(group["params"], lr=group["lr"])
    moments = []
    for _ in range(300):
        optimiser.zero_grad()
        estimate = estimator.loss(case.problem(b=64, noise=noise))
        estimate.loss.backward(inputs=group["params"])
        optimiser.step()
        moments.append(estimate.terms["second_moment"].item())
    assert sum(moments[-50:]) < 0.5 * sum(moments[:50])


@SPECS
def test_diagnostics_are_not_views_of_parameters_that_change(spec):
    estimator, case = toy_for(spec, "factorised")
    terms = estimator.loss(case.problem(b=2)).terms
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.add_(1)
    assert terms["eta"].item() == 1.0
    assert terms["temperature"].item() == pytest.approx(0.5)


@SPECS
def test_certain_and_impossible_codes_give_finite_gradients(spec):
    estimator, case = toy_for(spec, "factorised")
    with torch.no_grad():
        case.posterior.head.bias.copy_(torch.tensor([300.0, 0.0, -300.0, -1e4]))
    loss = estimator.loss(case.problem(b=16, noise=torch.Generator().manual_seed(9))).loss
    assert loss.isfinite()
    for module in (case.posterior, estimator):
        assert gradient(lambda: estimator.loss(case.problem(b=16)).loss, module).isfinite().all()


@pytest.mark.parametrize(
    ("spec", "words"),
    [("rebar:k=0", "at least 1"), ("rebar:temperature=0", "not positive"), ("relax:k=0", "at least 1")],
)
def test_arguments_that_fit_nothing_are_refused(spec, words):
    with pytest.raises(ValueError, match=words):
        load(spec, Latent(4, 8, 8))


def test_relax_without_features_says_what_to_do():
    estimator, case = toy_for("relax", "factorised")
    problem = Problem(**{**vars(case.problem()), "features": None})
    with pytest.raises(ValueError, match=r"set Problem\.features, or use rebar"):
        estimator.loss(problem)
