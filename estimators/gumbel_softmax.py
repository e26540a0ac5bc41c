"""Gumbel-Softmax, straight-through by default."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from estimators._base import Choice, Latent, Problem, Range, Space, decay, require
from estimators._categorical import Relaxation, one_hot


class GumbelSoftmax(Relaxation):
    """Gumbel-Softmax (Jang et al. 2017, arXiv:1611.01144; also 1611.00712). Biased, one decode per sample.

    The sample is softmax((logits + Gumbel noise) / temperature). With `hard` the decoder sees its argmax and the
    gradient is that of the soft sample (straight-through); without, the decoder is trained on soft codes that it never
    meets in evaluation, which is always done on hard ones.
    `temperature` > 0, unitless, decays exponentially to `temperature_end` over training when that is given.
    """

    # `hard` is another method; annealed to one of a few ends, or not at all, as by default
    space: ClassVar[Space] = {"temperature": Range(0.3, 3.0), "temperature_end": Choice((None, 0.5, 0.25, 0.1))}

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 1,
        hard: bool = True,
        temperature: float = 1.0,
        temperature_end: float | None = None,
    ) -> None:
        super().__init__(latent, k)
        for value in (temperature, temperature_end):
            require(value is None or value > 0, f"temperature {value} is not positive; try temperature=1.0")
        self.straight_through = hard
        self.temperature, self.temperature_end = temperature, temperature_end

    def relax(self, logits: Float[Tensor, "*n l v"], problem: Problem) -> Float[Tensor, "*n l v"]:
        exponential = torch.empty_like(logits, memory_format=torch.contiguous_format)
        gumbel = -exponential.exponential_(generator=problem.noise).log()
        soft = ((logits + gumbel) / decay(self.temperature, self.temperature_end, problem.progress)).softmax(-1)
        if not self.straight_through:
            return soft
        return one_hot(soft.argmax(-1), soft.shape[-1]) + (soft - soft.detach())
