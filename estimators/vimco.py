"""VIMCO: score function for the multi-sample bound, with a baseline for each sample from the others."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from estimators._base import Estimate, Latent, Problem, require
from estimators._categorical import Categorical


def leave_one_out_signal(log_w: Float[Tensor, "k b"]) -> Float[Tensor, "k b"]:
    """log mean_j w_j minus what it would be had sample i been the geometric mean of the others, in nats."""
    k = log_w.shape[0]
    # centred for precision only: the signal does not depend on a common factor of the weights
    log_w = log_w - log_w.amax(0)
    others = (log_w.sum(0) - log_w) / (k - 1)
    itself = torch.eye(k, dtype=torch.bool, device=log_w.device)[:, :, None]
    swapped = torch.where(itself, others[:, None], log_w)
    return log_w.logsumexp(0) - swapped.logsumexp(1)


class VIMCO(Categorical):
    """Ascends the k-sample bound E log mean_k w_k, not the ELBO (Mnih & Rezende 2016, arXiv:1602.06725). Unbiased for
    that bound alone, k decodes per step.

    log w = log p(x|z) - beta log(q(z|x) / p(z)), in nats: at beta = 1 this is the importance-weighted bound on
    log p(x), and one sample would give the beta-weighted ELBO, which the others maximise. The baseline of a sample puts
    the geometric mean of the other weights in its place, hence k >= 2. The paper also weighs the decoder's gradient by
    w; here the decoder follows the plain mean log-likelihood of the k codes, as with every estimator.
    """

    goal = "the k-sample bound"

    def __init__(self, latent: Latent, *, k: int = 8) -> None:
        super().__init__(latent)
        require(k >= 2, f"k={k} samples per image leave no others to make a baseline of; try k=8")
        self.k = k

    def loss(self, problem: Problem) -> Estimate:
        log_lik, log_q = self.draw_and_score(problem, self.k)
        log_w = log_lik.detach() + problem.beta * (self.latent.log_prior - log_q.detach())
        weights = log_w.softmax(0)
        # q is in the weights as well as in the sampling: its direct gradient is -beta times each normalised weight
        signal = leave_one_out_signal(log_w) - problem.beta * weights
        loss = -(signal * log_q).sum(0).mean() - log_lik.mean()
        terms = {
            "log_lik": log_lik.detach().mean(),
            "bound": (log_w.logsumexp(0) - math.log(self.k)).mean(),
            "max_weight": weights.amax(0).mean(),
            "entropy": -log_q.detach().mean(),
        }
        return Estimate(loss, terms, decodes=self.k)
