"""Proximal policy optimisation: the score function, held near the policy that its codes came from."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from estimators._base import Estimate, Latent, Problem, Range, Space, require
from estimators._baselines import Critic
from estimators._categorical import KL, Categorical

COEFFICIENTS = (1e-3, 1e6)
"""The adaptive coefficient stays in between, so that it can always come back."""


class PPO(Categorical):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347). Biased once the policy moves, k decodes
    per step.

    Codes, the decoder's too, come from a copy of the policy refreshed every `lag` updates (0: the policy itself). A
    position is an action, and its probability ratio, new to old, is clipped to within `clip` of 1; the advantage is the
    image's return log p(x|z) - beta log(q(z|x) / p(z)), in nats, minus a learned function of the image, and is not
    rescaled. The ELBO's KL term is thus part of the return, not an entropy bonus alone: in a causal posterior the bonus
    at one position would ignore what that position does to the entropy of the later ones. `kl=exact`: as for reinforce;
    what it adds directly is not clipped. While the policies agree, the gradient is that of reinforce:baseline=critic.

    A penalty on KL(old || new) is added, estimated without noise where they agree. Its coefficient doubles when the KL
    at the end of a lag is above 1.5 times `kl_target` (nats per position), and halves under 1/1.5 of it.
    """

    goal = "the ELBO, clipped near a lagged policy"
    coefficient: Tensor
    updates: Tensor

    space: ClassVar[Space] = {"clip": Range(0.05, 0.5), "kl_target": Range(1e-3, 0.1)}

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 8,
        clip: float = 0.2,
        lag: int = 4,
        kl_target: float = 0.01,
        kl: KL = "sampled",
    ) -> None:
        super().__init__(latent)
        require(k >= 1, f"k={k} samples per image; k must be at least 1")
        require(clip > 0, f"clip={clip} is not positive; try clip=0.2")
        require(lag >= 0, f"lag={lag} updates is negative; try lag=4")
        require(kl_target > 0, f"kl_target={kl_target} is not positive; try kl_target=0.01")
        self.k, self.clip, self.kl_target = k, clip, kl_target
        self.kl_kind: KL = kl
        self.lag = lag
        self.critic = Critic(latent.width)
        self.register_buffer("coefficient", torch.ones(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def loss(self, problem: Problem) -> Estimate:
        with torch.no_grad():
            code, _ = problem.behaviour.rollout(lambda params: self.hard(params, problem.noise), self.k)
            old_log_q = self.log_q(problem.behaviour, code)
        log_lik = problem.log_lik(code)
        log_q = self.log_q(problem.posterior, code)
        prior_kl, direct = self.kl_term(problem, code, log_q.sum(-1), self.kl_kind)
        returns = log_lik.detach() - problem.beta * prior_kl
        baseline, fit = self.critic(returns, problem)
        advantage = returns - baseline
        log_ratio = log_q - old_log_q
        gain = clipped_gain(log_ratio, advantage.unsqueeze(-1), self.clip)
        # mean of r - 1 - log r under the old policy: an unbiased KL whose gradient is (r - 1) grad log q
        kl = log_ratio.exp() - 1 - log_ratio
        coefficient = self.coefficient.clone()
        loss = (coefficient * kl - gain).sum(-1).mean() - log_lik.mean() + direct + fit
        terms = {
            "log_lik": log_lik.detach().mean(),
            "advantage_std": advantage.std(correction=0),
            "entropy": -old_log_q.sum(-1).mean(),
            "policy_kl": kl.detach().mean(),
            "coefficient": coefficient,
            "clipped": (log_ratio.detach().exp() - 1).abs().gt(self.clip).float().mean(),
        }
        self._adapt(kl.detach().mean())
        return Estimate(loss, terms, decodes=self.k)

    def _adapt(self, kl: Float[Tensor, ""]) -> None:
        """Steer the KL of the last update before the old policy is refreshed towards its target."""
        self.updates += 1
        if self.lag < 2:
            return
        factor = torch.where(kl > 1.5 * self.kl_target, 2.0, torch.where(kl < self.kl_target / 1.5, 0.5, 1.0))
        last = self.updates % self.lag == 0
        self.coefficient.mul_(torch.where(last, factor, 1.0)).clamp_(*COEFFICIENTS)


def clipped_gain(
    log_ratio: Float[Tensor, "*n L"], advantage: Float[Tensor, "*n 1"], clip: float
) -> Float[Tensor, "*n L"]:
    """What the objective gains, at the lower of the ratio and the clipped ratio: no reward for moving further away."""
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
