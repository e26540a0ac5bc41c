"""CARMS: leave-one-out REINFORCE on samples that avoid each other."""

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Estimate, Latent, Problem, require
from estimators._categorical import KL, Categorical

LARGEST = 16
"""Vocabulary up to which the orderings of the codes, one for each pair, are gone through."""


def pair_orderings(vocab: int) -> Int[Tensor, "s v"]:
    """One ordering of the codes for each pair of them, which stand at its two ends."""
    codes = range(vocab)
    ends = itertools.combinations(codes, 2)
    return torch.tensor([[first, *(c for c in codes if c not in (first, last)), last] for first, last in ends])


class CARMS(Categorical):
    """Leave-one-out score function on k jointly antithetic samples (Dimitriev & Zhou 2021, arXiv:2110.14002).
    Unbiased, k decodes per step; for two codes it is ARMS, and with k = 2 DisARM (arXiv:2006.10680).

    Each position draws k negatively correlated uniforms (Dirichlet copula) and inverts the distribution function of
    one random ordering of the codes. A pair of samples (i, j) weighs q(i) q(j) over its probability, unclipped: the
    published code clips at 10, which is biased. Orderings and weights grow with the vocabulary squared: at most 16
    codes. The posterior must be factorised: the k samples share each position's distribution only if no prefix
    tells them apart. `kl=exact`: as for reinforce.
    """

    causal_ok = False
    unbiased = True
    orderings: Tensor

    def __init__(self, latent: Latent, *, k: int = 8, kl: KL = "sampled") -> None:
        super().__init__(latent)
        require(k >= 2, f"k={k} samples per image leave none to be antithetic to; try k=8")
        require(
            2 <= latent.vocab <= LARGEST,
            f"carms goes through all pairs of codes: vocab is {latent.vocab}, and may be 2 to {LARGEST}; "
            f"try --set vocab={LARGEST}, or reinforce",
        )
        self.k = k
        self.kl_kind: KL = kl
        self.register_buffer("orderings", pair_orderings(latent.vocab), persistent=False)

    def loss(self, problem: Problem) -> Estimate:
        code, logits = problem.posterior.rollout(lambda params: self._draw(params, problem.noise), self.k)
        log_lik = problem.log_lik(code)
        log_q = logits.log_softmax(-1).gather(-1, code[..., None]).squeeze(-1)
        kl, direct = self.kl_term(problem, code, log_q.sum(-1), self.kl_kind)
        returns = log_lik.detach() - problem.beta * kl
        one, other = torch.triu_indices(self.k, self.k, 1, device=code.device)
        ratio = self._ratio(logits, code, one, other)
        # half of each pair's difference in returns times its difference in scores: with independent samples, whose
        # ratio is 1, the mean over pairs is leave-one-out
        weight = ratio * (returns[one] - returns[other])[..., None]
        loss = direct - (weight * (log_q[one] - log_q[other])).sum(-1).mean() / 2 - log_lik.mean()
        terms = {
            "log_lik": log_lik.detach().mean(),
            "max_ratio": ratio.amax(),
            "entropy": -log_q.detach().sum(-1).mean(),
        }
        return Estimate(loss, terms, decodes=self.k)

    def _upper(self, logits: Float[Tensor, "k b L v"]) -> Float[Tensor, "b L s v"]:
        """Distribution function of every ordering. In double precision, for the probabilities of pairs are small
        differences of it."""
        return logits[0].detach().double().softmax(-1)[..., self.orderings].cumsum(-1)

    def _draw(self, logits: Float[Tensor, "k b L v"], noise: torch.Generator | None) -> Int[Tensor, "k b L"]:
        """k antithetic samples per position, all by the same random ordering."""
        upper = self._upper(logits)
        exponential = upper.new_empty(*upper.shape[:2], self.k).exponential_(generator=noise)
        uniform = (1 - exponential / exponential.sum(-1, keepdim=True)) ** (self.k - 1)
        picked = torch.randint(len(self.orderings), upper.shape[:2], generator=noise, device=upper.device)
        cdf = upper.take_along_dim(picked[..., None, None], 2).squeeze(2)
        rank = torch.searchsorted(cdf, uniform).clamp_(max=self.latent.vocab - 1)
        return self.orderings[picked].gather(-1, rank).movedim(-1, 0)

    def _ratio(
        self,
        logits: Float[Tensor, "k b L v"],
        code: Int[Tensor, "k b L"],
        one: Int[Tensor, "n"],
        other: Int[Tensor, "n"],
    ) -> Float[Tensor, "n b L"]:
        """For each pair of samples, q(i) q(j) over the probability, over orderings too, that they are i and j."""
        # the copula: P(u <= p, u' <= p') = max(r + r' - 1, 0)^(k - 1), where r is the (k - 1)th root of p
        roots = torch.nn.functional.pad(self._upper(logits), (1, 0))[None] ** (1 / (self.k - 1))
        rank = self.orderings.argsort(-1)[:, code].permute(1, 2, 3, 0)[..., None]
        edges = [roots.take_along_dim(rank + above, -1).squeeze(-1) for above in (0, 1)]
        together = torch.zeros((), device=roots.device)
        for first, second in itertools.product((0, 1), repeat=2):
            below = (edges[first][one] + edges[second][other] - 1).clamp(min=0) ** (self.k - 1)
            together = together + (-1) ** (first + second) * below.mean(-1)
        q = logits.detach().double().softmax(-1).gather(-1, code[..., None]).squeeze(-1)
        ratio = q[one] * q[other] / together.clamp(min=torch.finfo(q.dtype).eps)
        # the score of a pair of equal codes is zero, and the pair may have had no chance at all
        return torch.where(code[one] == code[other], 0, ratio).to(logits.dtype)
