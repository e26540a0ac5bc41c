"""Gradients that an estimator draws on a network that is held fixed.

They are taken with respect to the encoder's features of single images. An image is repeated once per draw, so that one
backward pass gives all draws of a batch: nothing in the networks couples the images of a batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bench.build import Task
from bench.config import RunConfig
from bench.data import Dataset
from bench.seeds import batch_order, noise_generator
from bench.training.step import beta_at, progress_at
from estimators import Estimator, Problem

BATCH = 2**16
"""Decodes of one backward pass."""
WARMUP = 100
"""Batches on which an estimator's own averages and parameters settle, the network held fixed."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Gradients:
    """Draws of one estimator's gradient with respect to each image's features, negated: uphill in the objective."""

    draws: Float[Tensor, "images draws f"]
    decodes: int
    eta: Float[Tensor, "images draws"] | None
    """Temperature of policy search at each draw, in nats."""

    @property
    def mean(self) -> Float[Tensor, "images f"]:
        return self.draws.mean(1)

    @property
    def variance(self) -> Tensor:
        """Of one draw, over all features and images."""
        return self.draws.var(1).sum()

    @property
    def signal(self) -> Tensor:
        """The squared norm of the mean, less its own sampling error."""
        return self.mean.square().sum() - self.variance / self.draws.shape[1]


@dataclass(frozen=True)
class Moment:
    """A network at a step of its training, and what is measured there."""

    config: RunConfig
    step: int
    task: Task
    x: Float[Tensor, "images c h w"]
    """As the likelihood takes them."""
    draws: int
    compare: "Callable[[Moment, Estimator, Gradients], Mapping[str, float]]"
    """Values by metric."""

    @property
    def progress(self) -> float:
        return progress_at(self.config, self.step)

    def problem(self, x: Tensor, features: Tensor, noise: torch.Generator) -> Problem:
        """What an estimator is given at that step, the encoder cut off at its features."""
        model, beta = self.task.model, beta_at(self.config, self.progress)
        posterior, patches = model.posterior.bind(features), self.task.patches(x)
        return Problem(
            posterior, posterior, lambda code: model.log_lik(code, x), beta, self.progress, noise, features, patches
        )


def settle(moment: Moment, estimator: Estimator, dataset: Dataset) -> None:
    """Let an estimator's own averages and parameters adapt to the network, which is held fixed."""
    if not estimator.state_dict():
        return
    config, model = moment.config, moment.task.model
    groups = estimator.param_groups(config.lr)
    optimiser = torch.optim.AdamW(groups) if groups else None
    noise, data = (noise_generator(config.seed, stream, CPU) for stream in ("noise", "data"))
    parameters = [parameter for group in groups for parameter in group["params"]]
    for image in dataset.train.batches(batch_order(len(dataset.train), config.batch_size, WARMUP, data)):
        x = model.likelihood.data(image)
        with torch.no_grad():
            features = model.encoder(x)
        # relaxations and score functions differentiate through the head alone here
        loss = estimator.loss(moment.problem(x, features.requires_grad_(), noise)).loss
        if optimiser is not None:
            optimiser.zero_grad()
            loss.backward(inputs=parameters)
            optimiser.step()


def draw(moment: Moment, estimator: Estimator, noise: torch.Generator) -> Gradients:
    """Independent gradients of each image, as many from one backward pass as fit BATCH decodes."""
    with torch.no_grad():
        features = moment.task.model.encoder(moment.x)
    batch = max(1, BATCH // (len(features) * getattr(estimator, "k", 1)))
    uphill, etas, decodes = [], [], 0
    for part in torch.arange(moment.draws).split(batch):
        repeated = features.repeat_interleave(len(part), 0).requires_grad_()
        estimate = estimator.loss(moment.problem(moment.x.repeat_interleave(len(part), 0), repeated, noise))
        (gradient,) = torch.autograd.grad(estimate.loss, repeated)
        # the loss is a mean over images: undo that for the gradient of each
        uphill.append(-gradient.flatten(1).unflatten(0, (len(features), len(part))) * len(repeated))
        decodes = estimate.decodes
        if estimator.policy_search:
            assert estimate.eta is not None, "policy search says at which temperature"
            etas.append(estimate.eta.expand(len(repeated)).unflatten(0, (len(features), len(part))))
    return Gradients(torch.cat(uphill, 1), decodes, torch.cat(etas, 1) if etas else None)
