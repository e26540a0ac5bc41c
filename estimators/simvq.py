"""Vector quantization with a frozen codebook in a learned basis."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from estimators._base import Latent, Problem, Range, Space, require
from estimators._quantizer import Quantizer, nearest, squared_distance, straight_through


class SimVQ(Quantizer):
    """SimVQ (Zhu et al. 2025, arXiv:2411.02038). Biased straight-through gradient, one decode per step.

    The codebook is a frozen random table times one learned matrix: every step moves all codes at once, so that none
    is left behind to be revived. The losses are those of vq, |sg(e) - code|^2 for the matrix and `commitment` times
    |e - sg(code)|^2 for the encoder, summed over a position's vector and over positions.
    """

    space: ClassVar[Space] = {"commitment": Range(0.05, 2.0)}

    table: Tensor

    def __init__(self, latent: Latent, *, commitment: float = 0.25) -> None:
        super().__init__(latent, width=latent.width)
        require(commitment >= 0, f"commitment={commitment} is negative; try commitment=0.25")
        self.commitment = commitment
        # of unit length, as in the authors' code: codes as long as the encoder's vectors were seen to collapse to two
        self.register_buffer("table", torch.randn(latent.vocab, latent.width) / latent.width**0.5)
        self.basis = nn.Parameter(torch.eye(latent.width))

    @property
    def codebook(self) -> Float[Tensor, "v c"]:
        """The code vectors as they stand."""
        return self.table @ self.basis

    def quantise(self, vectors, problem: Problem):
        codebook = self.codebook
        code = nn.functional.embedding(nearest(vectors, codebook), codebook)
        commitment = squared_distance(vectors, code.detach())
        loss = self.commitment * commitment + squared_distance(vectors.detach(), code)
        return straight_through(vectors, code), loss, {"commitment": commitment.detach()}

    def hard(self, params: Float[Tensor, "*n l c"], noise: torch.Generator | None = None) -> Float[Tensor, "*n l c"]:
        codebook = self.codebook.detach()
        return codebook[nearest(params, codebook)]

    def index(self, code: Float[Tensor, "*n l c"]) -> Int[Tensor, "*n l"]:
        return nearest(code, self.codebook)
