"""The training loop, on one page."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Int, UInt8
from safetensors.torch import save
from torch import Tensor

from bench.build import Task
from bench.config import RunConfig
from bench.data import Dataset
from bench.memory import peak_memory, reset_peak_memory
from bench.metrics import COSTLY, Measurement, Readout, evaluate, noise_generator, reconstructions
from bench.records import RunFolder, write_atomically

SAMPLE_IMAGES = 12
TRAIN_METRICS = ("log_lik", "kl", "grad_norm")
"""Diagnostics that mean the same for every estimator; all others are rows named term/..."""


class Diverged(Exception):
    """The loss or its gradient was not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss or its gradient was not finite at step {step}")
        self.step = step


@dataclass
class Cost:
    """What training had cost so far; `seconds` leaves evaluation out."""

    step: int = 0
    images: int = 0
    decodes: int = 0
    seconds: float = 0.0


def batch_order(n: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[Int[Tensor, "b"]]:
    """Indices of each step's minibatch: one permutation of the data after another, cut into equal pieces."""
    stream = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(stream) < batch:
            stream = torch.cat([stream, torch.randperm(n, generator=generator)])
        yield stream[:batch]
        stream = stream[batch:]


class Trainer:
    """A task, its optimiser and its noise."""

    def __init__(self, config: RunConfig, task: Task) -> None:
        self.config, self.task = config, task
        self.noise = noise_generator(config.seed, "noise", torch.device(config.device))
        self.optimiser = torch.optim.AdamW(task.param_groups(config.lr, config.weight_decay), fused=True)
        self.schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, config.steps)
            if config.lr_schedule == "cosine"
            else None
        )

    def update(self, image: UInt8[Tensor, "b c h w"], step: int) -> tuple[dict[str, Tensor], int]:
        """One optimiser step; diagnostics stay on the device. Returns them and the decodes it took per image."""
        config = self.config
        progress = step / config.steps
        beta = config.beta * (config.beta_end / config.beta) ** progress if config.beta else 0.0
        problem = self.task.problem(image, step, progress, beta, self.noise)
        estimate = self.task.estimator.loss(problem)
        self.optimiser.zero_grad(set_to_none=True)
        estimate.loss.backward()
        norms = [
            torch.nn.utils.clip_grad_norm_(group["params"], config.grad_clip)
            for group in self.optimiser.param_groups
            if group.get("clip", True)
        ]
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        # the model's group comes first; the sum is not finite if any part of the update is not
        finite = torch.isfinite(estimate.loss.detach() + sum(norms))
        return {"finite": finite, "grad_norm": norms[0], **estimate.terms}, estimate.decodes


class Log:
    """Turns diagnostics and measurements into rows of the run's folder."""

    def __init__(self, folder: RunFolder, trainer: Trainer, dataset: Dataset, image_metrics: tuple[str, ...]) -> None:
        self.folder, self.trainer, self.dataset, self.image_metrics = folder, trainer, dataset, image_metrics
        self.cost = Cost()
        self.window: list[dict[str, Tensor]] = []

    def write(self, split: str, readout: str, measurements: list[Measurement]) -> None:
        where = {**asdict(self.cost), "split": split, "readout": readout}
        self.folder.append({**where, **asdict(measurement)} for measurement in measurements)

    def flush(self) -> None:
        """Average the diagnostics since the last flush into rows. Raises Diverged, naming the step."""
        if not self.window:
            return
        values = {key: torch.stack([terms[key].float() for terms in self.window]) for key in self.window[0]}
        finite = values.pop("finite")
        if not finite.all():
            step = self.cost.step - len(finite) + int(finite.argmin()) + 1
            self.write("train", "", [Measurement("diverged", float(step), self.trainer.config.batch_size)])
            raise Diverged(step)
        n = len(self.window) * self.trainer.config.batch_size
        named = {key if key in TRAIN_METRICS else f"term/{key}": value for key, value in values.items()}
        self.write("train", "", [Measurement(key, value.mean().item(), n) for key, value in named.items()])
        self.window.clear()

    def evaluate(self, readout: Readout, last: bool) -> None:
        config = self.trainer.config
        found = evaluate(
            self.trainer.task,
            self.dataset.test,
            readout=readout,
            image_metrics=tuple(m for m in self.image_metrics if last or m not in COSTLY),
            n=config.measured_images(len(self.dataset.test)),
            batch=config.eval_batch,
            beta_end=config.beta_end,
            seed=config.seed,
            device=torch.device(config.device),
            reference_key=config.reference_key,
            per_position=last,
        )
        self.write("test", readout, found)


def train(
    trainer: Trainer,
    dataset: Dataset,
    folder: RunFolder,
    image_metrics: tuple[str, ...],
    on_step: Callable[[int], None] = lambda step: None,
) -> Cost:
    """Train and measure one run, leaving rows, samples.png and checkpoint.safetensors in its folder; returns its cost.

    `dataset` lies on the run's device; `image_metrics` are those of config.metrics that can be had.
    Raises Diverged if the loss or its gradient is not finite.
    """
    config, device = trainer.config, torch.device(trainer.config.device)
    log = Log(folder, trainer, dataset, image_metrics)
    order = batch_order(
        len(dataset.train),
        config.batch_size,
        config.steps,
        noise_generator(config.seed, "data", torch.device("cpu")),
    )
    log.evaluate("sample", last=False)
    reset_peak_memory(device)
    started = time.perf_counter()
    for image in dataset.train.batches(order):
        terms, decodes = trainer.update(image, log.cost.step)
        log.window.append(terms)
        log.cost.step += 1
        log.cost.images += len(image)
        log.cost.decodes += decodes * len(image)
        on_step(log.cost.step)
        last = log.cost.step == config.steps
        measuring = last or log.cost.step % config.eval_every == 0
        if measuring or log.cost.step % config.log_every == 0:
            if device.type == "cuda":
                torch.cuda.synchronize()
            log.cost.seconds += time.perf_counter() - started
            log.flush()
            if last:
                log.write("train", "", _cost_measurements(log.cost, trainer.task, device))
            if measuring:
                log.evaluate("sample", last)
            started = time.perf_counter()
    log.evaluate("mode", last=True)
    _save_samples(trainer.task, dataset, folder, config.seed, device)
    weights = {name: tensor.contiguous() for name, tensor in trainer.task.state_dict().items()}
    write_atomically(folder.path / "checkpoint.safetensors", save(weights))
    return log.cost


def _cost_measurements(cost: Cost, task: Task, device: torch.device) -> list[Measurement]:
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    return [
        Measurement("ms_per_step", 1e3 * cost.seconds / cost.step, cost.images),
        Measurement("images_per_second", cost.images / cost.seconds, cost.images),
        Measurement("peak_memory", peak_memory(device) / 2**20, cost.images),
        Measurement("parameters", float(count(task.model)), 1),
        Measurement("parameters_estimator", float(count(task.estimator)), 1),
    ]


def _save_samples(task: Task, dataset: Dataset, folder: RunFolder, seed: int, device: torch.device) -> None:
    """samples.png: originals over reconstructions, at their own size."""
    from torchvision.io import encode_png

    original, reconstruction = reconstructions(task, dataset.test, SAMPLE_IMAGES, seed, device)
    rows = [torch.cat(list(images), -1) for images in (original, reconstruction)]
    write_atomically(folder.path / "samples.png", encode_png(torch.cat(rows, -2).cpu()).numpy().tobytes())
