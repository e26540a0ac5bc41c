"""What depends on the step alone, and how far a step moved the encoder."""

import copy

import pytest
import torch
from helpers.configs import DIGITS, PIXELS, tiny

from bench.build import build
from bench.seeds import noise_generator
from bench.training.step import Movement, Trainer, progress_at

IMAGES = next(iter(DIGITS.train.batches([torch.arange(12)])))


def trainer(spec: str = "straight_through", **changes) -> Trainer:
    made = tiny(spec, **changes)
    return Trainer(made, build(made, DIGITS.shape, PIXELS))


def rates(made: Trainer, step: int) -> list[float]:
    made.prepare(step)
    return [float(group["lr"]) for group in made.optimiser.param_groups]


@pytest.mark.parametrize("end", [0.0, 0.1, 1.0])
def test_a_cosine_schedule_starts_at_lr_and_ends_at_its_fraction_in_the_last_step(end):
    made = trainer("daps:eta_lr=0.02", lr=0.5, lr_schedule="cosine", lr_end=end, steps=9)
    assert rates(made, 0) == pytest.approx([0.5, 0.02])
    assert rates(made, 4) == pytest.approx([0.5 * (1 + end) / 2, 0.02 * (1 + end) / 2])
    assert rates(made, 8) == pytest.approx([0.5 * end, 0.02 * end])


def test_a_constant_schedule_stays():
    made = trainer(lr=0.5, steps=3)
    assert [rates(made, step) for step in range(3)] == [[0.5]] * 3


def test_schedules_are_at_their_end_in_the_last_step():
    made = trainer(beta=2.0, beta_end=0.5, steps=5)
    found = []
    for step in range(5):
        made.prepare(step)
        found.append((made.progress, made.beta))
    assert [progress for progress, _ in found] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [beta for _, beta in found] == pytest.approx([2.0, 2**0.5, 1.0, 0.5**0.5, 0.5])
    assert progress_at(made.config, 5) == 1.0
    assert progress_at(tiny("vq", steps=1), 0) == 1.0


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_realised_kl_is_between_the_distributions_that_codes_are_drawn_from(temperature):
    made = trainer(f"decoupled_st:forward_temperature={temperature:g}", lr=0.05)
    before, movement = copy.deepcopy(made.task), Movement(made.task, IMAGES)
    made.update(IMAGES, 0)
    found = movement.realised_kl(noise_generator(0, "movement", torch.device("cpu")))
    x, code = made.task.model.likelihood.data(IMAGES), torch.zeros(1, 12, 4)
    with torch.no_grad():
        new, old = (
            torch.distributions.Categorical(logits=task.model.encode(x)[0].replay(code) / temperature)
            for task in (made.task, before)
        )
    wanted = torch.distributions.kl_divergence(new, old).sum(-1).mean().item()
    assert wanted > 0
    assert found == pytest.approx(wanted, rel=1e-3)
