"""The work of a step: floating-point operations of its products, and bytes that its operations read and write."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Work:
    gflop: float
    """Of matrix products and convolutions, as executed: what is computed again in the backward pass counts again."""
    gigabytes: float
    """Inputs and outputs of every operation, one by one, as eager execution has them pass through memory."""


class Counter(TorchDispatchMode):
    """Adds up floating-point operations, by torch's formulas, and bytes that operations read and write. Views cost
    nothing.

    Not torch's FlopCounterMode: that hooks into every module's gradient, and so many hooks on a long chain of
    operations, such as sampling a thousand positions, overflow the stack.
    """

    flops = bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        if not func.is_view:
            self.bytes += sum(
                leaf.numel() * leaf.element_size()
                for leaf in tree_leaves((args, kwargs, out))
                if isinstance(leaf, Tensor)
            )
        return out


def count(step: Callable[[], object]) -> Work:
    """Do the step once, watched."""
    # the math backend spells attention out as products that there are formulas for on every device
    with Counter() as products, sdpa_kernel(SDPBackend.MATH):
        step()
    with Counter() as traffic:
        step()
    return Work(products.flops / 1e9, traffic.bytes / 1e9)


class Yardsticks:
    """What the machine does at this moment: a matrix product, and a copy larger than its caches."""

    def __init__(self, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.side = 2048 if device == "cpu" else 8192
        self.copied = 2**26 if device == "cpu" else 2**30
        self.factors = [torch.randn(self.side, self.side, device=device, dtype=dtype) for _ in range(2)]
        self.source = torch.zeros(self.copied // 4, device=device)
        self.target = torch.empty_like(self.source)

    def product(self) -> None:
        torch.mm(*self.factors)

    def copy(self) -> None:
        self.target.copy_(self.source)

    def gflop_per_second(self, seconds: float) -> float:
        """Of one `product`."""
        return 2 * self.side**3 / 1e9 / seconds

    def gigabytes_per_second(self, seconds: float) -> float:
        """Of one `copy`, which reads and writes."""
        return 2 * self.copied / 1e9 / seconds
