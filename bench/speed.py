"""How fast a training step is, as a ratio to its arithmetic; and what the loop around it costs.

Machines are shared and differ, so only ratios mean anything: the floor is the step's counted floating-point operations
at the rate of matrix products timed in between the steps.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.build import PixelStatistics, build, skip_reason
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.data import Dataset, resident
from bench.run_folder import RunFolder
from bench.train import train
from bench.trainer import Trainer

WARMUP, STEPS = 3, 10
LOOP_STEPS = 20
IMAGES = 512
NUMBERS = ("ms/step", "GFLOP/step", "GFLOP/s", "floor ms", "time / floor", "loop overhead %")


@dataclass(frozen=True)
class Timing:
    estimator: str
    posterior: str
    ms: float
    """Median time of one optimiser step."""
    gflop: float
    gflop_per_second: float
    """Of float32 matrix products, timed between the steps."""
    loop_percent: float
    """Time of the training loop outside the step (data, logging), as a percentage of the step."""

    @property
    def floor_ms(self) -> float:
        return 1e3 * self.gflop / self.gflop_per_second


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


class MatrixProduct:
    """A float32 matrix product, as a yardstick for what the machine does at this moment."""

    SIZE = 2048

    def __init__(self, device: str) -> None:
        self.device = device
        self.factors = [torch.randn(self.SIZE, self.SIZE, device=device) for _ in range(2)]

    def seconds(self) -> float:
        _synchronise(self.device)
        started = time.perf_counter()
        torch.mm(*self.factors)
        _synchronise(self.device)
        return time.perf_counter() - started


def synthetic(shape: tuple[int, int, int], device: str) -> Dataset:
    """Noise in the shape of a dataset: speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *shape), dtype=torch.uint8, generator=generator)
    split = resident(images)
    return Dataset("synthetic", split, split, shape, {}, "synthetic").to(torch.device(device))


def measure(
    estimators: Sequence[str],
    posteriors: Sequence[Posterior],
    family: str,
    shape: tuple[int, int, int],
    batch_size: int,
    device: Literal["cpu", "cuda"],
) -> Iterator[Timing]:
    """Time each estimator at the paper's network sizes for a dataset family."""
    preset = Preset(family, "paper")
    dataset = synthetic(shape, device)
    for posterior in posteriors:
        for estimator in estimators:
            config = resolve(
                estimator=estimator,
                posterior=posterior,
                preset=preset,
                seed=0,
                device=device,
                dataset=family,
                fingerprint="synthetic",
                shape=shape,
                metrics=("psnr",),
                overrides={
                    "batch_size": batch_size,
                    "steps": LOOP_STEPS,
                    "eval_every": LOOP_STEPS,
                    "log_every": LOOP_STEPS,
                    "eval_images": 1,
                },
            )
            if skip_reason(config) is None:
                yield _time(config, dataset)


def _time(config: RunConfig, dataset: Dataset) -> Timing:
    channels = dataset.shape[0]
    pixels = PixelStatistics(torch.full((channels,), 127.5), torch.full((channels,), 73.6))

    def trainer() -> TimedTrainer:
        return TimedTrainer(config, build(config, dataset.shape, pixels).to(config.device))

    timed = trainer()
    (image,) = dataset.train.batches([torch.arange(config.batch_size)])
    # the math backend spells attention out as products that the counter knows on every device
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        timed.update(image, 0)
    product = MatrixProduct(config.device)
    steps, products = [], []
    for _ in range(WARMUP + STEPS):
        timed.inside = 0.0
        timed.update(image, 0)
        steps.append(timed.inside)
        products.append(product.seconds())
    rate = 2 * product.SIZE**3 / statistics.median(products[WARMUP:])
    return Timing(
        config.estimator,
        config.posterior,
        ms=1e3 * statistics.median(steps[WARMUP:]),
        gflop=counter.get_total_flops() / 1e9,
        gflop_per_second=rate / 1e9,
        loop_percent=100 * _loop_overhead(trainer(), dataset),
    )


def _loop_overhead(timed: TimedTrainer, dataset: Dataset) -> float:
    """Loop time outside updates over time inside them, from a run of the real training loop."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch), "speed")
        folder.start({}, {}, {})
        cost = train(timed, dataset, folder, ("psnr",))
        folder.finish("done")
    return (cost.seconds - timed.inside) / timed.inside


def table(timings: Iterable[Timing]) -> Table:
    """One line per estimator and posterior."""
    made = Table("estimator", "posterior", *NUMBERS)
    for column in made.columns[2:]:
        column.justify = "right"
    for timing in timings:
        floor = timing.floor_ms
        numbers = (timing.ms, timing.gflop, timing.gflop_per_second, floor, timing.ms / floor, timing.loop_percent)
        made.add_row(timing.estimator, timing.posterior, *(f"{number:.2f}" for number in numbers))
    return made
