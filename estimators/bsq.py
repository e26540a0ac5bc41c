"""Binary spherical quantization."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from estimators._base import Latent, Problem, Range, Space
from estimators._binary import Binary, shannon
from estimators._quantizer import straight_through


class BSQ(Binary):
    """Binary spherical quantization (Zhao et al. 2025, arXiv:2406.07548). Biased straight-through gradient, one
    decode per step.

    A position's log2(V) channels are projected to the unit sphere and become their signs, divided by the square root
    of their number; V must be a power of two. The sphere bounds the quantization error: there is no commitment loss.
    `entropy` weighs the entropy of a position's soft code minus that of the batch's average soft code, in nats,
    summed over positions; a soft code is softmax(-|u - code|^2 / `temperature`) over all codes, the paper's at
    tau = 2 / `temperature`. The former is exact; the latter takes the bits of the average for independent, which is
    an upper bound, as the paper does.
    """

    space: ClassVar[Space] = {"entropy": Range(0.01, 1.0), "temperature": Range(0.1, 3.0)}

    def __init__(self, latent: Latent, *, entropy: float = 0.1, temperature: float = 1.0) -> None:
        super().__init__(latent, entropy, temperature)
        self.scale = self.head_width**-0.5

    def quantise(self, vectors, problem: Problem):
        # a dead head emits zeros, and the slope there is 1 / eps
        unit = normalize(vectors, dim=-1, eps=1e-3)
        penalty, terms = self.penalty(unit)
        return straight_through(unit, self.hard(unit)), penalty, terms

    def batch_entropy(self, bits: Float[Tensor, "n c 2"]) -> Float[Tensor, ""]:
        return shannon(bits.mean(0)).sum()
