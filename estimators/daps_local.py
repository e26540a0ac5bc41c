"""Policy search with credit by position: a code is weighed by the pixels near it, not by the whole image."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from estimators._base import Choice, Estimate, Latent, Problem, Space, require
from estimators.daps import DAPS, step_terms


class DAPSLocal(DAPS):
    """Policy search with credit by position (a variant of `daps` without a source). Biased, k decodes per step.

    Position l of sample j is weighed by exp((A_jl - beta log q_jl) / (eta + beta)), normalised over the k samples. A_jl
    is the log-likelihood of the patches at most `reach` rows and columns from l's own: the noise of all others stays
    out, and an image's k samples rank the codes of every position anew. `step_size` and its knobs are those of `daps`,
    with one position of an image in the place of an image.

    If codes change their own patches alone and the posterior is factorised, q* is a product over positions and this
    steps toward the q* of `daps`. If a code changes no patch out of reach, it agrees with `daps` to first order in 1 /
    (eta + beta), the natural gradient of the ELBO; further, each position steps as if the others stayed. Pixels out of
    reach are given no weight: for the convolutional decoder a bias at any reach, as it normalises over the image. With
    a causal posterior, so is what a code does to later ones.

    Without Problem.patches every patch is near every position.
    """

    goal = "KL(q* || q), by position"
    local = True
    space: ClassVar[Space] = {**DAPS.space, "reach": Choice((0, 1, 2))}

    def __init__(
        self,
        latent: Latent,
        *,
        reach: int = 1,
        k: int = 8,
        step_size: Literal["ess", "ess_solve", "kl", "vmpo", "lbps", "fixed", "greedy"] = "ess",
        ess_target: float | None = None,
        eta: float = 100.0,
        eta_lr: float = 1e-3,
        epsilon: float | None = None,
        delta: float | None = None,
        per_image: bool = False,
    ) -> None:
        super().__init__(
            latent,
            k=k,
            step_size=step_size,
            ess_target=ess_target,
            eta=eta,
            eta_lr=eta_lr,
            epsilon=epsilon,
            delta=delta,
            per_image=per_image,
        )
        require(reach >= 0, f"reach={reach} patches is negative; try reach=1")
        self.reach = reach

    def loss(self, problem: Problem) -> Estimate:
        with torch.no_grad():
            code, _ = problem.posterior.rollout(lambda params: self.hard(params, problem.noise), self.k)
        log_lik, near = self.credit(code, problem)
        log_q = self.log_q(problem.posterior, code)
        # centred for precision only, as in `daps`; a position of an image is to the rule what an image is there
        step = self.step_size((near - near.mean(0)).flatten(1), log_q.detach().flatten(1), problem.beta)
        weights = step.log_weights.exp().view_as(log_q)
        loss = -(weights * log_q).sum((0, 2)).mean() - log_lik.mean() + step.loss
        terms = {
            "log_lik": log_lik.detach().mean(),
            **step_terms(step, self.k),
            "entropy": -log_q.detach().sum(-1).mean(),
        }
        # of a rule that has one eta per position of an image, their mean
        eta = step.eta.view(-1, self.latent.length).mean(1) if step.eta.ndim else step.eta
        return Estimate(loss, terms, decodes=self.k, eta=eta)

    def credit(self, code: Tensor, problem: Problem) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b L"]]:
        """log p(x|z) of each sample, and of the patches near each of its positions, detached; in nats."""
        if problem.patches is None:
            log_lik = problem.log_lik(code)
            return log_lik, log_lik.detach().unsqueeze(-1).expand(code.shape)
        by_patch = problem.patches.log_lik(code)
        grid = by_patch.detach().flatten(0, 1).unflatten(-1, problem.patches.grid)
        near = avg_pool2d(grid, 2 * self.reach + 1, stride=1, padding=self.reach, divisor_override=1)
        return by_patch.sum(-1), near.view_as(by_patch)
