"""Posteriors are the distributions they are sampled from, and the registry is in order."""

import pytest
import torch
from helpers.toys import all_codes, log_q, toy, toy_for

import estimators
from estimators import CORE, Latent
from estimators._categorical import log_prob

KINDS = ("factorised", "causal")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_q_sums_to_one_over_all_codes(kind, scale):
    case = toy(kind, length=3, vocab=4, scale=scale)
    total = log_q(case.problem(), all_codes(3, 4)).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sampled_log_q_is_scored_log_q(kind):
    estimator, case = toy_for("daps", kind, length=3, vocab=5)
    posterior = case.problem(b=7).posterior
    noise = torch.Generator().manual_seed(9)
    with torch.no_grad():
        code, rolled = posterior.rollout(lambda params: estimator.hard(params, noise), 6)
    replayed = posterior.replay(code)
    torch.testing.assert_close(rolled, replayed.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(log_prob(rolled, code), log_prob(replayed, code), rtol=0, atol=1e-5)
    torch.testing.assert_close(log_prob(replayed, code), log_q(case.problem(b=7), code), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_follow_q(kind):
    estimator, case = toy_for("daps", kind, length=2, vocab=3, scale=2.0)
    draws, noise = 20_000, torch.Generator().manual_seed(10)
    with torch.no_grad():
        posterior = case.problem().posterior
        code, _ = posterior.rollout(lambda params: estimator.hard(params, noise), draws)
        exact = log_q(case.problem(), all_codes(2, 3)).exp()[:, 0]
    counts = torch.bincount(code[:, 0, 0] * 3 + code[:, 0, 1], minlength=9)
    error = (exact * (1 - exact) / draws).sqrt()
    assert ((counts / draws - exact).abs() <= 4.5 * error).all()


def test_every_estimator_has_one_docstring_line_and_annotated_defaults():
    for name, cls in estimators.available().items():
        assert cls.__doc__, name
        for option in estimators.options(cls).values():
            assert option.default is not option.empty, (name, option)
            assert option.annotation is not option.empty, (name, option)


def test_core_specs_are_canonical():
    assert [str(estimators.parse(spec)) for spec in CORE] == list(CORE)
    for spec in CORE:
        estimators.load(spec, Latent(4, 16, 8))


def test_scoring_that_pads_token_0_is_caught(monkeypatch):
    """Two faults seen in published code: a code 0 that is masked from later positions, and one that is not scored."""
    from models.posterior import BoundCausal

    def masked(self, code):
        before = self.network.embedding(code[:, :, :-1]) * (code[:, :, :-1, None] != 0)
        return torch.cat([self._begin(code.shape[0]), before.transpose(0, 1)], 2)

    with monkeypatch.context() as patch:
        patch.setattr(BoundCausal, "_shifted", masked)
        with pytest.raises(AssertionError):
            test_sampled_log_q_is_scored_log_q("causal")

    case = toy("causal", length=3, vocab=4)
    codes = all_codes(3, 4)
    scores = case.problem().posterior.replay(codes).log_softmax(-1).gather(-1, codes[..., None])[..., 0]
    total = (scores * (codes != 0)).sum(-1).exp().sum()
    assert abs(total.item() - 1) > 1e-2
