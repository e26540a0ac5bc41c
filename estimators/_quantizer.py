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


def nearest(vectors: Float[Tensor, "*n c"], codebook: Float[Tensor, "v c"]) -> Int[Tensor, "*n"]:
    """Index of the codebook vector closest to each vector."""
    flat, codebook = vectors.detach().float().flatten(0, -2), codebook.detach()
    # |e - c|^2 without the |e|^2 that all codes share
    distance = torch.addmm(codebook.square().sum(-1), flat, codebook.T, alpha=-2)
    return distance.argmin(-1).reshape(vectors.shape[:-1])


def squared_distance(vectors: Float[Tensor, "k b L c"], code: Float[Tensor, "k b L c"]) -> Float[Tensor, ""]:
    """|vectors - code|^2 summed over channels and positions, as the log-likelihood it is added to is summed over
    pixels; mean over images."""
    return (vectors - code).square().sum() / (vectors.shape[0] * vectors.shape[1])


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
