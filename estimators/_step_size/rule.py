"""What a step-size rule is."""

import abc
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimators._base import Scalar


@dataclass(frozen=True)
class Step:
    """What a rule decides for one minibatch. All but the loss is detached."""

    eta: Float[Tensor, ""] | Float[Tensor, "b"]
    """Temperature of the bound in nats, at least 0: one per batch, or one per image."""
    log_weights: Float[Tensor, "k b"]
    """Of each sample's log-likelihood under q. The weights sum to 1 over an image's samples; vmpo's only do so on
    average over the batch."""
    ess: Float[Tensor, "b"]
    """Effective sample size of each image, (sum_k w_k)^2 / sum_k w_k^2: between 1 and k, or 0 without any weight."""
    loss: Float[Tensor, ""]
    """Adapts what the rule learns; 0 if nothing."""


class StepSize(nn.Module, abc.ABC):
    learning_rate: float | None = None
    """Of the rule's own parameters, if it has any."""

    @abc.abstractmethod
    def forward(self, advantage: Float[Tensor, "k b"], log_q: Float[Tensor, "k b"], beta: Scalar) -> Step:
        """The step for k samples of b images; inputs are in nats and detached. Never waits for the device."""


def log_weights(
    advantage: Float[Tensor, "k b"], log_q: Float[Tensor, "k b"], eta: Tensor, beta: Scalar
) -> Float[Tensor, "k b"]:
    """Self-normalised log w_k = (A_k - beta log q_k) / (eta + beta), the log of q*/q_theta over the K samples."""
    return ((advantage - beta * log_q) / (eta + beta)).log_softmax(0)


def effective_sample_size(log_w: Float[Tensor, "k b"]) -> Float[Tensor, "b"]:
    """1 / sum_k w_k^2, between 1 and K."""
    return (-(2 * log_w).logsumexp(0)).exp()


def zero_like(values: Tensor) -> Float[Tensor, ""]:
    """The loss of a rule that learns nothing."""
    return torch.zeros((), dtype=values.dtype, device=values.device)
