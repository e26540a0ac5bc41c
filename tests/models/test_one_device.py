"""A step on a GPU stays there. Checked without one: fake tensors have a device and a shape, and no content."""

import pytest
import torch
from helpers.configs import DIGITS, PIXELS, SPECS, tiny
from helpers.recorded_ops import tensors
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.build import build, skip_reason

TWICE_DIFFERENTIATED = ("rebar", "relax")
"""Go backward within the loss, which autograd refuses for a device that is not there."""


class OneDevice(TorchDispatchMode):
    """Refuses tensors of the host, be it as constants or to be copied over."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        devices = {tensor.device.type for tensor in tensors((args, kwargs, out))}
        assert devices <= {"cuda"}, f"{func} on {devices}"
        return out


def moved(module: nn.Module) -> nn.Module:
    """The module on a GPU that is not there."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="cuda")
                part._parameters[name] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    return module


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec not in TWICE_DIFFERENTIATED])
def test_the_loss_is_computed_where_the_images_are(spec, posterior):
    made = tiny(spec, posterior)
    if skip_reason(made):
        pytest.skip("no such combination")
    task = build(made, DIGITS.shape, PIXELS)
    with FakeTensorMode():
        moved(task)
        image = torch.zeros((8, *DIGITS.shape), dtype=torch.uint8, device="cuda")
        beta, progress = torch.zeros((), device="cuda"), torch.zeros((), device="cuda")
        with OneDevice():
            problem = task.problem(image, progress, beta, None)  # type: ignore[arg-type]
            assert task.estimator.loss(problem).loss.device.type == "cuda"
            with torch.no_grad():
                task.refresh(0)
                code, params = problem.posterior.rollout(task.estimator.hard, 1)
                task.estimator.mode(params)
                task.estimator.kl(params)
                task.estimator.index(code)
                task.model.reconstruct(code)
