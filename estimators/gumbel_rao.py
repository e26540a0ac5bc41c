"""Gumbel-Rao: straight-through Gumbel-Softmax, averaged over the noise that its code leaves open."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Choice, Latent, Problem, Range, Space, decay, require
from estimators._categorical import Relaxation, one_hot, sample


class GumbelRao(Relaxation):
    """Rao-Blackwellised straight-through Gumbel-Softmax (Paulus et al. 2021, arXiv:2010.04838). Biased, one decode per
    sample.

    The decoder sees a sampled one-hot; its gradient is handed to the mean of softmax((logits + noise) / temperature)
    over `draws` Gumbel noises under which the argmax is that code. The expectation is that of straight-through
    Gumbel-Softmax at any number of draws, the variance falls with it; each draw holds one tensor of the size of the
    logits until the backward pass. `temperature` > 0, unitless, decays exponentially to `temperature_end` over training
    when that is given.

    The noise depends on the logits through the condition. `total_derivative=true` differentiates through that too, as
    the published DAPS baseline does: a different gradient, which does not have the expectation above.
    """

    # as gumbel_softmax; `draws` cost time and memory
    space: ClassVar[Space] = {"temperature": Range(0.3, 3.0), "temperature_end": Choice((None, 0.5, 0.25, 0.1))}

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 1,
        draws: int = 10,
        temperature: float = 1.0,
        temperature_end: float | None = None,
        total_derivative: bool = False,
    ) -> None:
        super().__init__(latent, k)
        require(draws >= 1, f"draws={draws} inner samples; try draws=10")
        for value in (temperature, temperature_end):
            require(value is None or value > 0, f"temperature {value} is not positive; try temperature=1.0")
        self.draws, self.total_derivative = draws, total_derivative
        self.temperature, self.temperature_end = temperature, temperature_end

    def relax(self, logits: Float[Tensor, "*n l v"], problem: Problem) -> Float[Tensor, "*n l v"]:
        code = sample(logits, problem.noise)
        if self.total_derivative:
            perturbed = perturbed_given(code, logits, self.draws, problem.noise)
        else:
            perturbed = perturbed_given(code, logits.detach(), self.draws, problem.noise) + (logits - logits.detach())
        soft = (perturbed / decay(self.temperature, self.temperature_end, problem.progress)).softmax(-1).mean(0)
        return one_hot(code, logits.shape[-1]) + (soft - soft.detach())


def perturbed_given(
    code: Int[Tensor, "*n"], logits: Float[Tensor, "*n v"], draws: int, noise: torch.Generator | None
) -> Float[Tensor, "draws *n v"]:
    """log q plus Gumbel noise, drawn given that its argmax is the code.

    The largest is -log E_D whatever the code; the others, -log(E_i / q_i), are truncated at it (E ~ Exp(1)).
    """
    log_q = logits.log_softmax(-1)
    exponential = torch.empty(draws, *logits.shape, dtype=logits.dtype, device=logits.device)
    log_e = exponential.exponential_(generator=noise).log()
    chosen = code.expand(draws, *code.shape).unsqueeze(-1)
    log_e_chosen = log_e.gather(-1, chosen)
    return -torch.logaddexp(log_e - log_q, log_e_chosen).scatter(-1, chosen, log_e_chosen)
