"""The rule whose eta follows a gradient from one minibatch to the next."""

import math

import torch
from torch import nn

from estimators._base import require
from estimators._step_size.rule import Step, StepSize, effective_sample_size, log_weights


def check_ess_target(k: int, ess_target: float | None) -> float:
    """The target as a fraction of k. None: 0.33 (the paper's), or for k < 4, whose effective sample size is never that
    low, 1 + (k - 1) / 10 samples; a sweep over k then asks for 1.1, 1.2, 1.32, 1.65, ... samples.

    Raises ValueError outside (1/k, 1).
    """
    least = (1 + (k - 1) / 10) / k
    target = max(0.33, least) if ess_target is None else ess_target
    require(
        1 / k < target < 1 or k == 1,
        f"ess_target={target} with k={k}: the effective sample size lies between {1 / k:.3g} and 1 times k; "
        f"try ess_target={(1 + 1 / k) / 2:.2g}",
    )
    return target


class EssTarget(StepSize):
    """Effective-sample-size target (Drolet et al. 2026, arXiv:2509.24716): log eta follows Adam on
    (mean_x ESS - target K)^2. Holds the mean over images, and over some minibatches; knob `ess_target`, a fraction of K
    in (1/K, 1). One eta for all minibatches, which starts at `eta`."""

    def __init__(self, k: int, eta: float, eta_lr: float, ess_target: float | None = None) -> None:
        super().__init__()
        require(eta > 0, f"eta={eta} is not positive; try eta=100")
        self.target = check_ess_target(k, ess_target) * k
        self.learning_rate = eta_lr
        self.log_eta = nn.Parameter(torch.tensor(math.log(eta)))

    def forward(self, advantage, log_q, beta):
        eta = self.log_eta.exp()
        ess = effective_sample_size(log_weights(advantage, log_q, eta, beta)).mean()
        log_w = log_weights(advantage, log_q, eta.detach(), beta)
        return Step(eta.detach(), log_w, effective_sample_size(log_w), (ess - self.target).square())
