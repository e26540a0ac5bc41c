"""Discrete Autoencoding via Policy Search: the encoder is a policy, reconstruction log-likelihood its return."""

from typing import Literal

from estimators._base import Estimate, Latent, Problem, require
from estimators._categorical import Categorical
from estimators._step_size import RULES, effective_sample_size, log_weights


class DAPS(Categorical):
    """Policy search (Drolet et al. 2026, arXiv:2509.24716). Descends KL(q* || q), not the ELBO, k decodes per step.

    Steps toward q* proportional to exp((A + eta log q) / (eta + beta)), the maximiser of E[A] + beta H under a KL
    bound around q, by weighted maximum likelihood over k samples per image, without a gradient through sampling. Any
    baseline that is constant over k cancels in the self-normalised weights, so none is offered.

    `step_size` picks eta (nats): `ess` holds the effective sample size at `ess_target` times k, from `eta` on, with
    Adam at `eta_lr`.
    """

    policy_search = True

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 8,
        step_size: Literal["ess"] = "ess",
        ess_target: float = 0.33,
        eta: float = 100.0,
        eta_lr: float = 1e-3,
    ) -> None:
        super().__init__(latent)
        require(k >= 1, f"k={k} samples per image; k must be at least 1")
        self.k = k
        self.step_size = RULES[step_size](k, ess_target, eta, eta_lr)

    def loss(self, problem: Problem) -> Estimate:
        log_lik, log_q = self.draw_and_score(problem, self.k)
        # centred for precision only: likelihoods are thousands of nats and their differences a few
        advantage = (log_lik - log_lik.mean(0)).detach()
        eta, fit = self.step_size(advantage, log_q.detach(), problem.beta)
        log_w = log_weights(advantage, log_q.detach(), eta, problem.beta)
        weights = log_w.exp()
        loss = -(weights * log_q).sum(0).mean() - log_lik.mean() + fit
        terms = {
            "log_lik": log_lik.detach().mean(),
            "eta": eta.mean(),
            "ess": effective_sample_size(log_w).mean() / self.k,
            "max_weight": weights.amax(0).mean(),
            "entropy": -log_q.detach().mean(),
        }
        return Estimate(loss, terms, decodes=self.k)

    def param_groups(self, lr: float) -> list[dict]:
        own = list(self.step_size.parameters())
        return [{"params": own, "lr": self.step_size.learning_rate, "weight_decay": 0.0, "clip": False}] if own else []
