"""What a run may cost, `decodes=8e6`, and the steps that follow from it: every schedule ends with its budget."""

import itertools
import math
import signal
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from filelock import FileLock

from bench.build import PixelStatistics, build
from bench.config import RunConfig
from bench.data import Dataset
from bench.machine.files import read_json, write_json
from bench.seeds import batch_order, noise_generator
from bench.sweeps.executors import CONTEXT
from bench.text import nearest
from bench.training.cuda_graph import recorder
from bench.training.step import Trainer

Unit = Literal["decodes", "images", "steps", "seconds"]
UNITS: dict[str, Unit] = {unit: unit for unit in get_args(Unit)}
EXAMPLES = "decodes=8e6, images=1e6, steps=2000 or seconds=60, of each run"
FILE = "budget.json"
"""In the folder of a sweep: how long a step of each kind of run took here, which is what its steps follow from."""
STEPS = 4
"""Timed at a time: what an estimator does every few steps is in it."""
WARM_UP, TIMED = (2, 0.5), (3, 2.0)
"""At least so many times those steps, for so many seconds."""


@dataclass(frozen=True)
class Budget:
    """Of each run. `decodes` are decoder evaluations times images, as in the rows' column of that name; `seconds` are
    of training, evaluation excluded."""

    unit: Unit
    amount: float
    """Finite and above 0."""

    def __str__(self) -> str:
        """As it can be typed, the same for all ways to type it."""
        return f"{self.unit}={int(self.amount) if self.amount.is_integer() else self.amount}"

    def check(self, settings: Collection[str]) -> None:
        """Raises ValueError if `settings`, typed beside it, decide the steps too."""
        if "steps" in settings:
            raise ValueError(f"the steps follow from --budget {self}; leave out either it or steps")


def parse(text: str) -> Budget:
    """What was typed after --budget. Raises ValueError for anything but a unit and a number above 0."""
    name, equals, amount = (part.strip() for part in text.partition("="))
    unit = UNITS.get(name)
    if not equals:
        raise ValueError(f"--budget {text} has no unit; try {EXAMPLES}")
    if unit is None:
        raise ValueError(f"--budget {text}: no unit {name!r}; {nearest(name, UNITS)}")
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"--budget {text}: {amount!r} is no number above 0; try {EXAMPLES}")
    return Budget(unit, number)


class Timings:
    """Seconds per step by kind of run. What is timed once is kept in the sweep's folder, so that the same command goes
    on with the same runs; kinds are alike if they differ in nothing but seed, metrics and how long they run."""

    def __init__(
        self, folder: Path, dataset: Dataset, threads: int, *, fresh: bool, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """`threads`: of a run. `fresh`: time anew; what the folder has kept is then `superseded`."""
        self.folder, self.dataset, self.threads, self.fresh, self.say = folder, dataset, threads, fresh, say
        found = read_json(folder / FILE)
        self.superseded = found if fresh else {}
        self.kept = {} if fresh else found

    def seconds(self, config: RunConfig, pixels: PixelStatistics) -> float:
        """Of a step of this run, timed on this machine if it was not before."""
        kind = _kind(config)
        if kind not in self.kept:
            took = seconds_per_step(config, self.dataset, pixels, self.threads)
            name = f"{config.estimator} {config.posterior}"
            self.say(f"{name}: {1e3 * took:.3g} ms per step")
            self.kept[kind] = {"run": name, "seconds_per_step": took, "threads": self.threads}
        return self.kept[kind]["seconds_per_step"]

    def seconds_before(self, config: RunConfig) -> float | None:
        """What `fresh` has superseded."""
        return self.superseded.get(_kind(config), {}).get("seconds_per_step")

    def keep(self) -> bool:
        """Write them to the folder. Whether another command was faster: then its timings count from now on."""
        with FileLock(self.folder / f"{FILE}.lock"):
            theirs = {} if self.fresh else read_json(self.folder / FILE)
            overruled = any(self.kept.get(kind, found) != found for kind, found in theirs.items())
            self.kept |= theirs
            write_json(self.folder / FILE, {**self.superseded, **self.kept})
        return overruled


class Schedules:
    """Gives runs the steps that spend a budget."""

    def __init__(self, budget: Budget, timings: Timings | None = None) -> None:
        """`timings`: for a budget in seconds."""
        self.budget, self.timings = budget, timings
        self._before: list[RunConfig] = []

    def fit(
        self, config: RunConfig, shape: tuple[int, int, int], pixels: PixelStatistics, typed: Collection[str]
    ) -> RunConfig:
        """The run with the steps that the budget has room for. It logs and evaluates as often in all as it would have,
        unless it is `typed` how often.

        Raises ValueError for a budget below one step.
        """
        batch = config.batch_size
        if self.budget.unit == "seconds":
            assert self.timings is not None
            before = self.timings.seconds_before(config)
            if before is not None and before <= self.budget.amount:
                self._before.append(self._lasting(config, before, typed))
            cost = self.timings.seconds(config, pixels)
        elif self.budget.unit == "decodes":
            cost = batch * decodes_per_image(config, shape, pixels)
        else:
            cost = batch if self.budget.unit == "images" else 1
        return self._lasting(config, cost, typed)

    def superseded(self, seeds: Iterable[int]) -> set[str]:
        """Digests of the runs that older timings had made of the same."""
        return {run.model_copy(update={"seed": seed}).digest for run in self._before for seed in seeds}

    def _lasting(self, config: RunConfig, cost: float, typed: Collection[str]) -> RunConfig:
        """`cost`: of a step, in the budget's unit."""
        steps = int(self.budget.amount // cost)
        if steps < 1:
            # three digits, rounded up
            digit = 10.0 ** (math.floor(math.log10(cost)) - 2)
            least = cost if self.budget.unit != "seconds" else math.ceil(cost / digit) * digit
            raise ValueError(
                f"--budget {self.budget} is less than one step of {config.estimator}, {config.posterior}; "
                f"try --budget {self.budget.unit}={least:.12g} or more"
            )
        looks = {
            name: max(1, math.ceil(steps / math.ceil(config.steps / getattr(config, name))))
            for name in ("log_every", "eval_every")
            if name not in typed
        }
        return config.model_copy(update={"steps": steps, **looks})


def _kind(config: RunConfig) -> str:
    alike: dict[str, object] = {"seed": 0, "metrics": (), "final_split": "test", "budget": ""}
    alike |= {"steps": 1, "log_every": 1, "eval_every": 1}
    return config.model_copy(update=alike).digest


_decodes: dict[tuple[str, tuple[int, int, int]], int] = {}


def decodes_per_image(config: RunConfig, shape: tuple[int, int, int], pixels: PixelStatistics) -> int:
    """Decoder evaluations of a training step per image, as the estimator's loss reports them for a tiny batch.

    Raises ValueError if it raises anything.
    """
    kind = _kind(config), shape
    if kind not in _decodes:
        task = build(config, shape, pixels)
        noise = noise_generator(config.seed, "noise", torch.device("cpu"))
        image = torch.randint(0, 256, (2, *shape), generator=noise).to(torch.uint8)
        task.refresh(0)
        try:
            _decodes[kind] = task.estimator.loss(task.problem(image, 0.0, config.beta, noise)).decodes
        except Exception as error:
            raise ValueError(f"the decodes of {config.estimator} cannot be counted: {error}".splitlines()[0]) from error
    return _decodes[kind]


def seconds_per_step(config: RunConfig, dataset: Dataset, pixels: PixelStatistics, threads: int) -> float:
    """Median over timings of training steps in a process of its own, as runs are, with so many `threads`.

    Raises ValueError if the steps raise anything.
    """
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        try:
            return pool.submit(_time, config, dataset, pixels, threads).result()
        except Exception as error:
            raise ValueError(f"{config.estimator} cannot be timed: {error}".splitlines()[0]) from error


def _time(config: RunConfig, dataset: Dataset, pixels: PixelStatistics, threads: int) -> float:
    """In the process."""
    # Ctrl-C reaches every process of the terminal, and is for the first one to answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    device = torch.device(config.device)
    trainer = Trainer(config, build(config, dataset.shape, pixels).to(device), recorder(config.device))
    train = dataset.to(device).train
    noise = noise_generator(config.seed, "data", torch.device("cpu"))
    # endless: it is time that ends it
    images = train.batches(batch_order(len(train), config.batch_size, sys.maxsize, noise))
    steps = itertools.count()

    def rounds(least: int, seconds: float) -> list[float]:
        """Seconds per step, of some steps each."""
        began, taken = time.perf_counter(), []
        while len(taken) < least or time.perf_counter() - began < seconds:
            started = time.perf_counter()
            for step in itertools.islice(steps, STEPS):
                trainer.update(next(images), step % config.steps)
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken.append((time.perf_counter() - started) / STEPS)
        return taken

    rounds(*WARM_UP)
    return statistics.median(rounds(*TIMED))
