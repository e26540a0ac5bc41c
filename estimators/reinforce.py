"""REINFORCE: the score-function estimator, with a choice of baselines."""

from typing import ClassVar, Literal

import torch

from estimators._base import Choice, Estimate, Latent, Problem, Space, require
from estimators._baselines import Critic, LeaveOneOut, MovingAverage, NoBaseline
from estimators._categorical import KL, Categorical


class Reinforce(Categorical):
    """Score function with a choice of baselines (Williams 1992). Unbiased, k decodes per step.

    The gradient is (G - b) grad log q(z) with G = log p(x|z) - beta log(q(z|x) / p(z)) in nats. `baseline` b: `loo`,
    the mean of the image's other samples (Kool et al. 2019; needs k >= 2); `ema`, a moving average; `critic`, a moving
    average plus a learned function of the image (NVIL, arXiv:1402.0030); `none`.

    `kl=exact` computes every position's KL given the codes before it instead of sampling it. For a factorised posterior
    that is the KL itself, the same for all samples of an image; for a causal one it depends on the code and stays in
    the return. The same gradient on average; with a baseline, with less variance.
    """

    unbiased = True
    # baselines are methods, to be compared under their own names
    space: ClassVar[Space] = {"kl": Choice(("sampled", "exact"))}

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 8,
        baseline: Literal["loo", "none", "ema", "critic"] = "loo",
        kl: KL = "sampled",
    ) -> None:
        super().__init__(latent)
        require(k >= 1, f"k={k} samples per image; k must be at least 1")
        require(
            k >= 2 or baseline != "loo",
            f"baseline=loo averages the other samples and k={k} leaves none; try k=2 or baseline=ema",
        )
        self.k = k
        self.kl_kind: KL = kl
        if baseline == "critic":
            self.baseline = Critic(latent.width)
        else:
            self.baseline = {"loo": LeaveOneOut, "none": NoBaseline, "ema": MovingAverage}[baseline]()

    def loss(self, problem: Problem) -> Estimate:
        with torch.no_grad():
            code, _ = problem.posterior.rollout(lambda params: self.hard(params, problem.noise), self.k)
        log_lik, log_q = problem.log_lik(code), self.log_q(problem.posterior, code).sum(-1)
        kl, direct = self.kl_term(problem, code, log_q, self.kl_kind)
        returns = log_lik.detach() - problem.beta * kl
        baseline, fit = self.baseline(returns, problem)
        advantage = returns - baseline
        loss = direct - (advantage * log_q).mean() - log_lik.mean() + fit
        terms = {
            "log_lik": log_lik.detach().mean(),
            "advantage_std": advantage.std(correction=0),
            "entropy": -log_q.detach().mean(),
        }
        return Estimate(loss, terms, decodes=self.k)
