"""The interface every estimator implements: a Problem goes in, the scalar whose gradient is the update comes out.

Axes: k samples, b batch, l latent positions (L all of them), v vocabulary, p head width, c code width, d feature width.
"""

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Code = Int[Tensor, "k b L"] | Float[Tensor, "k b L c"]
"""Hard categorical codes are integer indices (one-hots of 1024 x 1024 would take gigabytes);
relaxed codes and quantizer vectors are floats. Networks embed either kind."""

Draw = Callable[[Tensor], Tensor]
"""Head output [*n l p] -> code, each position on its own: a causal posterior calls it with l = 1 per step,
a factorised one once with l = L."""


Scalar = float | Float[Tensor, ""]
"""A number on the host; or on the device, where a step is recorded once and replayed: nothing there may wait to read
it, as `if problem.progress > 0.5` would."""


@dataclass(frozen=True)
class Latent:
    """The bottleneck all estimators share: `length` positions of `vocab` codes, embedded in `width` dimensions."""

    length: int
    vocab: int
    width: int

    @property
    def log_prior(self) -> float:
        """log p(z) in nats, the same for every code: the prior is uniform."""
        return -self.length * math.log(self.vocab)


@runtime_checkable
class Posterior(Protocol):
    """q(z | x), bound to the features of one minibatch. Same face, factorised or causal."""

    def rollout(self, draw: Draw, k: int) -> tuple[Tensor, Float[Tensor, "k b L p"]]:
        """k codes per item, with the head outputs that produced them. A causal posterior feeds each
        drawn code back, so gradients flow through sampling if and only if `draw` lets them."""
        ...

    def replay(self, code: Tensor) -> Float[Tensor, "k b L p"]:
        """Head outputs for given codes in one parallel pass. Score functions sample under no_grad,
        then differentiate only this."""
        ...


@runtime_checkable
class ReadsReplay(Protocol):
    """A posterior that need not have all head outputs in memory at once."""

    def read_replay(
        self, code: Tensor, read: Callable[[Tensor, Tensor], Float[Tensor, "k b t"]]
    ) -> Float[Tensor, "k b L"]:
        """`read(replay(code), code)`, for a `read` of each position on its own."""
        ...


@dataclass(frozen=True)
class Patches:
    """Which pixels lie near which latent position: position l of the code stands for the l-th patch of the image."""

    grid: tuple[int, int]
    """Rows and columns, in reading order: L = rows * columns."""
    log_lik: Callable[[Tensor], Float[Tensor, "k b L"]]
    """log p(x|z) in nats of each patch's pixels. Decodes like Problem.log_lik, which is its sum over patches."""


@dataclass(frozen=True)
class Problem:
    """Maximise E_q[log p(x|z)] - beta * KL(q(z|x) || uniform), in nats, for an x the estimator never sees."""

    posterior: Posterior
    behaviour: Posterior
    """Snapshot `lag` updates old; the same object when lag == 0."""
    log_lik: Callable[[Tensor], Float[Tensor, "k b"]]
    beta: Scalar
    """Weight of the KL term."""
    progress: Scalar
    """0 at the first step, 1 at the end, for schedules."""
    noise: torch.Generator | None = None
    """Source of all randomness of the estimator; None is torch's global generator."""
    features: Float[Tensor, "b L d"] | None = None
    """Encoder features of the minibatch, for learned baselines."""
    patches: Patches | None = None
    """Of a decoder that draws the neighbourhood of each position; None if any code may change any pixel."""


@dataclass(frozen=True)
class Estimate:
    loss: Float[Tensor, ""]
    """Backpropagate once; its value means nothing across estimators."""
    terms: dict[str, Float[Tensor, ""]]
    """Detached diagnostics: ess, eta, temperature, ..."""
    decodes: int
    """Decoder evaluations per image, for compute-matched comparison."""
    eta: Float[Tensor, ""] | Float[Tensor, "b"] | None = None
    """Of policy search, the temperature in nats of the q* that this is a step to: one, or one per image; detached."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them."""

    low: float
    high: float
    log: bool = True
    """Every factor as likely as every other, and not every difference."""
    whole: bool = False


@dataclass(frozen=True)
class Choice:
    values: tuple[object, ...]


Space = Mapping[str, Range | Choice]
"""By argument."""
UNDECLARED: Space = {}


class Estimator(nn.Module, abc.ABC):
    """May own parameters (codebook, log eta, critic) and state (moving averages).

    A subclass takes the shared `Latent` and then its own keyword arguments, annotated and with defaults: these
    are what `name:key=value` on the command line sets. Arguments that fit nothing raise ValueError.
    """

    causal_ok: ClassVar[bool] = True
    """Quantizers emit vectors and need the factorised posterior."""
    unbiased: ClassVar[bool] = False
    """A claim about the ELBO gradient; a shared test holds it."""
    goal: str = "the ELBO"
    """What the encoder's updates follow, in a few words: what captions say of it. `unbiased` is a claim about the ELBO
    alone."""
    policy_search: bool = False
    """Whether that is KL(q* || q), at the temperature Estimate.eta."""
    local: ClassVar[bool] = False
    """Whether it is meant for decoders with Problem.patches."""
    has_elbo: ClassVar[bool] = True
    """Whether q(z|x) is a distribution, so that an ELBO exists."""
    oracle: ClassVar[bool] = False
    """Whether it is what the others are tested against and no contender: a comparison of all leaves it out."""
    space: ClassVar[Space] = UNDECLARED
    """What tuning may set, by argument, instead of what can be read off the constructor. Never what changes bits or
    decodes: `k`."""
    lag: int = 0
    """Updates between refreshes of Problem.behaviour; 0: no snapshot is kept."""

    head_width: int
    """p, what the encoder's head must emit per position."""
    code_width: int | None = None
    """c for estimators whose codes are vectors; None for indices and one-hots of the vocabulary."""

    def __init__(self, latent: Latent) -> None:
        super().__init__()
        self.latent = latent

    @abc.abstractmethod
    def loss(self, problem: Problem) -> Estimate:
        """One training estimate for one minibatch."""

    @abc.abstractmethod
    def hard(self, params: Float[Tensor, "*n l p"], noise: torch.Generator | None = None) -> Tensor:
        """Evaluation code: sampled index, nearest vector, rounded levels."""

    def mode(self, params: Float[Tensor, "*n l p"]) -> Tensor:
        """Evaluation code without randomness. For deterministic quantizers it is `hard`."""
        return self.hard(params)

    @abc.abstractmethod
    def index(self, code: Tensor) -> Int[Tensor, "*n l"]:
        """Vocabulary index of each code, for usage and perplexity."""

    @abc.abstractmethod
    def kl(self, params: Float[Tensor, "*n l p"]) -> Float[Tensor, "*n"]:
        """KL to uniform in nats, summed over positions; L log v for quantizers."""

    def param_groups(self, lr: float) -> list[dict]:
        """Optimiser groups for what the estimator owns. `clip=False` leaves a group out of gradient clipping."""
        own = list(self.parameters())
        return [{"params": own, "lr": lr, "weight_decay": 0.0}] if own else []


def decay(start: float, end: float | None, progress: Scalar) -> Scalar:
    """Exponential interpolation from start to end as progress goes from 0 to 1; constant when end is None."""
    return start if end is None else start * (end / start) ** progress


def require(condition: bool, message: str) -> None:
    """Raise ValueError(message) unless the condition holds: for arguments that people type."""
    if not condition:
        raise ValueError(message)
