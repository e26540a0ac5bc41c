"""Vectors and a problem for the tests of quantizers."""

import torch
from helpers.toys import toy
from torch import Tensor

PROBLEM = toy("factorised").problem()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
