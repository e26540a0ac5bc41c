"""Bias and variance of estimators' gradients against enumeration, on an autoencoder of real images whose latent is
small enough to enumerate; and the folders that the lab leaves."""

import copy
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

import estimators
from bench.build import PixelStatistics, Task, build, make_estimator
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.data import Dataset, pixel_statistics
from bench.gradients.draws import CPU, Gradients, Moment, draw, settle
from bench.machine.provenance import hardware, of_code
from bench.records import open_sweep
from bench.records.folder import RunFolder
from bench.seeds import batch_order, noise_generator
from bench.text import counted
from bench.training.run import record_failure, run_columns
from bench.training.step import Trainer
from estimators import Categorical, Estimator, Latent
from estimators.exact import distance_to_optimal, enumerate_codes, objective, score_all

TINY = {"length": 4, "vocab": 4, "width": 16, "heads": 2, "batch_size": 32, "beta": 1.0, "beta_end": 1.0}
"""Settings over the quick preset: 256 codes."""
CHECKPOINTS = (0, 100, 400)
"""Steps of training with the exact gradient at which gradients are measured."""
NO_GRADIENT = "a quantizer has no distribution, hence no exact gradient to compare with"
IMAGES = 8
DRAWS = 256


Variant = tuple[RunConfig, Estimator | str]
"""The network's config, with an estimator and its arguments in place of those that trained it; and that estimator, or
the reason why it is left out."""


def measure(
    folder: Path,
    texts: Sequence[str],
    posteriors: Sequence[Posterior],
    ks: Sequence[int],
    temperatures: Sequence[float],
    dataset: Dataset,
    seed: int,
    overrides: Mapping[str, object],
    say: Callable[[str], None] = print,
) -> None:
    """Measure each estimator at each k and temperature that it has an argument for; `record` says what is left.

    Raises ValueError, before there is a folder, for what does not fit or is too large to enumerate.
    """
    planned = []
    for posterior in posteriors:
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
        enumerate_codes(Latent(config.length, config.vocab, config.width))
        planned.append((config, variants(texts, config, ks, temperatures)))
    open_sweep(folder)
    for config, chosen in planned:
        record(folder, config, dataset, chosen, moments(config, dataset), say)


def variants(
    texts: Sequence[str], config: RunConfig, ks: Sequence[int], temperatures: Sequence[float]
) -> list[Variant]:
    """Each estimator at each k and temperature. The one of the run has the arguments that were recorded with it, the
    others those that the run's preset gives them."""
    preset = Preset(config.dataset, config.preset).arguments(config.posterior)
    found: dict[str, Variant] = {}
    for text in texts:
        spec = estimators.parse(text, preset)
        cls = estimators.available()[spec.name]
        chosen = config.model_copy(update={"estimator": str(spec), "arguments": {}, "device": "cpu"})
        if not cls.has_elbo or (config.posterior == "causal" and not cls.causal_ok):
            found.setdefault(str(spec), (chosen, "factorised posterior only" if cls.has_elbo else NO_GRADIENT))
            continue
        grids = {key: values for key, values in {"k": ks, "temperature": temperatures}.items()
                 if values and key in estimators.options(cls)}  # fmt: skip
        for values in itertools.product(*grids.values()):
            pairs = ",".join(f"{key}={value:g}" for key, value in zip(grids, values, strict=True))
            named = f"{spec}{',' if spec.arguments else ':'}{pairs}" if pairs else str(spec)
            try:
                variant = _made(named, config, preset)
            except ValueError as error:
                variant = chosen.model_copy(update={"estimator": named}), str(error)
            found.setdefault(variant[0].estimator, variant)
    return list(found.values())


def _made(text: str, config: RunConfig, preset: Mapping[str, Mapping[str, object]]) -> Variant:
    """Raises ValueError for arguments that do not fit."""
    spec = estimators.parse(text, preset)
    own = str(spec) == config.estimator
    arguments = config.arguments if own else estimators.arguments(spec, preset)
    chosen = config.model_copy(update={"estimator": str(spec), "arguments": arguments, "device": "cpu"})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return chosen, make_estimator(chosen)


def moments(config: RunConfig, dataset: Dataset) -> Iterator[Moment]:
    """The lab's network at each of CHECKPOINTS and at its end, trained in between with the exact gradient."""
    task = build(config, dataset.shape, PixelStatistics(*pixel_statistics(dataset.train)))
    trainer, x = Trainer(config, task), first_images(task, dataset, IMAGES)
    order = batch_order(len(dataset.train), config.batch_size, config.steps, noise_generator(config.seed, "data", CPU))
    for step, image in enumerate(dataset.train.batches(order)):
        if step in CHECKPOINTS:
            yield Moment(config, step, task, x, DRAWS, _against_enumeration)
        trainer.update(image, step)
    yield Moment(config, config.steps, task, x, DRAWS, _against_enumeration)


def first_images(task: Task, dataset: Dataset, most: int) -> Float[Tensor, "images c h w"]:
    """Of the validation split, as the likelihood takes them."""
    (image,) = dataset.validation.batches([torch.arange(min(most, len(dataset.validation)))])
    return task.model.likelihood.data(image)


def record(
    folder: Path,
    config: RunConfig,
    dataset: Dataset,
    chosen: Sequence[Variant],
    moments: Iterable[Moment],
    say: Callable[[str], None],
) -> None:
    """Leave a run per estimator in an open sweep: its gradients at each moment of the network that `config` trained.

    What is left out is skipped, and what raises has failed, with the reason. Runs that are finished, or that another
    command works on, are left as they are, and `say` says so.
    """
    provenance = {**of_code(), "hardware": hardware(), "dataset": dataset.provenance}
    todo: dict[RunFolder, tuple[str, Estimator]] = {}
    there = 0
    with ExitStack() as locks:
        for measured, made in chosen:
            name = hashlib.sha256(f"gradients/{config.digest}/{measured.estimator}".encode()).hexdigest()[:16]
            run, identity = RunFolder(folder, name), run_columns(measured, name)
            run.queue(identity)
            if not locks.enter_context(run.lock()) or run.finished:
                there += 1
                continue
            goal = {} if isinstance(made, str) or made.goal == Estimator.goal else {"goal": made.goal}
            run.start(identity, {**measured.model_dump(mode="json"), "network": config.estimator, **goal}, provenance)
            run.keep_rows(0)
            if isinstance(made, str):
                run.finish("skipped", reason=made)
            else:
                todo[run] = measured.estimator, made
        if there:
            say(f"{there} of {counted(len(chosen), 'run')} there already; another --out measures them again")
        for moment in moments if todo else ():
            for run, (name, made) in list(todo.items()):
                try:
                    run.append(_rows(moment, name, copy.deepcopy(made), dataset))
                except Exception as error:
                    record_failure(run, error)
                    del todo[run]
        for run in todo:
            run.finish("done")


def _rows(moment: Moment, name: str, estimator: Estimator, dataset: Dataset) -> Iterator[dict[str, object]]:
    config = moment.config
    if name == config.estimator:
        estimator.load_state_dict(moment.task.estimator.state_dict())
    else:
        settle(moment, estimator, dataset)
    found = draw(moment, estimator, noise_generator(config.seed, f"gradients/{name}", CPU))
    cost = {"step": moment.step, "images": moment.step * config.batch_size, "decodes": found.decodes}
    for metric, value in moment.compare(moment, estimator, found).items():
        values = {"metric": metric, "value": value, "n": moment.draws * len(moment.x)}
        yield {**cost, "seconds": math.nan, "split": "validation", "readout": "", **values}


def _against_enumeration(moment: Moment, estimator: Estimator, found: Gradients) -> dict[str, float]:
    """The exact gradient is uphill in the ELBO of the estimator's own q or, for policy search, downhill in KL(q* || q),
    averaged over the q* of every draw: each at the temperature that its image had."""
    latent = moment.task.estimator.latent
    features = moment.task.model.encoder(moment.x).detach().requires_grad_()
    problem = moment.problem(moment.x, features, torch.Generator())
    logits = estimator.logits if isinstance(estimator, Categorical) else lambda params: params
    log_q, log_lik = score_all(problem, enumerate_codes(latent), logits)
    if found.eta is None:
        gain = objective(log_q, log_lik, latent.log_prior, problem.beta)
    else:
        etas, times = found.eta.unique(dim=1, return_counts=True)
        distances = [distance_to_optimal(log_q, log_lik, eta, problem.beta) for eta in etas.unbind(1)]
        gain = -torch.stack(distances, 1) @ (times / times.sum())
    (exact,) = torch.autograd.grad(gain.sum(), features)
    return statistics(found, exact.flatten(1))


def statistics(found: Gradients, exact: Float[Tensor, "images f"]) -> dict[str, float]:
    """Unitless, relative to the exact gradient's squared norm, pooled over images.

    `bias_squared` is unbiased itself (the mean's own sampling error is subtracted), so it can come out slightly
    negative; `bias_error` is its standard error over draws, `snr` the squared mean over the variance of one draw.
    """
    count, scale, variance = found.draws.shape[1], exact.square().sum(), found.variance
    off = found.mean - exact
    # delta method: 4 off' Cov off / n, plus the part from the mean's own noise
    spread = ((found.draws - found.mean[:, None]) * off[:, None]).sum(-1).var(1)
    bias_error = (4 * spread.sum() / count + 2 * (found.draws.var(1).sum(-1) / count).square().sum()).sqrt()
    snr = found.signal / variance if variance > 0 else torch.tensor(math.inf)
    values = {
        "bias_squared": (off.square().sum() - variance / count) / scale,
        "bias_error": bias_error / scale,
        "variance": variance / scale,
        "mse": (found.draws - exact[:, None]).square().sum(-1).mean(1).sum() / scale,
        "cosine": torch.nn.functional.cosine_similarity(found.draws, exact[:, None], dim=-1).mean(),
        "snr": snr,
        "snr_per_decode": snr / found.decodes,
    }
    return {name: value.item() for name, value in values.items()}
