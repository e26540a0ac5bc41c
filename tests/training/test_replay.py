"""A recorded step does what a plain one does, for every estimator; and where it cannot, the run goes on plainly."""

import pandas as pd
import pytest
import torch
from helpers.configs import DIGITS, PIXELS, SPECS, tiny
from helpers.recorded_ops import RecordedOperations
from helpers.sweeps import written_rows as rows
from torch import nn

from bench.build import build, skip_reason
from bench.records.folder import RunFolder
from bench.training.checkpoint import State
from bench.training.cuda_graph import WARM_UP, Replay
from bench.training.loop import train
from bench.training.step import Trainer

STEPS = 9


def images(step: int) -> torch.Tensor:
    return next(DIGITS.train.batches([torch.arange(16 * step, 16 * (step + 1))]))


def trainer(made, *, recorded: bool, said: list[str] | None = None) -> Trainer:
    task = build(made, DIGITS.shape, PIXELS)
    return Trainer(made, task, RecordedOperations() if recorded else None, (said if said is not None else []).append)


def steps(one: Trainer) -> list[dict[str, torch.Tensor]]:
    return [one.update(images(step), step)[0] for step in range(STEPS)]


def test_what_is_noted_is_not_done_until_it_is_played():
    weight, x = torch.ones(3), torch.arange(3.0)
    noise = torch.Generator().manual_seed(0)

    def work():
        weight.add_(x * 2 + torch.rand(3, generator=noise))

    play = RecordedOperations().record(work, noise)
    assert torch.equal(weight, torch.ones(3))
    x.fill_(10)
    play()
    play()
    again = torch.Generator().manual_seed(0)
    expected = torch.ones(3) + (20 + torch.rand(3, generator=again)) + (20 + torch.rand(3, generator=again))
    torch.testing.assert_close(weight, expected)


@pytest.mark.parametrize("posterior", ["factorised", pytest.param("causal", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spec", SPECS)
def test_recorded_steps_are_plain_steps(spec, posterior):
    made = tiny(spec, posterior, lr_schedule="cosine")
    if skip_reason(made):
        pytest.skip("no such combination")
    said: list[str] = []
    recorded, plain = (trainer(made, recorded=True, said=said) for _ in range(2))
    plain._do = plain.compute
    found, expected = steps(recorded), steps(plain)
    assert not said
    assert isinstance(recorded._do, Replay)
    assert recorded._do.plain_steps == WARM_UP
    for step in range(STEPS):
        assert found[step].keys() == expected[step].keys()
        for name, value in expected[step].items():
            assert torch.equal(found[step][name], value.float()), f"{name} of step {step}"
    ends = plain.state().tensors
    for name, tensor in recorded.state().tensors.items():
        assert torch.equal(tensor, ends[name]), name


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
@pytest.mark.parametrize("spec", SPECS)
def test_schedules_on_the_device_are_those_on_the_host(spec, posterior):
    made = tiny(spec, posterior, lr_schedule="cosine")
    if skip_reason(made):
        pytest.skip("no such combination")
    device, host = trainer(made, recorded=True), trainer(made, recorded=False)
    # before rounding has made any code another one
    for step in range(2):
        found, expected = (one.update(images(step), step + 4)[0] for one in (device, host))
        for name, value in expected.items():
            torch.testing.assert_close(found[name].double(), value.double(), rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("spec", ["ppo", "vq:codebook=ema"])
def test_a_run_of_recorded_steps_measures_in_between_and_ends_like_a_plain_one(tmp_path, spec):
    made = tiny(spec, eval_every=3)
    frames = []
    for name in ("recorded", "plain"):
        folder = RunFolder(tmp_path / name, made.digest)
        folder.start({"run": made.digest}, {}, {})
        one = trainer(made, recorded=True)
        if name == "plain":
            one._do = one.compute
        train(one, DIGITS, folder, ("psnr",), checkpoint_every=4)
        frames.append(rows(folder))
    pd.testing.assert_frame_equal(*frames, check_exact=True)


class Reassigns(nn.Module):
    """Adds up in a new tensor each time, which a recording does not see."""

    def __init__(self, inner) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("average", torch.zeros(()))
        self.lag = 0

    def loss(self, problem):
        estimate = self.inner.loss(problem)
        self.average = self.average + 1.0 + 0.0 * estimate.loss.detach()
        return estimate

    def param_groups(self, lr):
        return self.inner.param_groups(lr)


class Reads(Reassigns):
    """Asks the device in the middle of a step."""

    def loss(self, problem):
        estimate = self.inner.loss(problem)
        assert estimate.loss.item() != 0
        return estimate


@pytest.mark.parametrize(
    ("kind", "why"), [(Reassigns, "does something else (to task/estimator.average)"), (Reads, "cannot be recorded")]
)
def test_a_step_that_cannot_be_repeated_is_done_plainly_and_said_so(kind, why):
    made = tiny("reinforce")
    said: list[str] = []
    pair = []
    for recorded in (True, False):
        task = build(made, DIGITS.shape, PIXELS)
        task.estimator = kind(task.estimator)
        pair.append(Trainer(made, task, RecordedOperations() if recorded else None, said.append))
    found, expected = (steps(one) for one in pair)
    (line,) = said
    assert why in line
    for step in range(STEPS):
        torch.testing.assert_close(found[step]["log_lik"], expected[step]["log_lik"], rtol=1e-3, atol=1e-3)


def test_a_recording_goes_on_from_a_checkpoint_like_a_plain_run():
    made = tiny("daps", lr_schedule="cosine")
    first = trainer(made, recorded=True)
    for step in range(6):
        first.update(images(step), step)
    second = trainer(made, recorded=True)
    second.restore(State({name: tensor.clone() for name, tensor in first.state().tensors.items()}, {}))
    for step in range(6, STEPS):
        found, _ = second.update(images(step), step)
        expected, _ = first.update(images(step), step)
        assert torch.equal(found["log_lik"], expected["log_lik"])
