"""Discrete Autoencoding via Policy Search: the encoder is a policy, reconstruction log-likelihood its return."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from estimators._base import Estimate, Latent, Problem, Range, Space, require
from estimators._categorical import Categorical
from estimators._step_size import Step, make


class DAPS(Categorical):
    """Policy search (Drolet et al. 2026, arXiv:2509.24716). Steps toward q*, in the limit of k down KL(q* || q) and not
    up the ELBO; k decodes per step.

    Steps toward q* proportional to exp((A + eta log q) / (eta + beta)), the maximiser of E[A] + beta H under a KL
    bound around q, by weighted maximum likelihood over k samples per image, without a gradient through sampling. Any
    baseline that is constant over k cancels in the self-normalised weights, so none is offered.

    Self-normalised weights make this the gradient of KL(q* || q) in the limit of k alone. Against enumeration (256
    codes on digits, steps 0 to 400, both posteriors: `bench gradients -e daps --k 2,8,32`) its mean differs from that
    gradient by 0.5 to 0.85 of its size at k = 2, 0.1 to 0.6 at k = 8 and 0.03 to 0.26 at k = 32, and has a cosine of
    0.77 to 0.98 with the gradient of the ELBO at k = 8: what it follows is between the two.

    `step_size` picks eta (nats) and, with it, the weights:

    - `ess`: the effective sample size (ESS) is held at `ess_target` times k, from `eta` on, with Adam at `eta_lr`
    - `ess_solve`: it is `ess_target` times k on every batch
    - `kl`: the bound itself, KL(q* || q) <= `epsilon` nats (0.5), as REPS and MPO solve it
    - `vmpo`: as V-MPO, the best half of the batch's samples within `epsilon` nats (0.1); its target is not q*
    - `lbps`: the best lower bound on the return, at confidence 1 - `delta` (0.3)
    - `fixed`: eta is `eta`
    - `greedy`: eta -> 0, no bound

    `per_image` gives `ess_solve`, `kl` and `lbps` one eta per image. `ess_target` is 0.33 if not given, or enough for
    k < 4. Rules ignore `ess_target`, `eta` and `eta_lr` if they have no use for them, as presets set these for all
    rules; an `epsilon`, `delta` or `per_image` they refuse.
    """

    goal = "KL(q* || q), in the limit of k"
    policy_search = True
    # the rule is a method, to be compared under its own name; eta matters most: from 100 it takes most of a short run
    # to come down
    space: ClassVar[Space] = {
        "eta": Range(0.3, 300.0),
        "eta_lr": Range(3e-4, 0.1),
        "ess_target": Range(0.25, 0.75, log=False),
    }

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 8,
        step_size: Literal["ess", "ess_solve", "kl", "vmpo", "lbps", "fixed", "greedy"] = "ess",
        ess_target: float | None = None,
        eta: float = 100.0,
        eta_lr: float = 1e-3,
        epsilon: float | None = None,
        delta: float | None = None,
        per_image: bool = False,
    ) -> None:
        super().__init__(latent)
        require(k >= 1, f"k={k} samples per image; k must be at least 1")
        self.k = k
        if step_size == "vmpo":
            self.goal, self.policy_search = "KL(psi || q), psi the batch's best half", False
        self.step_size = make(
            step_size,
            k=k,
            eta=eta,
            eta_lr=eta_lr,
            ess_target=ess_target,
            epsilon=epsilon,
            delta=delta,
            per_image=per_image,
        )

    def loss(self, problem: Problem) -> Estimate:
        log_lik, log_q = self.draw_and_score(problem, self.k)
        # centred for precision only: likelihoods are thousands of nats and their differences a few
        advantage = (log_lik - log_lik.mean(0)).detach()
        step = self.step_size(advantage, log_q.detach(), problem.beta)
        weights = step.log_weights.exp()
        loss = -(weights * log_q).sum(0).mean() - log_lik.mean() + step.loss
        terms = {
            "log_lik": log_lik.detach().mean(),
            **step_terms(step, self.k),
            "entropy": -log_q.detach().mean(),
        }
        return Estimate(loss, terms, decodes=self.k, eta=step.eta)

    def param_groups(self, lr: float) -> list[dict]:
        own = list(self.step_size.parameters())
        return [{"params": own, "lr": self.step_size.learning_rate, "weight_decay": 0.0, "clip": False}] if own else []


def step_terms(step: Step, k: int) -> dict[str, Float[Tensor, ""]]:
    """What is logged of any rule's step."""
    return {
        "eta": step.eta.mean(),
        "ess": step.ess.mean() / k,
        **quantiles("ess", step.ess / k),
        "max_weight": step.log_weights.exp().amax(0).mean(),
    }


def quantiles(name: str, values: Float[Tensor, "b"]) -> dict[str, Float[Tensor, ""]]:
    """The values of rank 10, 50 and 90 %, by name."""
    ordered = values.sort().values
    return {f"{name}_p{percent}": ordered[round(percent / 100 * (len(values) - 1))] for percent in (10, 50, 90)}
