"""Searches over one positive variable, several at once, in a fixed number of evaluations and without waiting for the
device: each evaluates a logarithmic grid in one go and goes on in the cell that holds the answer."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""Positive values [n b] -> [n b], column by column."""


def root(increasing: Function, low: Float[Tensor, "b"], high: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Where an increasing function changes its sign, or `low` where it is nowhere negative. It is not negative at
    `high`, unless `high` is below `low`. A bracket of nine decades ends as a cell of 0.1 %, in which the root is
    interpolated."""
    points, rounds = 8, 5
    start, width, grid = _bracket(low, high, points)
    for _ in range(rounds):
        negative = increasing(low * (start + width * grid).exp()) < 0
        width = width / (points - 1)
        start = start + width * (negative.sum(0) - 1).clamp(0, points - 2)
    left, right = increasing(low * torch.stack([start, start + width]).exp())
    within = torch.where(left < 0, left / (left - right), 0).clamp(0, 1)
    return low * (start + width * within).exp()


def maximiser(function: Function, low: Float[Tensor, "b"], high: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Where a function is largest between `low` and `high`, or `low` where it is constant, to 1 % for a bracket of nine
    decades. Of several maxima it finds the one that stands out on the first grid."""
    points, rounds = 16, 4
    start, width, grid = _bracket(low, high, points)
    middle = start
    for _ in range(rounds):
        cell = width / (points - 1)
        best = function(low * (start + width * grid).exp()).argmax(0)
        middle = start + cell * best
        # both neighbouring cells, cut off at the ends
        start, width = middle - cell * (best > 0), cell * (1.0 + (best > 0) * (best < points - 1))
    return low * middle.exp()


def _bracket(low: Tensor, high: Tensor, points: int) -> tuple[Tensor, Tensor, Float[Tensor, "n 1"]]:
    """In logarithms over `low`, so that `low` itself comes out as it went in: where it starts, its width, the grid."""
    grid = torch.linspace(0, 1, points, dtype=low.dtype, device=low.device).unsqueeze(1)
    return torch.zeros_like(low), (high.maximum(low) / low).log(), grid
