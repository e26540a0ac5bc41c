"""Step-size rules under scales, baselines, and inputs that training should never see but will."""

import typing

import numpy as np
import pytest
import torch
from helpers.step_sizes import PER_IMAGE, every_rule, rule, samples, solved_rule

from estimators._step_size import RULES
from estimators.daps import DAPS, quantiles


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
