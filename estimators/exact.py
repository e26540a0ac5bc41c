"""The oracle: enumerates every code, so that expectations under q are sums."""

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Estimate, Latent, Problem, Scalar
from estimators._categorical import Categorical, log_prob

LARGEST = 2**14
"""Codes that are still enumerated."""


def enumerate_codes(latent: Latent) -> Int[Tensor, "n L"]:
    """Every code of a tiny latent, n = V^L. Raises ValueError above LARGEST."""
    count = latent.vocab**latent.length
    if count > LARGEST:
        raise ValueError(
            f"exact enumerates vocab^length = {latent.vocab}^{latent.length} = {count:.3g} codes, at most {LARGEST}; "
            f"try --set length=2 --set vocab={min(latent.vocab, math.isqrt(LARGEST))}"
        )
    return torch.tensor(list(itertools.product(range(latent.vocab), repeat=latent.length)))


def score_all(
    problem: Problem, codes: Int[Tensor, "n L"], logits: Callable[[Tensor], Tensor] = lambda params: params
) -> tuple[Float[Tensor, "n b"], Float[Tensor, "n b"]]:
    """log q(z|x) and log p(x|z) in nats, of every code for every image. `logits`: of the estimator whose q it is."""
    with torch.no_grad():
        one, _ = problem.posterior.rollout(lambda params: params.argmax(-1), 1)
    every = codes[:, None].expand(-1, one.shape[1], -1)
    return log_prob(logits(problem.posterior.replay(every)), every), problem.log_lik(every)


def objective(
    log_q: Float[Tensor, "n b"], log_lik: Float[Tensor, "n b"], log_prior: float, beta: Scalar
) -> Float[Tensor, "b"]:
    """J = E_q[log p(x|z)] - beta KL(q || uniform) in nats, exactly."""
    return (log_q.exp() * (log_lik - beta * (log_q - log_prior))).sum(0)


def optimal_policy(
    log_q: Float[Tensor, "n b"], log_lik: Float[Tensor, "n b"], eta: Scalar | Float[Tensor, "b"], beta: Scalar
) -> Float[Tensor, "n b"]:
    """log q* of policy search, q* proportional to exp((R + eta log q) / (eta + beta)), normalised over all codes
    (Drolet et al., arXiv:2509.24716). Detached: q* is a target."""
    return ((log_lik + eta * log_q) / (eta + beta)).detach().log_softmax(0)


def distance_to_optimal(
    log_q: Float[Tensor, "n b"], log_lik: Float[Tensor, "n b"], eta: Scalar | Float[Tensor, "b"], beta: Scalar
) -> Float[Tensor, "b"]:
    """KL(q* || q) in nats; its gradient is what policy search estimates."""
    log_target = optimal_policy(log_q, log_lik, eta, beta)
    return (log_target.exp() * (log_target - log_q)).sum(0)


class Exact(Categorical):
    """Enumeration of all V^L codes: the exact gradient of the ELBO. No bias, no variance, V^L decodes per step.

    The oracle that the others are tested against, and the best any estimator of that gradient could do. Refuses more
    than 2^14 codes.
    """

    unbiased = True
    oracle = True
    codes: Tensor

    def __init__(self, latent: Latent) -> None:
        super().__init__(latent)
        self.register_buffer("codes", enumerate_codes(latent), persistent=False)

    def loss(self, problem: Problem) -> Estimate:
        log_q, log_lik = score_all(problem, self.codes, self.logits)
        gain = objective(log_q, log_lik, self.latent.log_prior, problem.beta)
        expected = (log_q.exp() * log_lik).detach().sum(0)
        return Estimate(-gain.mean(), {"log_lik": expected.mean()}, decodes=len(self.codes))
