"""What is done to gradients before the optimiser sees them. Nothing here waits for the device."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST = 1e-3
"""Norm that a unit's parameters are taken to have at least, or those that start at zero would never move."""


def clip_norm(group: Mapping[str, Any], limit: float) -> Float[Tensor, ""]:
    """Scale the gradients of an optimiser's group down to a joint norm of at most `limit`; returns what it was."""
    return nn.utils.clip_grad_norm_(group["params"], limit)


@torch.no_grad()
def clip_by_unit(group: Mapping[str, Any], limit: float, axes: Mapping[Tensor, int]) -> Float[Tensor, ""]:
    """Adaptive gradient clipping (Brock et al. 2021, arXiv:2102.06171): scale the gradient of every unit of the group's
    parameters down to at most `limit` times the unit's own norm, and the norm to be at least `SMALLEST`. Returns the
    joint norm that the gradients had.

    A unit is what makes one output: an index along the axis of a matrix or kernel that `axes` names. Scalars and
    vectors are one unit. That is how optax.adaptive_grad_clip counts, attention's output map aside, whose units are
    there the outputs of each head.
    """
    trained = [parameter for parameter in group["params"] if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in trained])
    for parameter in trained:
        kept = [axes[parameter]] if parameter.ndim > 1 else []
        inside = [axis for axis in range(parameter.ndim) if axis not in kept]
        largest = limit * unit_norm(parameter, inside).clamp(min=SMALLEST)
        # a gradient of zero divides by the smallest number instead, and stays
        scale = largest / unit_norm(parameter.grad, inside).clamp(min=torch.finfo(parameter.dtype).tiny)
        parameter.grad.mul_(scale.clamp(max=1.0))
    return norm


def unit_norm(values: Tensor, inside: list[int]) -> Tensor:
    """Euclidean over the axes `inside`, which stay with length 1."""
    return values.square().sum(inside, keepdim=True).sqrt() if inside else values.abs()


def output_axes(module: nn.Module) -> dict[Tensor, int]:
    """Of every matrix and kernel in it, the axis of outputs. Tables have codes first and what they are embedded in
    second, as transposed convolutions have inputs first."""
    found: dict[Tensor, int] = {}
    for layer in module.modules():
        axis = 0 if isinstance(layer, nn.Linear | nn.Conv2d) else 1
        found |= {parameter: axis for parameter in layer.parameters(recurse=False) if parameter.ndim > 1}
    return found


def clipper(kind: str, limit: float, module: nn.Module) -> Callable[[Mapping[str, Any]], Float[Tensor, ""]]:
    """What clips one group of an optimiser of `module`'s parameters, in place, and returns the norm that it had."""
    if kind == "norm":
        return lambda group: clip_norm(group, limit)
    axes = output_axes(module)
    return lambda group: clip_by_unit(group, limit, axes)
