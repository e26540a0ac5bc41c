"""Held for every registered estimator and both posteriors: a new file is covered the day it lands."""

import itertools
import math

import pytest
import torch

import estimators
from bench.conformance.toys import all_codes, as_they_are, exact_objective, gradient, log_q, toy_for
from estimators import Categorical, Choice, Latent

SCALES = (0.1, 1.0, 4.0)
"""Of the head's weights: near-uniform, random and peaked encoders."""


def test_loss_is_a_finite_scalar_with_detached_terms_and_counted_decodes(spec, kind):
    estimator, case = toy_for(spec, kind)
    decoded = 0
    problem = case.problem(b=3, noise=torch.Generator().manual_seed(0))

    def counting(code):
        nonlocal decoded
        decoded += code.shape[0]
        return case.log_lik(code)

    estimate = estimator.loss(type(problem)(**{**vars(problem), "log_lik": counting}))
    assert estimate.loss.shape == ()
    assert math.isfinite(estimate.loss.item())
    assert estimate.decodes == decoded
    if estimator.policy_search:
        assert estimate.eta is not None
        assert estimate.eta.shape in ((), (3,))
        assert (estimate.eta >= 0).all()
        assert not estimate.eta.requires_grad
    for name, term in estimate.terms.items():
        assert term.shape == (), name
        assert not term.requires_grad, name


def test_encoder_gets_a_gradient(spec, kind):
    estimator, case = toy_for(spec, kind)
    if spec.startswith("vq"):
        estimator.loss(case.problem(b=8))  # the first call sets the codebook
    noise = torch.Generator().manual_seed(1)
    found = gradient(lambda: estimator.loss(case.problem(b=8, noise=noise)).loss, case.posterior)
    assert found.isfinite().all()
    assert found.abs().max() > 0


def test_decoder_gradient_is_the_plain_likelihood_gradient_of_the_codes_it_was_given(spec, kind):
    estimator, case = toy_for(spec, kind)
    seen = []
    problem = case.problem(b=5, noise=torch.Generator().manual_seed(2))

    def recording(code):
        seen.append(code.detach())
        return case.log_lik(code)

    loss = estimator.loss(type(problem)(**{**vars(problem), "log_lik": recording})).loss
    found = gradient(lambda: loss, case.decoder)
    # the codes come first; what a control variate decodes after them must leave no trace in the decoder
    code = seen[0]
    # enumeration weighs every code by its probability; all others give codes that were drawn with it
    weight = log_q(problem, code).exp().detach() * len(code) if spec == "exact" else torch.ones(())
    plain = gradient(lambda: -(weight * case.log_lik(code)).mean(), case.decoder)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def test_same_noise_gives_the_same_loss_and_the_global_generator_is_left_alone(spec, kind):
    made = [toy_for(spec, kind) for _ in range(2)]
    made[1][0].load_state_dict(made[0][0].state_dict())
    state = torch.get_rng_state()
    losses = [
        estimator.loss(case.problem(b=4, noise=torch.Generator().manual_seed(3))).loss for estimator, case in made
    ]
    assert torch.equal(*losses)
    assert torch.equal(state, torch.get_rng_state())


def test_evaluation_codes_are_hard_and_their_indices_lie_in_the_vocabulary(spec, kind):
    length, vocab = 2, 4
    estimator, case = toy_for(spec, kind, length, vocab)
    estimator.loss(case.problem(b=8))
    posterior = case.problem(b=6).posterior
    noise = torch.Generator().manual_seed(4)
    for draw in (lambda params: estimator.hard(params, noise), estimator.mode):
        code, params = posterior.rollout(draw, 5)
        index = estimator.index(code)
        assert index.shape == (5, 6, length)
        assert index.min() >= 0
        assert index.max() < vocab
        if estimator.code_width is None:
            assert not code.is_floating_point()
        else:
            assert code.shape[-1] == estimator.code_width
            assert torch.equal(estimator.hard(code) if spec.startswith("vq") else code, code)
        kl = estimator.kl(params)
        assert kl.shape == (5, 6)
        assert (kl >= -1e-5).all()
        assert (kl <= length * math.log(vocab) + 1e-5).all()


def test_what_draws_scores_and_measures_codes_is_one_distribution(spec, kind):
    """`logits`, on every code that there is."""
    length, vocab, draws = 2, 4, 4000
    estimator, case = toy_for(spec, kind, length, vocab, scale=3.0)
    if not isinstance(estimator, Categorical):
        pytest.skip("a quantizer has no distribution")
    codes, problem = all_codes(length, vocab), case.problem()
    with torch.no_grad():
        log_probs = log_q(problem, codes, estimator.logits)[:, 0]
        scored = estimator.log_q(problem.posterior, codes).sum(-1)[:, 0]
        noise = torch.Generator().manual_seed(9)
        drawn, params = problem.posterior.rollout(lambda params: estimator.hard(params, noise), draws)
        mode, at_mode = problem.posterior.rollout(estimator.mode, 1)
    torch.testing.assert_close(scored, log_probs)
    probs = log_probs.exp()
    assert probs.sum().item() == pytest.approx(1.0, abs=1e-5)
    found = torch.bincount(drawn[:, 0] @ torch.tensor([vocab, 1]), minlength=vocab**length) / draws
    assert ((found - probs).abs() <= 4.5 * (probs * (1 - probs) / draws).sqrt() + 1e-4).all()
    assert torch.equal(mode, estimator.logits(at_mode).argmax(-1))
    exact = (probs * (log_probs + length * math.log(vocab))).sum()
    kl = estimator.kl(params)[:, 0]
    # along a causal posterior's prefixes it has a variance
    assert (kl.mean() - exact).abs() <= 4.5 * kl.std() / draws**0.5 + 1e-5


def test_mode_is_deterministic(spec, kind):
    estimator, case = toy_for(spec, kind)
    estimator.loss(case.problem(b=8))
    posterior = case.problem(b=6).posterior
    first, _ = posterior.rollout(estimator.mode, 1)
    again, _ = posterior.rollout(estimator.mode, 1)
    assert torch.equal(first, again)


def test_state_survives_a_checkpoint(spec, kind):
    estimator, case = toy_for(spec, kind)
    for _ in range(3):
        estimator.loss(case.problem(b=8, noise=torch.Generator().manual_seed(5)))
    copy, _ = toy_for(spec, kind)
    copy.load_state_dict(estimator.state_dict())
    losses = [e.loss(case.problem(b=8, noise=torch.Generator().manual_seed(6))).loss for e in (estimator, copy)]
    assert torch.equal(*losses)


def test_every_corner_of_its_search_space_can_be_made(spec, kind):
    name = estimators.parse(spec).name
    latent = Latent(2, 4, 32) if estimators.available()[name].oracle else Latent(4, 16, 32)
    space = estimators.space(name)
    corners = [one.values if isinstance(one, Choice) else (one.low, one.high) for one in space.values()]
    for values in itertools.product(*corners):
        words = ",".join(f"{key}={str(value).lower()}" for key, value in zip(space, values, strict=True))
        estimators.load(f"{name}:{words}" if words else name, latent)


@pytest.mark.unbiased
@pytest.mark.parametrize(
    ("length", "vocab", "beta", "scale"),
    [
        pytest.param(
            length, vocab, beta, SCALES[(i + j) % 3], marks=() if (length, vocab) == (3, 2) else pytest.mark.slow
        )
        for i, (length, vocab) in enumerate([(1, 2), (1, 5), (3, 2), (3, 5)])
        for j, beta in enumerate([0.0, 1.0, 5.0])
    ],
)
def test_unbiased_means_equal_to_enumeration_within_sampling_error(spec, kind, length, vocab, beta, scale):
    estimator, case = toy_for(spec, kind, length, vocab, scale)
    logits = estimator.logits if isinstance(estimator, Categorical) else as_they_are
    exact = gradient(lambda: -exact_objective(case, beta, length, vocab, logits), case.posterior)
    noise = torch.Generator().manual_seed(8)
    draws = torch.stack(
        [
            gradient(lambda: estimator.loss(case.problem(beta, b=64, noise=noise)).loss, case.posterior)
            for _ in range(150)
        ]
    )
    error = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - exact).abs()
    # float32 rounding is all that is left where there is no variance
    assert (off <= 4.5 * error + 1e-4 * exact.abs().max()).all(), (off / error.clamp(min=1e-9)).max()
