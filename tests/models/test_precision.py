"""bfloat16 is for the products of the networks alone."""

import pytest
import torch
from helpers.configs import DIGITS, PIXELS, SPECS, tiny

from bench.build import build, skip_reason
from bench.training.step import Trainer


def task(made):
    return build(made, DIGITS.shape, PIXELS)


def batch(n: int = 16) -> torch.Tensor:
    return next(DIGITS.train.batches([torch.arange(n)]))


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_it_rounds_the_products_and_nothing_that_a_likelihood_is_made_of(posterior):
    built = {precision: task(tiny("daps", posterior, precision=precision)) for precision in ("float32", "bfloat16")}
    code = torch.randint(64, (3, 16, 4), generator=torch.Generator().manual_seed(0))
    logits, log_lik = {}, {}
    for precision, one in built.items():
        x = one.model.likelihood.data(batch())
        logits[precision] = one.model.encode(x)[0].replay(code)
        log_lik[precision] = one.model.log_lik(code, x)
        rolled = one.model.encode(x)[0].rollout(lambda params: params.argmax(-1), 3)[1]
        for made in (logits[precision], log_lik[precision], rolled, one.model.decode(code)):
            assert made.dtype == torch.float32
            # of 24 bits, more than the 8 of bfloat16 are in use
            assert not torch.equal(made, made.bfloat16().float())
    assert not torch.equal(logits["float32"], logits["bfloat16"])
    torch.testing.assert_close(logits["bfloat16"], logits["float32"], rtol=0.05, atol=0.05)
    torch.testing.assert_close(log_lik["bfloat16"], log_lik["float32"], rtol=0.02, atol=1.0)


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
@pytest.mark.parametrize("spec", SPECS)
def test_every_estimator_works_in_float32_around_networks_in_bfloat16(spec, posterior, monkeypatch):
    made = tiny(spec, posterior, precision="bfloat16")
    if skip_reason(made):
        pytest.skip("no such combination")
    trainer = Trainer(made, task(made))
    draw = type(trainer.task.estimator).hard
    seen = []

    def watched(self, params, noise=None):
        seen.append((params.dtype, torch.is_autocast_enabled("cpu")))
        return draw(self, params, noise)

    monkeypatch.setattr(type(trainer.task.estimator), "hard", watched)
    for step in range(3):
        terms, _ = trainer.update(batch(), step)
        assert terms["finite"]
        assert all(value.dtype in (torch.float32, torch.float64, torch.bool) for value in terms.values())
    assert all(call == (torch.float32, False) for call in seen)
    assert all(parameter.dtype == torch.float32 for parameter in trainer.task.parameters())


def test_training_in_bfloat16_learns_what_training_in_float32_does():
    ends = {}
    for precision in ("float32", "bfloat16"):
        made = tiny("gumbel_softmax", precision=precision, steps=60, lr=2e-3)
        trainer = Trainer(made, task(made))
        path = [trainer.update(batch(64), step)[0]["log_lik"] for step in range(60)]
        ends[precision] = (float(path[0]), float(torch.stack(path[-10:]).mean()))
    gain = ends["float32"][1] - ends["float32"][0]
    assert gain > 5
    assert abs(ends["bfloat16"][1] - ends["float32"][1]) < 0.1 * gain
