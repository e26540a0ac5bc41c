"""Rules that choose nothing."""

import torch

from estimators._base import require
from estimators._step_size.rule import Step, StepSize, effective_sample_size, log_weights, zero_like
from estimators._step_size.solved import Solved


class Fixed(StepSize):
    """Constant eta in nats, the knob: the weight of a KL penalty instead of a bound. Bounds nothing: what is a small
    step for one scale of rewards is a large one for another."""

    eta: torch.Tensor

    def __init__(self, eta: float) -> None:
        super().__init__()
        require(eta > 0, f"eta={eta} is not positive; try eta=100, or step_size=greedy")
        self.register_buffer("eta", torch.tensor(float(eta)), persistent=False)

    def forward(self, advantage, log_q, beta):
        log_w = log_weights(advantage, log_q, self.eta, beta)
        return Step(self.eta, log_w, effective_sample_size(log_w), zero_like(log_w))


class Greedy(Solved):
    """eta -> 0, no bound: q* is proportional to exp(A / beta). No knob.

    This is the limit of the closed form, not the best sample alone: at beta = 1 it is the encoder's wake-phase update
    of reweighted wake-sleep (Bornschein & Bengio 2015, arXiv:1406.2751). As beta -> 0 the best sample takes all, or the
    best ones share it.
    """

    def __init__(self) -> None:
        super().__init__(per_image=False)

    def temperature(self, returns, spread, lowest):
        return lowest
