"""REBAR: the score function, with the relaxed likelihood as its control variate."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimators._base import Estimate, Latent, Problem, Range, Space, require
from estimators._categorical import Categorical, one_hot


class REBAR(Categorical):
    """Score function with the relaxed likelihood as control variate (Tucker et al. 2017, arXiv:1703.07370). Unbiased,
    two decodes per sample, differentiated twice.

    The code is the argmax of z, log q plus Gumbel noise; c = `eta` times the log-likelihood of softmax(z /
    `temperature`). Both (unitless, temperature > 0) are only where they start: they are fitted to minimise the
    estimator's variance. The noise of z and of its conditional on the code is tied, as in the published
    implementation, so that c is decoded once. The KL term is exact.

    The posterior must be factorised: a causal one would have to be rolled out twice, through relaxed codes and through
    their conditional on the hard one.
    """

    causal_ok = False
    unbiased = True
    # where they start: both are learned
    space: ClassVar[Space] = {"eta": Range(0.3, 3.0), "temperature": Range(0.1, 1.0)}

    def __init__(self, latent: Latent, *, k: int = 1, eta: float = 1.0, temperature: float = 0.5) -> None:
        super().__init__(latent)
        require(k >= 1, f"k={k} samples per image; k must be at least 1")
        require(temperature > 0, f"temperature={temperature} is not positive; try temperature=0.5")
        self.k = k
        self.eta = nn.Parameter(torch.tensor(eta))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def control(self, soft: Float[Tensor, "k b L v"], problem: Problem) -> Float[Tensor, "k b"]:
        """c in nats, of relaxed codes."""
        return self.eta * problem.log_lik(soft)

    def loss(self, problem: Problem) -> Estimate:
        z, logits = problem.posterior.rollout(lambda params: perturbed(params, problem.noise), self.k)
        z.requires_grad_()
        log_lik = problem.log_lik(z.argmax(-1))
        control = self.control((z / self.log_temperature.exp()).softmax(-1), problem)
        gradient = logit_gradient(log_lik.detach(), control, z, logits.detach())
        # the estimator is unbiased whatever its parameters, so that its second moment and its variance differ by a
        # constant
        second_moment = gradient.square().sum((-2, -1)).mean()
        kl = self.kl(logits)
        loss = (problem.beta * kl - log_lik).mean() - (gradient.detach() * logits).sum((-2, -1)).mean()
        terms = {
            "log_lik": log_lik.detach().mean(),
            "kl": kl.detach().mean(),
            "second_moment": second_moment.detach(),
            "eta": self.eta.detach().clone(),
            "temperature": self.log_temperature.detach().exp(),
        }
        return Estimate(loss + gradient_only(second_moment, list(self.parameters())), terms, decodes=2 * self.k)

    def param_groups(self, lr: float) -> list[dict]:
        # the second moment is in squared nats: Adam is indifferent to its scale, clipping is not
        return [{"params": list(self.parameters()), "lr": lr, "weight_decay": 0.0, "clip": False}]


def perturbed(logits: Float[Tensor, "*n v"], noise: torch.Generator | None) -> Float[Tensor, "*n v"]:
    """log q plus Gumbel noise, detached; its argmax is a sample."""
    log_q = logits.detach().log_softmax(-1)
    exponential = torch.empty_like(log_q, memory_format=torch.contiguous_format)
    return log_q - exponential.exponential_(generator=noise).log()


def logit_gradient(
    log_lik: Float[Tensor, "k b"],
    control: Float[Tensor, "k b"],
    z: Float[Tensor, "k b L v"],
    logits: Float[Tensor, "k b L v"],
) -> Float[Tensor, "k b L v"]:
    """(log_lik - c(z~)) grad log q(code) + grad c(z) - grad c(z~) with respect to the logits, differentiable in c.

    z~ is drawn from p(z | code), with its noise chosen so that z~ = z. Then c(z~) = c(z), and only their paths to log q
    differ: every z_i moves with log q_i one to one; of z~, the code's own -log E_D does not move, and any other,
    -log(E_i / q_i + E_D), moves by 1 - exp(z_i - z_D). That leaves exp(z_i - z_D) of the slope of c.
    """
    (slope,) = torch.autograd.grad(control.sum(), z, create_graph=True)
    probs = logits.softmax(-1)
    score = one_hot(z.argmax(-1), z.shape[-1]) - probs
    path = slope * (z - z.amax(-1, keepdim=True)).exp().detach()
    return (log_lik - control)[..., None, None] * score + path - probs * path.sum(-1, keepdim=True)


def gradient_only(objective: Float[Tensor, ""], parameters: list[nn.Parameter]) -> Float[Tensor, ""]:
    """A scalar with the gradient of `objective` for these parameters, and none for whatever else it depends on."""
    gradients = torch.autograd.grad(objective, parameters)
    return torch.stack([(p * g).sum() for p, g in zip(parameters, gradients, strict=True)]).sum()
