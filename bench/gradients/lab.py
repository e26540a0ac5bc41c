"""The gradient lab: bias and variance of estimators against enumeration, on an autoencoder of real images whose latent
is small enough to enumerate.

Gradients are taken with respect to the encoder's features of single images. An image is repeated once per draw, so that
one backward pass gives all draws of a batch: nothing in the networks couples the images of a batch.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

import estimators
from bench.build import PixelStatistics, Task, build
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.data import Dataset, pixel_statistics
from bench.seeds import batch_order, noise_generator
from bench.training.step import Trainer
from estimators import Estimator, Problem
from estimators.exact import distance_to_optimal, enumerate_codes, objective, score_all

TINY = {"length": 4, "vocab": 4, "width": 16, "heads": 2, "batch_size": 32, "beta": 1.0, "beta_end": 1.0}
"""Settings over the quick preset: 256 codes."""
CHECKPOINTS = (0, 100, 400)
"""Steps of training with the exact gradient at which gradients are measured."""
IMAGES = 8
DRAWS = 256
BATCH = 2**16
"""Decodes of one backward pass."""
WARMUP = 100
"""Batches on which an estimator's own averages and parameters settle, the network held fixed."""


@dataclass(frozen=True)
class Gradients:
    """Draws of one estimator's gradient with respect to each image's features, negated: uphill in the objective."""

    draws: Float[Tensor, "images draws f"]
    decodes: int
    eta: float | None
    """Temperature of policy search, in nats."""


def toy_config(posterior: Posterior, dataset: Dataset, seed: int, overrides: Mapping[str, object]) -> RunConfig:
    """The run that trains the lab's network with the exact gradient. Raises ValueError if it cannot be enumerated."""
    config = resolve(
        estimator="exact",
        posterior=posterior,
        preset=Preset(dataset.name, "quick"),
        seed=seed,
        device="cpu",
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        shape=dataset.shape,
        metrics=(),
        overrides={**TINY, "steps": max(CHECKPOINTS), **overrides},
    )
    enumerate_codes(estimators.Latent(config.length, config.vocab, config.width))
    return config


def checkpoints(config: RunConfig, dataset: Dataset) -> Iterator[tuple[int, Task]]:
    """The lab's network at each of CHECKPOINTS, trained in between with the exact gradient."""
    task = build(config, dataset.shape, PixelStatistics(*pixel_statistics(dataset.train)))
    trainer = Trainer(config, task)
    generator = noise_generator(config.seed, "data", torch.device("cpu"))
    order = batch_order(len(dataset.train), config.batch_size, config.steps, generator)
    for step, image in enumerate(dataset.train.batches(order)):
        if step in CHECKPOINTS:
            yield step, task
        trainer.update(image, step)
    yield config.steps, task


def variants(
    texts: Sequence[str], config: RunConfig, ks: Sequence[int], temperatures: Sequence[float]
) -> Iterator[tuple[str, Estimator | str]]:
    """Each estimator at each k and temperature that it has an argument for, or the reason why it is left out."""
    preset = Preset(config.dataset, "quick").arguments(config.posterior)
    latent = estimators.Latent(config.length, config.vocab, config.width)
    seen = set()
    for text in texts:
        spec = estimators.parse(text, preset)
        cls = estimators.available()[spec.name]
        if not cls.has_elbo:
            yield str(spec), "a quantizer has no distribution, hence no exact gradient to compare with"
            continue
        if config.posterior == "causal" and not cls.causal_ok:
            yield str(spec), "factorised posterior only"
            continue
        grids = {"k": ks, "temperature": temperatures}
        grids = {key: values for key, values in grids.items() if values and key in estimators.options(cls)}
        for arguments in _product(grids):
            named = _with(str(spec), arguments)
            try:
                name = str(estimators.parse(named, preset))
                if name not in seen:
                    seen.add(name)
                    with torch.random.fork_rng(devices=[]):
                        torch.manual_seed(config.seed)
                        yield name, estimators.load(named, latent, preset)
            except ValueError as error:
                yield named, str(error)


def _product(grids: Mapping[str, Sequence[float]]) -> Iterator[dict[str, float]]:
    if not grids:
        yield {}
        return
    key, *rest = grids
    for value in grids[key]:
        for others in _product({other: grids[other] for other in rest}):
            yield {key: value, **others}


def _with(spec: str, arguments: Mapping[str, float]) -> str:
    name, _, given = spec.partition(":")
    pairs = [given] if given else []
    return f"{name}:{','.join(pairs + [f'{key}={value:g}' for key, value in arguments.items()])}"


def problem(task: Task, x: Tensor, features: Tensor, beta: float, noise: torch.Generator) -> Problem:
    """The estimators' problem with the encoder cut off at its features."""
    posterior = task.model.posterior.bind(features)
    return Problem(
        posterior,
        posterior,
        lambda code: task.model.log_lik(code, x),
        beta,
        0.0,
        noise,
        features,
        task.patches(x),
    )


def settle(task: Task, estimator: Estimator, dataset: Dataset, config: RunConfig) -> None:
    """Let an estimator's own averages and parameters adapt to the network, which is held fixed."""
    if not estimator.state_dict():
        return
    groups = estimator.param_groups(config.lr)
    optimiser = torch.optim.AdamW(groups) if groups else None
    noise = noise_generator(config.seed, "noise", torch.device("cpu"))
    data = noise_generator(config.seed, "data", torch.device("cpu"))
    parameters = [parameter for group in groups for parameter in group["params"]]
    for image in dataset.train.batches(batch_order(len(dataset.train), config.batch_size, WARMUP, data)):
        x = task.model.likelihood.data(image)
        with torch.no_grad():
            features = task.model.encoder(x)
        # relaxations and score functions differentiate through the head alone here
        loss = estimator.loss(problem(task, x, features.requires_grad_(), config.beta, noise)).loss
        if optimiser is not None:
            optimiser.zero_grad()
            loss.backward(inputs=parameters)
            optimiser.step()


def draw(task: Task, estimator: Estimator, x: Tensor, draws: int, beta: float, noise: torch.Generator) -> Gradients:
    """`draws` independent gradients of each image, as many from one backward pass as fit BATCH decodes."""
    with torch.no_grad():
        features = task.model.encoder(x)
    batch = min(draws, max(1, BATCH // (len(x) * getattr(estimator, "k", 1))))
    found = [_draw(task, estimator, x, features, len(part), beta, noise) for part in torch.arange(draws).split(batch)]
    return Gradients(torch.cat([part.draws for part in found], 1), found[0].decodes, found[0].eta)


def _draw(
    task: Task, estimator: Estimator, x: Tensor, features: Tensor, draws: int, beta: float, noise: torch.Generator
) -> Gradients:
    repeated = features.repeat_interleave(draws, 0).requires_grad_()
    estimate = estimator.loss(problem(task, x.repeat_interleave(draws, 0), repeated, beta, noise))
    (gradient,) = torch.autograd.grad(estimate.loss, repeated)
    # the loss is a mean over images: undo that for the gradient of each
    uphill = -gradient.flatten(1).unflatten(0, (len(x), draws)) * len(repeated)
    eta = estimate.terms["eta"].item() if estimator.policy_search else None
    return Gradients(uphill, estimate.decodes, eta)


def exact_gradient(task: Task, x: Tensor, beta: float, eta: float | None) -> Float[Tensor, "images f"]:
    """By enumeration: uphill in the ELBO, or, given eta, downhill in KL(q* || q), which policy search descends."""
    features = task.model.encoder(x).detach().requires_grad_()
    latent = task.estimator.latent
    log_q, log_lik = score_all(problem(task, x, features, beta, torch.Generator()), enumerate_codes(latent))
    if eta is None:
        gain = objective(log_q, log_lik, latent.log_prior, beta)
    else:
        gain = -distance_to_optimal(log_q, log_lik, eta, beta)
    return torch.autograd.grad(gain.sum(), features)[0].flatten(1)


def statistics(found: Gradients, exact: Float[Tensor, "images f"]) -> dict[str, float]:
    """Unitless, relative to the exact gradient's squared norm, pooled over images.

    `bias_squared` is unbiased itself (the mean's own sampling error is subtracted), so it can come out slightly
    negative; `bias_error` is its standard error over draws, `snr` the squared mean over the variance of one draw.
    """
    count = found.draws.shape[1]
    scale = exact.square().sum()
    mean = found.draws.mean(1)
    variance = found.draws.var(1).sum()
    off = mean - exact
    # delta method: 4 off' Cov off / n, plus the part from the mean's own noise
    spread = ((found.draws - mean[:, None]) * off[:, None]).sum(-1).var(1)
    bias_error = (4 * spread.sum() / count + 2 * (found.draws.var(1).sum(-1) / count).square().sum()).sqrt()
    signal = mean.square().sum() - variance / count
    cosine = torch.nn.functional.cosine_similarity(found.draws, exact[:, None], dim=-1).mean()
    values = {
        "bias_squared": (off.square().sum() - variance / count) / scale,
        "bias_error": bias_error / scale,
        "variance": variance / scale,
        "mse": (found.draws - exact[:, None]).square().sum(-1).mean(1).sum() / scale,
        "cosine": cosine,
        "snr": signal / variance if variance > 0 else torch.tensor(math.inf),
        "snr_per_decode": signal / variance / found.decodes if variance > 0 else torch.tensor(math.inf),
    }
    return {name: value.item() for name, value in values.items()}


def measure(
    texts: Sequence[str],
    posteriors: Sequence[Posterior],
    ks: Sequence[int],
    temperatures: Sequence[float],
    dataset: Dataset,
    seed: int,
    overrides: Mapping[str, object],
) -> Iterator[dict[str, object]]:
    """Rows in the columns of `records`; an estimator that is left out gives one row of metric `skipped` with its reason
    as `readout`."""
    for posterior in posteriors:
        config = toy_config(posterior, dataset, seed, overrides)
        x_images = next(iter(dataset.test.batches([torch.arange(min(IMAGES, len(dataset.test)))])))
        for step, task in checkpoints(config, dataset):
            x = task.model.likelihood.data(x_images)
            for name, made in variants(texts, config, ks, temperatures):
                where = _where(config, name, step)
                if isinstance(made, str):
                    yield {**where, "metric": "skipped", "readout": made, "value": math.nan, "n": 0}
                    continue
                settle(task, made, dataset, config)
                noise = noise_generator(seed, f"gradients/{name}", torch.device("cpu"))
                found = draw(task, made, x, DRAWS, config.beta, noise)
                exact = exact_gradient(task, x, config.beta, found.eta)
                for metric, value in statistics(found, exact).items():
                    yield {**where, "decodes": found.decodes, "metric": metric, "value": value, "n": DRAWS * len(x)}


def _where(config: RunConfig, name: str, step: int) -> dict[str, object]:
    digest = hashlib.sha256(f"gradients/{config.digest}/{name}".encode()).hexdigest()[:16]
    shared = {column: getattr(config, column) for column in ("posterior", "dataset", "preset", "seed", "device")}
    cost = {"step": step, "images": step * config.batch_size, "decodes": 0, "seconds": math.nan}
    return {"run": digest, "estimator": name, **shared, **cost, "split": "test", "readout": ""}
