"""V-MPO: the best half of the whole minibatch."""

import math

import torch

from estimators._base import require
from estimators._step_size.rule import Step, StepSize, zero_like
from estimators._step_size.search import root
from estimators._step_size.solved import kl_to_equal, lowest_temperature


class VMPO(StepSize):
    """V-MPO (Song et al. 2020, arXiv:1909.12238): weights psi proportional to exp(G / T) over the best half of the
    batch's samples, whatever their image, and 0 for the rest. Holds KL(psi || equal weights on that half) <= epsilon,
    by the dual of `kl` over that half; knob `epsilon`, nats.

    Samples of different images are compared by their advantage: an image's mean return is subtracted, in place of the
    paper's learned value. Images count in proportion to what they stand to gain, some not at all, so this is not the
    closed form q*. Samples that tie with the last of the half are in it.
    """

    def __init__(self, k: int, epsilon: float = 0.1) -> None:
        super().__init__()
        require(epsilon > 0, f"epsilon={epsilon} is not positive; try epsilon=0.1")
        self.epsilon = epsilon

    def forward(self, advantage, log_q, beta):
        returns = advantage - beta * log_q
        returns = (returns - returns.mean(0)).flatten().unsqueeze(1)
        half = returns >= returns.kthvalue(returns.numel() // 2 + 1, 0).values
        returns = returns - returns.amax()
        spread = -returns.amin(0)

        def slack(temperature):
            return self.epsilon - kl_to_equal(returns / temperature.unsqueeze(1), half.sum(), half)

        # as for the KL bound
        temperature = root(slack, lowest_temperature(spread, beta), spread / math.sqrt(8 * self.epsilon))
        log_psi = (returns / temperature).where(half, -math.inf).log_softmax(0).view_as(advantage)
        eta = (temperature - beta).clamp(min=0)[0]
        return Step(eta, log_psi + math.log(advantage.shape[1]), within_image(log_psi.exp()), zero_like(log_psi))


def within_image(weights: torch.Tensor) -> torch.Tensor:
    """Effective sample size of weights [k b] that need not sum to 1 over k; 0 where all are 0."""
    relative = weights / weights.amax(0).clamp(min=torch.finfo(weights.dtype).tiny)
    return relative.sum(0).square() / relative.square().sum(0).clamp(min=1)
