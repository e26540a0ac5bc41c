"""Trust-region rules for policy search: each turns a batch of advantages into the temperature eta.

A rule sees the advantages A and log q of the K samples per image and gives eta in nats, one per batch ([]) or one
per image ([b]), with a loss that adapts whatever the rule learns. A new rule is a class here and a line in RULES.
"""

import abc
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimators._base import require


def log_weights(
    advantage: Float[Tensor, "k b"], log_q: Float[Tensor, "k b"], eta: Tensor, beta: float
) -> Float[Tensor, "k b"]:
    """Self-normalised log w_k = (A_k - beta log q_k) / (eta + beta), the log of q*/q_theta over the K samples."""
    return ((advantage - beta * log_q) / (eta + beta)).log_softmax(0)


def effective_sample_size(log_w: Float[Tensor, "k b"]) -> Float[Tensor, "b"]:
    """1 / sum_k w_k^2, between 1 and K."""
    return (-(2 * log_w).logsumexp(0)).exp()


class StepSize(nn.Module, abc.ABC):
    learning_rate: float | None = None
    """Of the rule's own parameters, if it has any."""

    @abc.abstractmethod
    def forward(
        self, advantage: Float[Tensor, "k b"], log_q: Float[Tensor, "k b"], beta: float
    ) -> tuple[Tensor, Float[Tensor, ""]]:
        """eta > 0, detached, and the loss of the rule's own parameters. Inputs are detached."""


class EssTarget(StepSize):
    """Effective-sample-size target (Drolet et al., arXiv:2509.24716): log eta follows Adam on
    (mean_x ESS - target K)^2. `target` is a fraction of K in (1/K, 1)."""

    def __init__(self, k: int, target: float, eta: float, learning_rate: float) -> None:
        super().__init__()
        require(eta > 0, f"eta={eta} is not positive; try eta=100")
        require(
            1 / k < target < 1 or k == 1,
            f"ess_target={target} with k={k}: the effective sample size lies between {1 / k:.3g} and 1 times k; "
            f"try ess_target={(1 + 1 / k) / 2:.2g}",
        )
        self.target = target * k
        self.learning_rate = learning_rate
        self.log_eta = nn.Parameter(torch.tensor(math.log(eta)))

    def forward(self, advantage, log_q, beta):
        eta = self.log_eta.exp()
        ess = effective_sample_size(log_weights(advantage, log_q, eta, beta)).mean()
        return eta.detach(), (ess - self.target).square()


RULES = {"ess": EssTarget}
