"""Control variates for score functions: what is subtracted from the return before it weighs the score.

Each is called with the returns of one minibatch and gives a baseline that does not depend on the sample it is
subtracted from, which is what keeps the estimator unbiased.
"""

import abc

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimators._base import Problem


class Baseline(nn.Module, abc.ABC):
    @abc.abstractmethod
    def forward(
        self, returns: Float[Tensor, "k b"], problem: Problem
    ) -> tuple[Float[Tensor, "k b"], Float[Tensor, ""]]:
        """The baseline in nats, and a loss that fits whatever it learns (0 if nothing)."""


class NoBaseline(Baseline):
    """Zero."""

    def forward(self, returns, problem):
        return torch.zeros_like(returns), returns.new_zeros(())


class LeaveOneOut(Baseline):
    """Mean return of the other k - 1 samples of the same image (Kool et al. 2019)."""

    def forward(self, returns, problem):
        others = returns.shape[0] - 1
        return (returns.sum(0) - returns) / others, returns.new_zeros(())


class MovingAverage(Baseline):
    """Exponential moving average of past batches' mean return; the first batch sees 0."""

    mean: Tensor
    square: Tensor
    weight: Tensor

    def __init__(self, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        for name in ("mean", "square", "weight"):
            self.register_buffer(name, torch.zeros(()))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of past returns, in nats."""
        weight = self.weight.clamp(min=torch.finfo(self.weight.dtype).tiny)
        mean = self.mean / weight
        deviation = (self.square / weight - mean.square()).clamp(min=0).sqrt()
        return mean, deviation.clamp(min=1.0)

    def update(self, returns: Tensor) -> None:
        rate = 1 - self.momentum
        self.mean.lerp_(returns.mean(), rate)
        self.square.lerp_(returns.square().mean(), rate)
        self.weight.lerp_(torch.ones_like(self.weight), rate)

    def forward(self, returns, problem):
        mean, _ = self.statistics()
        baseline = mean.expand_as(returns).clone()
        self.update(returns)
        return baseline, returns.new_zeros(())


class Critic(MovingAverage):
    """Input-dependent baseline on top of the moving average (NVIL, Mnih & Gregor 2014, arXiv:1402.0030).

    A small network on the mean encoder feature, detached, fitted by squared error to the centred and scaled return.
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        self.network = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), last)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, returns, problem):
        if problem.features is None:
            raise ValueError("baseline=critic needs encoder features: set Problem.features, or use baseline=loo")
        mean, deviation = self.statistics()
        value = self.network(problem.features.detach().mean(1)).squeeze(-1)
        fit = (value - (returns - mean) / deviation).square().mean()
        baseline = (mean + deviation * value.detach()).expand_as(returns)
        self.update(returns)
        return baseline, fit
