"""ReinMax: straight-through, one order more accurate."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from estimators._base import Latent, Problem, Range, Space, require
from estimators._categorical import Relaxation, one_hot, sample


class ReinMax(Relaxation):
    """Second-order straight-through, by Heun's method (Liu et al. 2023, arXiv:2304.08612). Biased, one decode per
    sample.

    Twice the gradient at the mean of softmax(logits / temperature) and the sampled one-hot, minus half of it at the
    probabilities. Exact at temperature 1 when the log-likelihood is quadratic in each position's one-hot and the
    posterior is factorised. `temperature` >= 1, unitless; the code is sampled at 1.
    """

    space: ClassVar[Space] = {"temperature": Range(1.0, 3.0)}

    def __init__(self, latent: Latent, *, k: int = 1, temperature: float = 1.0) -> None:
        super().__init__(latent, k)
        require(temperature >= 1, f"temperature={temperature} is less than 1; try temperature=1.0")
        self.temperature = temperature

    def relax(self, logits: Float[Tensor, "*n l v"], problem: Problem) -> Float[Tensor, "*n l v"]:
        code = one_hot(sample(logits, problem.noise), logits.shape[-1])
        mixture = ((logits.detach() / self.temperature).softmax(-1) + code) / 2
        # the value of the mixture, with the softmax's gradient there
        midpoint = (mixture.log() + (logits - logits.detach())).softmax(-1)
        surrogate = 2 * midpoint - logits.softmax(-1) / 2
        return code + (surrogate - surrogate.detach())
