"""Adaptive clipping against the formula written in numpy, as a setting of a step, and updates that are left out."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.configs import DIGITS, PIXELS, tiny
from helpers.recorded_ops import RecordedOperations
from helpers.sweeps import written_rows as rows
from torch import nn

from bench.build import build
from bench.records.folder import RunFolder
from bench.training.clipping import clip_by_unit, clipper, output_axes
from bench.training.cuda_graph import Replay
from bench.training.journal import Diverged
from bench.training.loop import train
from bench.training.step import Trainer

IMAGES = next(iter(DIGITS.train.batches([torch.arange(12)])))


def trainer(spec: str = "straight_through", recorder=None, **changes) -> Trainer:
    made = tiny(spec, **changes)
    return Trainer(made, build(made, DIGITS.shape, PIXELS), recorder)


def numpy_clipped(parameter: np.ndarray, gradient: np.ndarray, clip: float, outputs: int | None) -> np.ndarray:
    """G_i if |G_i| < clip max(|W_i|, 1e-3), else clip max(|W_i|, 1e-3) G_i / |G_i|, unit by unit (equation 3 of
    arXiv:2102.06171)."""
    units = np.arange(parameter.shape[outputs]) if outputs is not None else [None]
    found = gradient.copy()
    for unit in units:
        where = tuple(unit if axis == outputs else slice(None) for axis in range(parameter.ndim))
        largest = clip * max(np.sqrt((parameter[where] ** 2).sum()), 1e-3)
        norm = np.sqrt((gradient[where] ** 2).sum())
        if norm >= largest and norm > 0:
            found[where] = gradient[where] * largest / norm
    return found


class Everything(nn.Module):
    """One of each kind of layer that has parameters here, a bare table and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(5, 3), nn.Conv2d(2, 4, 3)
        self.up, self.embedding = nn.ConvTranspose2d(4, 3, 2), nn.Embedding(6, 4)
        self.norm = nn.LayerNorm(5)
        self.codebook, self.scalar = nn.Parameter(torch.randn(7, 3)), nn.Parameter(torch.tensor(0.5))


AXES = {"linear.weight": 0, "conv.weight": 0, "up.weight": 1, "embedding.weight": 1, "codebook": 1}


@pytest.mark.parametrize("clip", [0.01, 1.0, 30.0])
def test_every_kind_of_parameter_is_clipped_by_the_papers_formula(clip):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Everything()
        named = dict(module.named_parameters())
        with torch.no_grad():
            named["linear.weight"][1] = 0  # no smaller than 1e-3, or it would never move
        for parameter in named.values():
            parameter.grad = torch.randn_like(parameter) * torch.logspace(-3, 3, parameter.numel()).view_as(parameter)
        named["conv.weight"].grad[2] = 0
    before = {name: parameter.grad.double().numpy().copy() for name, parameter in named.items()}
    norm = clip_by_unit({"params": [*named.values()]}, clip, output_axes(module))
    assert float(norm) == pytest.approx(np.sqrt(sum((g**2).sum() for g in before.values())), rel=1e-5)
    clipped = set()
    for name, parameter in named.items():
        expected = numpy_clipped(parameter.detach().double().numpy(), before[name], clip, AXES.get(name))
        np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-5, atol=0, err_msg=name)
        clipped |= {name} if not np.allclose(expected, before[name]) else set()
    assert "linear.weight" in clipped
    assert clip < 1 or clipped < {*named}


def test_every_matrix_of_a_task_has_an_axis_of_outputs():
    for spec in ("daps", "vq", "relax", "reinforce:baseline=critic"):
        task = trainer(spec).task
        assert output_axes(task).keys() == {p for p in task.parameters() if p.ndim > 1}, spec


def test_clipping_by_the_norm_bounds_the_whole_gradient():
    layer = nn.Linear(3, 2)
    layer.weight.grad, layer.bias.grad = torch.full((2, 3), 4.0), torch.zeros(2)
    norm = clipper("norm", 0.5, layer)({"params": [*layer.parameters()]})
    assert float(norm) == pytest.approx(4 * 6**0.5)
    torch.testing.assert_close(layer.weight.grad, torch.full((2, 3), 0.5 / 6**0.5))


def test_the_setting_reaches_the_step_and_parameters_without_a_gradient_are_left_alone():
    limits = {}
    for clip in ("norm", "adaptive"):
        made = trainer(clip=clip, grad_clip=1e-3)
        made.task.model.posterior.unused = nn.Parameter(torch.ones(2, 2))
        made.optimiser.param_groups[0]["params"].append(made.task.model.posterior.unused)
        terms, _ = made.update(IMAGES, 0)
        weight = made.task.model.encoder.patch.weight
        limits[clip] = weight.grad.norm(dim=1) / weight.detach().norm(dim=1)
        assert terms["grad_norm"] > 1e-3
    assert limits["adaptive"].max() < 1.1e-3 * 1.1
    assert limits["adaptive"].min() > 0.5e-3
    assert limits["norm"].max() < 0.5e-3


@pytest.mark.parametrize("spec", ["daps", "vq", "relax"])
def test_recorded_steps_clip_and_skip_as_plain_ones(spec):
    changes = {"clip": "adaptive", "grad_clip": 0.01, "skip_non_finite": True}
    recorded, plain = trainer(spec, RecordedOperations(), **changes), trainer(spec, RecordedOperations(), **changes)
    plain._do = plain.compute
    for step in range(6):
        found, expected = (one.update(IMAGES, step)[0] for one in (recorded, plain))
        assert all(torch.equal(found[name], value.float()) for name, value in expected.items())
    assert isinstance(recorded._do, Replay)
    assert recorded._do.play is not None
    ends = plain.tensors()
    assert all(torch.equal(tensor, ends[name]) for name, tensor in recorded.tensors().items())


class Explodes(nn.Module):
    """Its loss is not a number at these steps."""

    def __init__(self, inner, at: set[int]) -> None:
        super().__init__()
        self.inner, self.at, self.calls, self.lag = inner, at, 0, 0

    def loss(self, problem):
        estimate = self.inner.loss(problem)
        broken = self.calls in self.at
        self.calls += 1
        if broken:
            estimate = type(estimate)(estimate.loss * torch.nan, estimate.terms, estimate.decodes)
        return estimate

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def exploding(at: set[int], **changes) -> Trainer:
    made = trainer("gumbel_rao", **changes)
    made.task.estimator = Explodes(made.task.estimator, at)
    return made


def test_a_skipped_update_changes_neither_weights_nor_moments():
    made = exploding({2}, skip_non_finite=True)
    for step in range(2):
        made.update(IMAGES, step)
    before = {name: tensor.clone() for name, tensor in made.tensors().items()}
    terms, _ = made.update(IMAGES, 2)
    assert not terms["finite"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.tensors().items())
    terms, _ = made.update(IMAGES, 3)
    assert terms["finite"]
    changed = [name for name, tensor in made.tensors().items() if not torch.equal(tensor, before[name])]
    assert {"optimiser/0/step", "optimiser/0/exp_avg", "task/model.encoder.patch.weight"} <= set(changed)


def run(folder: RunFolder, at: set[int], **changes) -> pd.DataFrame:
    made = exploding(at, **changes)
    folder.start({"run": made.config.digest}, {}, {})
    train(made, DIGITS, folder, ("psnr",))
    return rows(folder)


def test_skipped_updates_are_counted_and_in_no_mean(tmp_path):
    found = run(RunFolder(tmp_path, "one"), {1, 4}, skip_non_finite=True)
    skipped = found[found["metric"] == "term/skipped_updates"].set_index("step")["value"]
    assert skipped.to_dict() == pytest.approx({3: 1 / 3, 4: 0.0, 6: 1 / 2, 8: 0.0, 9: 0.0})
    norms = found[found["metric"] == "grad_norm"]
    assert norms["value"].notna().all()
    assert norms.set_index("step")["n"].to_dict() == {3: 32, 4: 16, 6: 16, 8: 32, 9: 16}


@pytest.mark.parametrize(("at", "changes", "step"), [({4}, {}, 5), ({4, 5}, {"skip_non_finite": True}, 5)])
def test_a_run_that_may_not_skip_or_skips_all_between_two_logs_diverges(tmp_path, at, changes, step):
    with pytest.raises(Diverged) as raised:
        run(RunFolder(tmp_path, "one"), at, **changes)
    assert raised.value.step == step
