"""Rules that solve for eta on every minibatch. They learn nothing and, at beta = 0, scale eta with the rewards.

They see returns G = A - beta log q and solve for T = eta + beta >= beta. Where even eta = 0 satisfies what a rule asks,
eta is 0: so it is for equal rewards, whose weights are equal at any temperature.
"""

import abc
import math

from jaxtyping import Float
from torch import Tensor

from estimators._base import Scalar, require
from estimators._step_size.learned import check_ess_target
from estimators._step_size.rule import Step, StepSize, effective_sample_size, zero_like
from estimators._step_size.search import maximiser, root

RELATIVE_FLOOR, FLOOR = 1e-9, 1e-30
"""Lowest temperature: relative to the spread of the returns, and in nats. Stands for 0, where weights are those of
the limit already."""


def lowest_temperature(spread: Float[Tensor, "#b"], beta: Scalar) -> Float[Tensor, "#b"]:
    """T at eta = 0."""
    return (RELATIVE_FLOOR * spread).clamp(min=FLOOR).clamp(min=beta)


class Solved(StepSize):
    """One eta per batch, for a quantity averaged over its images; or one per image, for each image's own."""

    def __init__(self, per_image: bool) -> None:
        super().__init__()
        self.per_image = per_image

    @abc.abstractmethod
    def temperature(
        self, returns: Float[Tensor, "k b"], spread: Float[Tensor, "#b"], lowest: Float[Tensor, "#b"]
    ) -> Float[Tensor, "#b"]:
        """T >= lowest, in nats. `returns` are at most 0 in each image, `spread` how far below 0 they reach."""

    def forward(self, advantage, log_q, beta):
        returns = advantage - beta * log_q
        returns = returns - returns.amax(0)
        spread = -returns.amin(0)
        spread = spread if self.per_image else spread.amax(0, keepdim=True)
        temperature = self.temperature(returns, spread, lowest_temperature(spread, beta))
        log_w = (returns / temperature).log_softmax(0)
        eta = (temperature - beta).clamp(min=0)
        return Step(eta if self.per_image else eta[0], log_w, effective_sample_size(log_w), zero_like(log_w))

    def mean(self, values: Float[Tensor, "n b"]) -> Float[Tensor, "n #b"]:
        """Over what one eta is solved for."""
        return values if self.per_image else values.mean(-1, keepdim=True)


class EssSolve(Solved):
    """Effective-sample-size target, hit on every minibatch (ESSPS of Watson & Peters 2022, arXiv:2210.03512; the target
    is that of Drolet et al. 2026, arXiv:2509.24716). Holds the mean ESS over images, or every image's; knob
    `ess_target`, a fraction of K in (1/K, 1).

    ESS increases with T: with a = 1/T, d log ESS / da = 2 (E_a[G] - E_2a[G]) <= 0, as the mean return E_a under weights
    exp(a G) increases with a. It goes to K as T grows; what it falls to at eta = 0 may lie above the target already.
    """

    def __init__(self, k: int, ess_target: float | None = None, per_image: bool = False) -> None:
        super().__init__(per_image)
        self.fraction = check_ess_target(k, ess_target)

    def temperature(self, returns, spread, lowest):
        def excess(temperature):
            weights = (returns / temperature.unsqueeze(1)).exp()
            ess = weights.sum(1).square() / weights.square().sum(1)
            return self.mean(ess) - self.fraction * len(returns)

        # log(K / ESS) <= (spread / T)^2 / 2, by Hoeffding's lemma; with one sample any temperature will do
        widest = spread / math.sqrt(-2 * math.log(min(self.fraction, 0.999)))
        return root(excess, lowest, widest)


class KLBound(Solved):
    """KL bound: the temperature that solves the dual of REPS (Peters et al. 2010) and MPO (Abdolmaleki et al. 2018,
    arXiv:1806.06920, arXiv:1812.02256) with an entropy term. Holds mean_x KL(q* || q) <= epsilon, or every image's, as
    the samples see it: KL of the weights to 1/K, less than log K; knob `epsilon`, nats.

    The Lagrangian of max over q' of mean_x E_q'[A] + beta H(q') with mean_x KL(q' || q) <= epsilon is largest at q*,
    proportional to q exp(G / T), where it is g(eta) = eta epsilon + T mean_x log E_q[exp(G / T)]. g is convex, a
    supremum of functions linear in eta, and so is its sample estimate, as T log-sum-exp(G / T) is the perspective of a
    convex function. g'(eta) = epsilon - mean_x KL: eta is its root, or 0 where the KL at T = beta is below epsilon.
    """

    def __init__(self, k: int, epsilon: float = 0.5, per_image: bool = False) -> None:
        super().__init__(per_image)
        require(epsilon > 0, f"epsilon={epsilon} is not positive; try epsilon=0.5")
        require(
            epsilon < math.log(k) or k == 1,
            f"epsilon={epsilon} with k={k}: the weights of {k} samples are never more than log {k} = {math.log(k):.3g} "
            f"nats from equal; try epsilon={math.log(k) / 4:.2g}",
        )
        self.epsilon = epsilon

    def temperature(self, returns, spread, lowest):
        def slack(temperature):
            return self.epsilon - self.mean(kl_to_equal(returns / temperature.unsqueeze(1), len(returns)))

        # KL <= (spread / T)^2 / 8, as the derivative of KL in 1/T is T^-1 times a variance of at most spread^2 / 4
        return root(slack, lowest, spread / math.sqrt(8 * self.epsilon))


def kl_to_equal(
    exponent: Float[Tensor, "n k b"], count: Tensor | int, mask: Tensor | float = 1.0
) -> Float[Tensor, "n b"]:
    """KL(w || equal weights) in nats, for w proportional to exp(exponent) over the `count` samples `mask` leaves."""
    weights = exponent.exp() * mask
    total = weights.sum(1)
    return (weights * exponent).sum(1) / total - (total / count).log()


class LowerBound(Solved):
    """LBPS (Watson & Peters 2022, arXiv:2210.03512): the temperature at which a lower confidence bound of the expected
    return E_q*[G] is highest. It is the estimate sum_k w_k G_k less |G| sqrt((1 - delta) / (delta ESS)), an error which
    importance sampling exceeds with probability delta at most (Metelli et al. 2018, arXiv:1809.06098). Bounds no
    divergence; knob `delta` in (0, 1): the smaller, the shorter the step.

    |G| is the spread of an image's returns over its samples, which no baseline changes. One eta per batch maximises
    the mean of the images' bounds.
    """

    def __init__(self, k: int, delta: float = 0.3, per_image: bool = False) -> None:
        super().__init__(per_image)
        require(0 < delta < 1, f"delta={delta} is not between 0 and 1; try delta=0.3")
        self.penalty = math.sqrt((1 - delta) / delta)
        self.k = k

    def temperature(self, returns, spread, lowest):
        error = self.penalty * -returns.amin(0)

        def bound(temperature):
            weights = (returns / temperature.unsqueeze(1)).exp()
            total = weights.sum(1)
            gain = (weights * returns).sum(1) / total
            return self.mean(gain - error * weights.square().sum(1).sqrt() / total)

        # beyond this the bound falls with T: its slope in 1/T is near Var[G] (1 - penalty spread / (T sqrt K))
        widest = 4 * max(1.0, self.penalty / math.sqrt(self.k)) * spread
        return maximiser(bound, lowest, widest)
