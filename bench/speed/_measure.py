"""Times steps, sampling and the training loop, with yardsticks in between, and counts the work of a step:
floating-point operations of its products, and bytes that its operations read and write."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from bench import data
from bench.build import PixelStatistics, build, skip_reason
from bench.config import Posterior, Precision, Preset, RunConfig, resolve
from bench.data import Dataset, resident
from bench.records.folder import RunFolder
from bench.seeds import noise_generator
from bench.speed._timings import Timing
from bench.sweeps.plan import check_parts
from bench.text import nearest
from bench.training.cuda_graph import WARM_UP, recorder
from bench.training.loop import train
from bench.training.step import Trainer
from estimators import Chosen

WARMUP, MOST_STEPS, LEAST_STEPS = WARM_UP + 1, 10, 3
WARMUP_SECONDS, SECONDS = 2.0, 20.0
"""Of untimed and of timed steps; there are fewer of them if they are slow."""
LOOP_STEPS = 20
LOOP = dict.fromkeys(("steps", "eval_every", "log_every"), LOOP_STEPS)
IMAGES = 512


@dataclass(frozen=True)
class Size:
    name: str
    preset: Preset
    shape: tuple[int, int, int]
    cpu_batch: int
    """Images per step where nobody says otherwise on a CPU; on a GPU it is the preset's."""


def size(name: str) -> Size:
    """Networks of the published size, for a dataset that has a shape and for the paper's ImageNet.

    Raises ValueError for a name that has no size.
    """
    shapes = {info.name: info.shape for info in data.DATASETS.values() if info.shape}
    if name == "imagenet256":
        return Size(name, Preset("folder", name), (3, 256, 256), 2)
    if name not in shapes:
        raise ValueError(f"--dataset {name} has no shape of its own; {nearest(name, [*shapes, 'imagenet256'])}")
    return Size(name, Preset(name, "paper"), shapes[name], 32)


@dataclass(frozen=True)
class Work:
    gflop: float
    """Of matrix products and convolutions, as executed: what is computed again in the backward pass counts again."""
    gigabytes: float
    """Inputs and outputs of every operation, one by one, as eager execution has them pass through memory."""


class Counter(TorchDispatchMode):
    """Adds up floating-point operations, by torch's formulas, and bytes that operations read and write. Views cost
    nothing.

    Not torch's FlopCounterMode: that hooks into every module's gradient, and so many hooks on a long chain of
    operations, such as sampling a thousand positions, overflow the stack.
    """

    flops = bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def count(step: Callable[[], object]) -> Work:
    """Do the step once, watched."""
    # the math backend spells attention out as products that there are formulas for on every device
    with Counter() as products, sdpa_kernel(SDPBackend.MATH):
        step()
    with Counter() as traffic:
        step()
    return Work(products.flops / 1e9, traffic.bytes / 1e9)


class Yardsticks:
    """What the machine does at this moment: a matrix product, and a copy larger than its caches."""

    def __init__(self, device: str, dtype: torch.dtype = torch.float32) -> None:
        side = 2048 if device == "cpu" else 8192
        copied = 2**26 if device == "cpu" else 2**30
        self.factors = [torch.randn(side, side, device=device, dtype=dtype) for _ in range(2)]
        self.source = torch.zeros(copied // 4, device=device)
        self.target = torch.empty_like(self.source)
        self.gflop = 2 * side**3 / 1e9  # of one product
        self.gigabytes = 2 * copied / 1e9  # of one copy, which reads and writes

    def product(self) -> None:
        torch.mm(*self.factors)

    def copy(self) -> None:
        self.target.copy_(self.source)


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
    estimators: Sequence[Chosen],
    posteriors: Sequence[Posterior],
    size: Size,
    batch_size: int | None,
    device: Literal["cpu", "cuda"],
    precision: Precision,
    say: Callable[[str], None],
) -> Iterator[Timing]:
    """Time each estimator that goes with each posterior. `batch_size` None: the size's own. Members of groups that do
    not fit are left out, which `say` says; raises ValueError for others."""
    dataset = synthetic(size.shape, device)
    batch = batch_size or (size.cpu_batch if device == "cpu" else int(size.preset.settings["batch_size"]))
    for posterior in posteriors:
        for estimator in estimators:
            config = resolve(
                estimator=estimator.text,
                posterior=posterior,
                preset=size.preset,
                seed=0,
                device=device,
                dataset=size.name,
                fingerprint="synthetic",
                shape=size.shape,
                metrics=("psnr",),
                overrides={"batch_size": batch, "precision": precision, "eval_images": 1, **LOOP},
            )
            try:
                check_parts(config, size.shape)
            except ValueError as error:
                if not estimator.group:
                    raise
                say(f"without {config.estimator}: {error}")
                continue
            if skip_reason(config) is None:
                yield _time(config, dataset)


def synthetic(shape: tuple[int, int, int], device: str) -> Dataset:
    """Noise in the shape of a dataset: speed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *shape), dtype=torch.uint8, generator=generator)
    split = resident(images)
    return Dataset("synthetic", split, split, split, shape, {}, "synthetic").to(torch.device(device))


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
        gflop_per_second=yardsticks.gflop / seconds["product"],
        gigabytes_per_second=yardsticks.gigabytes / seconds["copy"],
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
