"""RELAX: REBAR with a learned term in its control variate."""

from jaxtyping import Float
from torch import Tensor, nn

from estimators._base import Latent, Problem
from estimators.rebar import REBAR

HIDDEN = 64


class RELAX(REBAR):
    """REBAR plus a learned control variate (Grathwohl et al. 2018, arXiv:1711.00123). Unbiased, two decodes per
    sample, differentiated twice.

    c is that of REBAR plus a small network of each position's relaxed code and encoder feature (detached), summed over
    positions; it starts at zero. All of c is fitted to minimise the variance. Arguments, and why the posterior must be
    factorised: as for REBAR.
    """

    def __init__(self, latent: Latent, *, k: int = 1, eta: float = 1.0, temperature: float = 0.5) -> None:
        super().__init__(latent, k=k, eta=eta, temperature=temperature)
        self.of_code = nn.Linear(latent.vocab, HIDDEN)
        self.of_image = nn.Linear(latent.width, HIDDEN, bias=False)
        self.of_both = nn.Linear(HIDDEN, 1)
        for parameter in self.of_both.parameters():
            nn.init.zeros_(parameter)

    def control(self, soft: Float[Tensor, "k b L v"], problem: Problem) -> Float[Tensor, "k b"]:
        if problem.features is None:
            raise ValueError("relax needs encoder features: set Problem.features, or use rebar")
        hidden = nn.functional.silu(self.of_code(soft) + self.of_image(problem.features.detach()))
        return super().control(soft, problem) + self.of_both(hidden).squeeze(-1).sum(-1)
