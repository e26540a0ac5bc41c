"""What estimators with categorical posteriors share: sampling, log q, KL, and the loss of relaxations."""

import abc
import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Estimate, Estimator, Latent, Posterior, Problem, ReadsReplay


def unexpanded(logits: Tensor) -> Tensor:
    """A factorised posterior expands one set of logits over its k samples; keep that one, so that softmax and
    its backward pass run once per image instead of once per sample."""
    return logits[:1] if logits.shape[0] > 1 and logits.stride(0) == 0 else logits


def sample(logits: Float[Tensor, "k *n v"], noise: torch.Generator | None = None) -> Int[Tensor, "k *n"]:
    """Independent draws from softmax(logits), by inversion of the distribution function."""
    distinct = unexpanded(logits.detach())
    cdf = distinct.float().softmax(-1).cumsum(-1)
    draws = logits.shape[0] // distinct.shape[0]
    uniform = torch.rand(*cdf.shape[:-1], draws, generator=noise, device=cdf.device)
    # scaling by the last entry makes the rounding error of the cumulative sum harmless
    index = torch.searchsorted(cdf, uniform * cdf[..., -1:], right=True).clamp_(max=cdf.shape[-1] - 1)
    return index.movedim(-1, 0).reshape(logits.shape[:-1])


def log_prob(logits: Float[Tensor, "k *n l v"], code: Int[Tensor, "k *n l"]) -> Float[Tensor, "k *n"]:
    """log q(code) in nats, summed over the l positions."""
    distinct = unexpanded(logits)
    samples = code.reshape(-1, *distinct.shape[:-1]).movedim(0, -1)
    chosen = distinct.float().log_softmax(-1).gather(-1, samples)
    return chosen.movedim(-1, 0).reshape(code.shape).sum(-1)


def log_prob_by_position(logits: Float[Tensor, "k *n l v"], code: Int[Tensor, "k *n l"]) -> Float[Tensor, "k *n l"]:
    """log q of each position's code in nats."""
    return log_prob(logits.unsqueeze(-2), code.unsqueeze(-1))


def replayed(
    posterior: Posterior, code: Int[Tensor, "k b L"], read: Callable[[Tensor, Tensor], Float[Tensor, "k b t"]]
) -> Float[Tensor, "k b L"]:
    """What `read` makes of each position's logits and code, differentiable, without keeping the logits where that can
    be had."""
    if isinstance(posterior, ReadsReplay):
        return posterior.read_replay(code, read)
    return read(posterior.replay(code), code)


def kl_to_uniform(logits: Float[Tensor, "*n l v"]) -> Float[Tensor, "*n"]:
    """Sum over positions of log v - H(softmax(logits)), in nats."""
    distinct = unexpanded(logits) if logits.ndim > 2 else logits
    log_q = distinct.float().log_softmax(-1)
    kl = (log_q.exp() * log_q).sum((-2, -1)) + logits.shape[-2] * math.log(logits.shape[-1])
    return kl.expand(logits.shape[:-2])


def one_hot(index: Int[Tensor, "*n"], vocab: int) -> Float[Tensor, "*n v"]:
    """Float one-hot of an index."""
    # not functional.one_hot, which looks for the largest index first
    return torch.zeros(*index.shape, vocab, device=index.device).scatter_(-1, index.unsqueeze(-1), 1.0)


KL = Literal["sampled", "exact"]
"""How a score function has the KL term."""


class Categorical(Estimator):
    """Estimators whose head emits logits over the vocabulary and whose evaluation code is a sampled index."""

    def __init__(self, latent: Latent) -> None:
        super().__init__(latent)
        self.head_width = latent.vocab

    def logits(self, params: Float[Tensor, "*n l v"]) -> Float[Tensor, "*n l v"]:
        """log q of every code at each position, up to a constant, of the head outputs: the one place where that is
        said. Whatever samples, scores or measures q reads it here."""
        return params

    def hard(self, params: Float[Tensor, "*n l v"], noise: torch.Generator | None = None) -> Int[Tensor, "*n l"]:
        return sample(self.logits(params), noise)

    def mode(self, params: Float[Tensor, "*n l v"]) -> Int[Tensor, "*n l"]:
        return self.logits(params).argmax(-1)

    def draw_and_score(self, problem: Problem, k: int) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b"]]:
        """log p(x|z) and log q(z|x) in nats of k codes per image, drawn without a gradient through sampling."""
        with torch.no_grad():
            code, _ = problem.posterior.rollout(lambda params: self.hard(params, problem.noise), k)
        return problem.log_lik(code), self.log_q(problem.posterior, code).sum(-1)

    def log_q(self, posterior: Posterior, code: Int[Tensor, "k b L"]) -> Float[Tensor, "k b L"]:
        """log q of each position's code given the codes before it, in nats, as `replayed`."""
        return replayed(posterior, code, lambda params, code: log_prob_by_position(self.logits(params), code))

    def kl_along(self, posterior: Posterior, code: Int[Tensor, "k b L"]) -> Float[Tensor, "k b L"]:
        """log v - H of each position given the codes before it, in nats, as `replayed`; the position's own code does
        not matter."""
        return replayed(posterior, code, lambda params, code: self.kl(params.unsqueeze(-2)))

    def kl_term(
        self, problem: Problem, code: Int[Tensor, "k b L"], log_q: Float[Tensor, "k b"], how: KL
    ) -> tuple[Float[Tensor, "k b"], Float[Tensor, ""]]:
        """What the KL takes from the return of each code, detached, and what it adds to the loss directly; in nats.

        `sampled`: log q(z|x) - log p(z), all of it in the return. `exact`: every position's KL given the codes before
        it. For a factorised posterior that is the KL itself, the same for all samples of an image; for a causal one it
        depends on the code and stays in the return. The same gradient on average; with a baseline, with less variance.
        """
        if how == "sampled":
            return log_q.detach() - self.latent.log_prior, log_q.new_zeros(())
        kl = self.kl_along(problem.posterior, code).sum(-1)
        return kl.detach(), problem.beta * kl.mean()

    def index(self, code: Tensor) -> Int[Tensor, "*n l"]:
        return code.argmax(-1) if code.is_floating_point() else code

    def kl(self, params: Float[Tensor, "*n l v"]) -> Float[Tensor, "*n"]:
        return kl_to_uniform(self.logits(params))


class Relaxation(Categorical):
    """Estimators that differentiate through sampling: they add only `relax`."""

    def __init__(self, latent: Latent, k: int) -> None:
        super().__init__(latent)
        if k < 1:
            raise ValueError(f"k={k} samples per image; k must be at least 1")
        self.k = k

    @abc.abstractmethod
    def relax(self, logits: Float[Tensor, "*n l v"], problem: Problem) -> Float[Tensor, "*n l v"]:
        """A code on (or, for soft relaxations, inside) the simplex, differentiable in the logits."""

    def loss(self, problem: Problem) -> Estimate:
        code, logits = problem.posterior.rollout(lambda params: self.relax(params, problem), self.k)
        log_lik = problem.log_lik(code)
        kl = self.kl(logits)
        terms = {"log_lik": log_lik.detach().mean(), "kl": kl.detach().mean()}
        return Estimate((problem.beta * kl - log_lik).mean(), terms, decodes=self.k)
