"""Vectors and a problem for the tests of quantizers."""

import torch
from torch import Tensor
from toys import toy

PROBLEM = toy("factorised").problem()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
