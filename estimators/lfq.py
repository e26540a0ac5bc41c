"""Lookup-free quantization."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from estimators._base import Latent, Problem, Range, Space, require
from estimators._binary import Binary, shannon
from estimators._quantizer import squared_distance, straight_through


class LFQ(Binary):
    """Lookup-free quantization (Yu et al. 2024, arXiv:2310.05737). Biased straight-through gradient, one
    decode per step.

    Each of log2(V) channels becomes its sign, +1 or -1; V must be a power of two. `commitment` weighs
    |e - sign(e)|^2. `entropy` weighs the entropy of a position's soft code minus that of the batch's average soft
    code, in nats; a soft code is softmax(-|e - code|^2 / `temperature`) over all codes. The former is summed over its
    independent bits; those of an average are dependent, so the latter is summed over all V codes. Both are exact.
    All terms are summed over positions.
    """

    space: ClassVar[Space] = {
        "commitment": Range(0.05, 2.0),
        "entropy": Range(0.01, 1.0),
        "temperature": Range(3e-3, 1.0),
    }

    def __init__(
        self, latent: Latent, *, commitment: float = 0.25, entropy: float = 0.1, temperature: float = 0.01
    ) -> None:
        super().__init__(latent, entropy, temperature)
        require(commitment >= 0, f"commitment={commitment} is negative; try commitment=0.25")
        self.commitment = commitment

    def quantise(self, vectors, problem: Problem):
        code = self.hard(vectors)
        commitment = squared_distance(vectors, code)
        penalty, terms = self.penalty(vectors)
        loss = self.commitment * commitment + penalty
        return straight_through(vectors, code), loss, {"commitment": commitment.detach(), **terms}

    def batch_entropy(self, bits: Float[Tensor, "n c 2"]) -> Float[Tensor, ""]:
        # every code is a low and a high half, so that averaging V products of bits is one matrix product
        low, high = (joint(half) for half in bits.tensor_split(2, 1))
        return shannon((high.T @ low).flatten() / len(bits))


def joint(bits: Float[Tensor, "n c 2"]) -> Float[Tensor, "n v"]:
    """Probabilities of all v = 2^c codes of c independent bits, the first bit counting least."""
    codes = bits.new_ones(len(bits), 1)
    for bit in bits.unbind(1):
        codes = (bit[:, :, None] * codes[:, None]).flatten(1)
    return codes
