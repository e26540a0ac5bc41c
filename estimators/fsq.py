"""Finite scalar quantization."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Latent, Problem
from estimators._quantizer import Quantizer, straight_through

LARGEST_LEVEL = 8
"""Levels chosen automatically stay in the range the paper recommends."""


class FSQ(Quantizer):
    """Finite scalar quantization (Mentzer et al. 2024, arXiv:2309.15505). Biased straight-through, one decode per step.

    Each of a few channels is bounded by tanh and rounded to one of `levels[i]` values, straight-through. The levels
    must multiply to the vocabulary; without `levels`, few and even ones that do are chosen. Where a channel has two
    levels it is centred, which the paper's formula is not.
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, latent: Latent, *, levels: tuple[int, ...] | None = None) -> None:
        chosen = levels or best_levels(latent.vocab)
        if chosen is None:
            near = nearest_vocab(latent.vocab)
            raise ValueError(
                f"no levels of at most {LARGEST_LEVEL} multiply to a vocabulary of {latent.vocab}; "
                f"try --set vocab={near}, or give larger ones, as in fsq:levels={latent.vocab}"
            )
        if min(chosen) < 2 or math.prod(chosen) != latent.vocab:
            fit = best_levels(latent.vocab)
            remedy = f"levels={','.join(map(str, fit))}" if fit else f"--set vocab={math.prod(chosen)}"
            raise ValueError(
                f"levels={','.join(map(str, chosen))} give {math.prod(chosen)} codes, vocabulary is "
                f"{latent.vocab}; try {remedy}"
            )
        super().__init__(latent, width=len(chosen))
        self.register_buffer("levels", torch.tensor(chosen), persistent=False)
        places = [math.prod(chosen[:i]) for i in range(len(chosen))]
        self.register_buffer("basis", torch.tensor(places), persistent=False)

    def _bound(self, vectors: Tensor) -> Tensor:
        """Squash into the interval that rounds to exactly `levels` integers per channel (Listing 1 of the paper)."""
        half = (self.levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        # two levels have no middle one to shift to: the paper's shift would leave a slope of 0.001 at 0, and 99.95 % of
        # normal inputs in one level; without it 0 lies between the two
        shift = torch.where(self.levels == 2, 0.0, (offset / half).atanh())
        return (vectors.float() + shift).tanh() * half - offset

    def quantise(self, vectors, problem: Problem):
        bounded = self._bound(vectors)
        code = straight_through(bounded, bounded.round()) / (self.levels // 2)
        return code, code.new_zeros(()), {}

    def hard(self, params: Float[Tensor, "*n l c"], noise: torch.Generator | None = None) -> Float[Tensor, "*n l c"]:
        return self._bound(params).round() / (self.levels // 2)

    def index(self, code: Float[Tensor, "*n l c"]) -> Int[Tensor, "*n l"]:
        half = self.levels // 2
        return ((code * half).round().long() + half).mul(self.basis).sum(-1)

    def code(self, index: Int[Tensor, "*n l"]) -> Float[Tensor, "*n l c"]:
        """The code vector of a vocabulary index: the inverse of `index`."""
        half = self.levels // 2
        digits = (index.unsqueeze(-1) // self.basis) % self.levels
        return (digits - half) / half


def best_levels(vocab: int, largest: int = LARGEST_LEVEL) -> tuple[int, ...] | None:
    """Levels in 2..largest that multiply to `vocab`: as few as possible, then as even as possible, descending."""

    def factorisations(rest: int, most: int) -> list[tuple[int, ...]]:
        if rest == 1:
            return [()]
        return [
            (level, *tail)
            for level in range(min(rest, most), 1, -1)
            if rest % level == 0
            for tail in factorisations(rest // level, level)
        ]

    found = [levels for levels in factorisations(vocab, largest) if levels]
    return min(found, key=lambda levels: (len(levels), levels[0] - levels[-1], levels), default=None)


def nearest_vocab(vocab: int) -> int:
    """The vocabulary closest to `vocab` that some levels multiply to."""
    return next(
        size
        for distance in range(vocab)
        for size in (vocab - distance, vocab + distance)
        if size >= 2 and best_levels(size)
    )
