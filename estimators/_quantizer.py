"""What deterministic quantizers share: the encoder emits a vector per position, rounding makes it a code."""

import abc
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Estimate, Estimator, Latent, Problem


def straight_through(vector: Tensor, code: Tensor) -> Tensor:
    """The value of `code`, exactly, with the gradient of `vector`."""
    return code.detach() + (vector - vector.detach())


class Quantizer(Estimator):
    """Deterministic vector codes. There is no q(z|x) to speak of, hence no ELBO; the KL to uniform is L log v."""

    causal_ok = False
    has_elbo = False

    def __init__(self, latent: Latent, width: int) -> None:
        super().__init__(latent)
        self.head_width = self.code_width = width

    @abc.abstractmethod
    def quantise(
        self, vectors: Float[Tensor, "k b L c"], problem: Problem
    ) -> tuple[Float[Tensor, "k b L c"], Float[Tensor, ""], dict[str, Tensor]]:
        """Codes with a straight-through gradient, the quantizer's own loss terms in nats, and diagnostics."""

    @abc.abstractmethod
    def hard(self, params: Float[Tensor, "*n l c"], noise: torch.Generator | None = None) -> Float[Tensor, "*n l c"]:
        """Nearest code; there is no noise in it."""

    @abc.abstractmethod
    def index(self, code: Float[Tensor, "*n l c"]) -> Int[Tensor, "*n l"]:
        """Vocabulary index of a code vector."""

    def kl(self, params: Float[Tensor, "*n l c"]) -> Float[Tensor, "*n"]:
        return params.new_full(params.shape[:-2], params.shape[-2] * math.log(self.latent.vocab))

    def loss(self, problem: Problem) -> Estimate:
        _, vectors = problem.posterior.rollout(lambda params: params, 1)
        code, own_loss, terms = self.quantise(vectors, problem)
        log_lik = problem.log_lik(code)
        terms = {"log_lik": log_lik.detach().mean(), **terms}
        return Estimate(own_loss - log_lik.mean(), terms, decodes=1)
