"""Straight-through with one temperature to sample by and another to differentiate by."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from estimators._base import Latent, Problem, Range, Space, require
from estimators._categorical import Relaxation, one_hot, unexpanded


class DecoupledST(Relaxation):
    """Straight-through with separate temperatures forward and backward (Shah et al. 2024, arXiv:2410.13331v2). Biased,
    one decode per sample.

    The decoder sees a one-hot sampled from softmax(logits / forward_temperature), which is q(z|x) in the KL term and in
    evaluation too; its gradient is handed to softmax(logits / temperature). Both > 0, unitless. An encoder can undo the
    forward temperature by the scale of its logits, so that what sets this apart from straight_through is the ratio of
    the two. There is no Gumbel noise in the gradient, as there is in the paper's first version: argmax ignores a
    temperature that divides its noise too.
    """

    # an encoder undoes the forward temperature: the ratio is what counts
    space: ClassVar[Space] = {"temperature": Range(0.15, 1.5)}

    def __init__(
        self, latent: Latent, *, k: int = 1, temperature: float = 0.5, forward_temperature: float = 1.0
    ) -> None:
        super().__init__(latent, k)
        require(temperature > 0, f"temperature={temperature} is not positive; try temperature=0.5")
        require(
            forward_temperature > 0,
            f"forward_temperature={forward_temperature} is not positive; try forward_temperature=1.0",
        )
        self.temperature, self.forward_temperature = temperature, forward_temperature

    def relax(self, logits: Float[Tensor, "*n l v"], problem: Problem) -> Float[Tensor, "*n l v"]:
        probs = (logits / self.temperature).softmax(-1)
        return one_hot(self.hard(logits, problem.noise), probs.shape[-1]) + (probs - probs.detach())

    def logits(self, params: Float[Tensor, "*n l v"]) -> Float[Tensor, "*n l v"]:
        # expanded over the samples as it came, so that they still share their softmax
        return (unexpanded(params) / self.forward_temperature).expand_as(params)
