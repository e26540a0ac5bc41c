"""Vector quantization with a learned codebook."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from estimators._base import Choice, Latent, Problem, Range, Space, require
from estimators._quantizer import Quantizer, nearest, squared_distance, straight_through

SMOOTHING = 1e-5
"""Laplace smoothing of the moving counts (van den Oord et al. 2017, appendix A.1)."""

SHORTEST = 1e-6
"""Vectors shorter than this have no direction to rotate."""


def rotate(vector: Float[Tensor, "*n c"], code: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
    """The value of `code`, exactly, with the gradient of the rotation and scaling that carries `vector` there
    (Fifty et al. 2025, arXiv:2410.06424, section 4.2); a vector without direction gets the straight-through one."""
    e, q = vector.detach(), code.detach()
    e = torch.where(e.norm(dim=-1, keepdim=True) < SHORTEST, q, e)
    e_unit, q_unit = nn.functional.normalize(e, dim=-1), nn.functional.normalize(q, dim=-1)
    # opposite vectors have no bisector: it comes out as zero, which leaves the reflection that maps one to the other
    bisector = nn.functional.normalize(e_unit + q_unit, dim=-1, eps=SHORTEST)
    turned = vector - 2 * bisector * (bisector * vector).sum(-1, keepdim=True)
    turned = turned + 2 * q_unit * (e_unit * vector).sum(-1, keepdim=True)
    scale = q.norm(dim=-1, keepdim=True) / e.norm(dim=-1, keepdim=True).clamp(min=SHORTEST)
    return straight_through(scale * turned, code)


class VQ(Quantizer):
    """VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937). Biased straight-through gradient, one decode per step.

    The code is the nearest codebook vector. Squared norms are summed over a position's vector and over positions, as
    the log-likelihood they are added to is summed over pixels. `commitment` weighs |e - sg(code)|^2;
    `codebook=gradient` fits the codebook by |sg(e) - code|^2, `codebook=ema` by moving averages with rate `decay`.

    `init=data` begins with a codebook of random encoder outputs of the first batch, `init=random` with normal vectors
    of length 1 on average. A code whose moving count falls under `revive` times the average is replaced by a random
    encoder output of the batch; 0 turns that off. The plain VQ-VAE of the literature is `init=random,revive=0`.

    `gradient=rotation` hands the decoder's gradient to the encoder turned and scaled as the code is from e (Fifty et
    al. 2025, arXiv:2410.06424), instead of as it is; the code stays the same.
    """

    # moving averages and the rotation are methods; `revive` is off in the plain one, and little else matters to it
    space: ClassVar[Space] = {
        "commitment": Range(0.05, 2.0),
        "init": Choice(("data", "random")),
        "decay": Choice((0.9, 0.99, 0.999)),
    }

    codebook: Tensor
    count: Tensor
    total: Tensor

    def __init__(
        self,
        latent: Latent,
        *,
        codebook: Literal["gradient", "ema"] = "gradient",
        gradient: Literal["straight_through", "rotation"] = "straight_through",
        init: Literal["data", "random"] = "data",
        commitment: float = 0.25,
        decay: float = 0.99,
        revive: float = 0.03,
    ) -> None:
        super().__init__(latent, width=latent.width)
        require(0 <= decay < 1, f"decay={decay} is not in [0, 1); try decay=0.99")
        require(commitment >= 0, f"commitment={commitment} is negative; try commitment=0.25")
        require(0 <= revive < 1, f"revive={revive} is not in [0, 1); try revive=0.03")
        self.ema = codebook == "ema"
        self.commitment, self.decay, self.revive = commitment, decay, revive
        self.through = rotate if gradient == "rotation" else straight_through
        # a code that was never counted is dead, and revived from the first batch
        count = torch.full((latent.vocab,), float(init == "random"))
        vectors = torch.zeros(latent.vocab, latent.width)
        if init == "random":
            nn.init.normal_(vectors, std=latent.width**-0.5)
        if self.ema:
            self.register_buffer("codebook", vectors)
            self.register_buffer("total", vectors.clone())
        else:
            self.codebook = nn.Parameter(vectors)
        self.register_buffer("count", count)

    def quantise(self, vectors, problem: Problem):
        flat = vectors.detach().float().flatten(0, -2)
        revived = self._revive(flat, problem.noise)
        index = nearest(vectors, self.codebook)
        self._count(flat, index.flatten())
        code = nn.functional.embedding(index, self.codebook)
        if self.ema:
            self._move(flat, index.flatten())
        commitment = squared_distance(vectors, code.detach())
        loss = self.commitment * commitment
        if not self.ema:
            loss = loss + squared_distance(vectors.detach(), code)
        terms = {"commitment": commitment.detach(), "revived": revived}
        return self.through(vectors, code), loss, terms

    @torch.no_grad()
    def _revive(self, flat: Float[Tensor, "n c"], noise: torch.Generator | None) -> Tensor:
        """Replace dead codes by random vectors of the batch, and reset what is remembered of them."""
        # at most, not less than: with revive=0 too, what was never counted comes from the data
        dead = self.count <= self.revive * self.count.mean()
        pick = torch.randint(len(flat), (len(dead),), generator=noise, device=flat.device)
        average = len(flat) / len(dead)
        self.codebook.copy_(torch.where(dead[:, None], flat[pick], self.codebook))
        self.count.masked_fill_(dead, average)
        if self.ema:
            self.total.copy_(torch.where(dead[:, None], flat[pick] * average, self.total))
        return dead.sum().float()

    @torch.no_grad()
    def _count(self, flat: Float[Tensor, "n c"], index: Int[Tensor, "n"]) -> None:
        # not bincount, which waits for the device to learn the largest index
        uses = torch.zeros_like(self.count).index_add_(0, index, flat.new_ones(len(index)))
        self.count.lerp_(uses, 1 - self.decay)

    @torch.no_grad()
    def _move(self, flat: Float[Tensor, "n c"], index: Int[Tensor, "n"]) -> None:
        self.total.lerp_(torch.zeros_like(self.total).index_add_(0, index, flat), 1 - self.decay)
        mass = self.count.sum()
        # the smoothed count divides and is never written back, or small counts would drift
        smoothed = (self.count + SMOOTHING) / (mass + len(self.count) * SMOOTHING) * mass
        self.codebook.copy_(self.total / smoothed[:, None])

    def hard(self, params: Float[Tensor, "*n l c"], noise: torch.Generator | None = None) -> Float[Tensor, "*n l c"]:
        return self.codebook.detach()[nearest(params, self.codebook)]

    def index(self, code: Float[Tensor, "*n l c"]) -> Int[Tensor, "*n l"]:
        return nearest(code, self.codebook)
