"""Times steps, sampling and the training loop, with yardsticks in between."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from bench.build import PixelStatistics, build, skip_reason
from bench.config import Posterior, Precision, RunConfig, resolve
from bench.data import Dataset, resident
from bench.records.folder import RunFolder
from bench.seeds import noise_generator
from bench.speed._counters import Work, Yardsticks, count
from bench.speed._sizes import Size
from bench.training.cuda_graph import WARM_UP, recorder
from bench.training.loop import train
from bench.training.step import Trainer

WARMUP, MOST_STEPS, LEAST_STEPS = WARM_UP + 1, 10, 3
WARMUP_SECONDS, SECONDS = 2.0, 20.0
"""Of untimed and of timed steps; there are fewer of them if they are slow."""
LOOP_STEPS = 20
IMAGES = 512


@dataclass(frozen=True)
class Timing:
    """Median times of one estimator, the work that they were spent on, and what the machine did meanwhile."""

    dataset: str
    estimator: str
    posterior: str
    precision: str
    batch: int
    ms: float
    """Of one optimiser step."""
    gflop: float
    gigabytes: float
    gflop_per_second: float
    gigabytes_per_second: float
    sampling_ms: float
    """Of drawing the step's k codes per image without a gradient; NaN where positions are not drawn one by one."""
    sampling_gflop: float
    loop_percent: float
    """Time of the training loop outside the step (data, logging), as a percentage of the step."""

    @property
    def floor_ms(self) -> float:
        """The step's arithmetic at the rate of a large matrix product."""
        return 1e3 * self.gflop / self.gflop_per_second

    @property
    def traffic_ms(self) -> float:
        """The step's bytes at the rate of a large copy."""
        return 1e3 * self.gigabytes / self.gigabytes_per_second

    @property
    def ratio(self) -> float:
        return self.ms / self.floor_ms

    @property
    def sampling_ratio(self) -> float:
        return self.sampling_ms * self.gflop_per_second / (1e3 * self.sampling_gflop)


class TimedTrainer(Trainer):
    """Adds up the time spent in updates."""

    inside = 0.0

    def update(self, image, step):
        started = time.perf_counter()
        result = super().update(image, step)
        _synchronise(self.config.device)
        self.inside += time.perf_counter() - started
        return result


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure(
    estimators: Sequence[str],
    posteriors: Sequence[Posterior],
    size: Size,
    batch_size: int | None,
    device: Literal["cpu", "cuda"],
    precision: Precision,
) -> Iterator[Timing]:
    """Time each estimator that goes with each posterior. `batch_size` None: the size's own."""
    dataset = synthetic(size.shape, device)
    batch = batch_size or (size.cpu_batch if device == "cpu" else int(size.preset.settings["batch_size"]))
    for posterior in posteriors:
        for estimator in estimators:
            config = resolve(
                estimator=estimator,
                posterior=posterior,
                preset=size.preset,
                seed=0,
                device=device,
                dataset=size.name,
                fingerprint="synthetic",
                shape=size.shape,
                metrics=("psnr",),
                overrides={
                    "batch_size": batch,
                    "precision": precision,
                    "steps": LOOP_STEPS,
                    "eval_every": LOOP_STEPS,
                    "log_every": LOOP_STEPS,
                    "eval_images": 1,
                },
            )
            if skip_reason(config) is None:
                yield _time(config, dataset)


def synthetic(shape: tuple[int, int, int], device: str) -> Dataset:
    """Noise in the shape of a dataset: speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *shape), dtype=torch.uint8, generator=generator)
    split = resident(images)
    return Dataset("synthetic", split, split, shape, {}, "synthetic").to(torch.device(device))


def _time(config: RunConfig, dataset: Dataset) -> Timing:
    channels = dataset.shape[0]
    pixels = PixelStatistics(torch.full((channels,), 127.5), torch.full((channels,), 73.6))

    def trainer(config: RunConfig) -> TimedTrainer:
        task = build(config, dataset.shape, pixels).to(config.device)
        return TimedTrainer(config, task, recorder(config.device))

    timed = trainer(config)
    timed.prepare(0)
    (image,) = dataset.train.batches([torch.arange(config.batch_size)])
    yardsticks = Yardsticks(config.device, getattr(torch, config.precision))
    plain: dict[str, Callable[[], object]] = {"step": lambda: timed.compute(image)}
    pieces: dict[str, Callable[[], object]] = {"step": lambda: timed.update(image, 0)}
    if config.posterior == "causal":
        plain["sampling"], pieces["sampling"] = _sampling(timed, image)
    work = {name: count(piece) for name, piece in plain.items()}
    seconds = _medians({**pieces, "product": yardsticks.product, "copy": yardsticks.copy}, config.device)
    sampling = work.get("sampling", Work(float("nan"), float("nan")))
    steps = max(LEAST_STEPS, min(LOOP_STEPS, int(SECONDS / seconds["step"])))
    loop = _loop_overhead(trainer(config.model_copy(update={"steps": steps})), dataset)
    return Timing(
        config.dataset,
        config.estimator,
        config.posterior,
        config.precision,
        config.batch_size,
        ms=1e3 * seconds["step"],
        gflop=work["step"].gflop,
        gigabytes=work["step"].gigabytes,
        gflop_per_second=yardsticks.gflop_per_second(seconds["product"]),
        gigabytes_per_second=yardsticks.gigabytes_per_second(seconds["copy"]),
        sampling_ms=1e3 * seconds.get("sampling", float("nan")),
        sampling_gflop=sampling.gflop,
        loop_percent=100 * loop,
    )


def _sampling(timed: TimedTrainer, image: torch.Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """Draws k codes per image, the encoder's part left out: plainly, and as in a step."""
    task, config = timed.task, timed.config
    k = int(config.arguments.get("k", 1))  # type: ignore[call-overload]
    noise = noise_generator(config.seed, "speed", torch.device(config.device))

    @torch.no_grad()
    def sample() -> object:
        return posterior.rollout(lambda params: task.estimator.hard(params, noise), k)

    with torch.no_grad():
        posterior, _ = task.model.encode(task.model.likelihood.data(image))
    makes = recorder(config.device)
    if makes is None:
        return sample, sample
    makes.warm(sample)
    return sample, makes.record(sample, noise)


def _medians(pieces: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Seconds of each piece, all of them timed in turn so that they see the same machine."""

    def rounds(most: int, least: int, seconds: float) -> Iterator[dict[str, float]]:
        began = time.perf_counter()
        for done in range(most):
            if done >= least and time.perf_counter() - began > seconds:
                return
            yield {name: _seconds(piece, device) for name, piece in pieces.items()}

    for _ in rounds(WARMUP, 1, WARMUP_SECONDS):
        pass
    taken = list(rounds(MOST_STEPS, LEAST_STEPS, SECONDS))
    return {name: statistics.median(each[name] for each in taken) for name in pieces}


def _seconds(piece: Callable[[], object], device: str) -> float:
    _synchronise(device)
    started = time.perf_counter()
    piece()
    _synchronise(device)
    return time.perf_counter() - started


def _loop_overhead(timed: TimedTrainer, dataset: Dataset) -> float:
    """Loop time outside updates over time inside them, from a run of the real training loop."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch), "speed")
        folder.start({}, {}, {})
        cost = train(timed, dataset, folder, ("psnr",))
        folder.finish("done")
    return (cost.seconds - timed.inside) / timed.inside
