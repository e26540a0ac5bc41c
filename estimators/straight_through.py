"""The straight-through estimator for categorical codes."""

from jaxtyping import Float
from torch import Tensor

from estimators._base import Latent, Problem
from estimators._categorical import Relaxation, one_hot, sample


class StraightThrough(Relaxation):
    """Straight-through (Bengio et al. 2013, arXiv:1308.3432). Biased, one decode per sample.

    The decoder sees a sampled one-hot; its gradient is handed to the probabilities as if sampling were the identity.
    """

    def __init__(self, latent: Latent, *, k: int = 1) -> None:
        super().__init__(latent, k)

    def relax(self, logits: Float[Tensor, "*n l v"], problem: Problem) -> Float[Tensor, "*n l v"]:
        probs = logits.softmax(-1)
        return one_hot(sample(logits, problem.noise), probs.shape[-1]) + (probs - probs.detach())
