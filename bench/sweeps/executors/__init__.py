"""Where runs are done: this machine, a Ray cluster or a Slurm site. The engines schedule and place; an adapter each
turns jobs into handles to wait for. Imports nothing heavy, so that the imports of workers begin at once."""

import importlib
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.data import Dataset
    from bench.sweeps.execute import Executor

Name = Literal["local", "ray", "slurm"]


@dataclass(frozen=True)
class Option:
    """Of the command line, in the words of its help."""

    about: str
    executors: tuple[Name, ...] = ("local", "ray", "slurm")
    """That it goes with."""

    @property
    def help(self) -> str:
        return f"{self.executors[0]}: {self.about}" if len(self.executors) == 1 else self.about


OPTIONS = {
    "threads": Option("cores per run [default: those here divided by --workers; elsewhere 1]"),
    "workers": Option(
        "runs at a time [default: one per core, with a budget in seconds 1; on GPUs --runs-per-gpu each]",
        ("local", "slurm"),
    ),
    "runs_per_gpu": Option("runs that share one GPU [default: 1]", ("local", "ray")),
    "address": Option("HOST:PORT of the cluster [default: the one here, or a new one]", ("ray",)),
    "partition": Option("where to queue", ("slurm",)),
    "gpus": Option("GPUs per run [default: 1 with --device cuda]", ("slurm",)),
    "time": Option("minutes after which a run queues again [default: 240]", ("slurm",)),
    "sbatch": Option("any option of sbatch, such as account=me; may be repeated", ("slurm",)),
}
"""By the fields of Place that they fill."""


@dataclass(frozen=True)
class Place:
    """The command line's options by their names; None is what nobody typed."""

    name: Name
    threads: int | None = None
    workers: int | None = None
    runs_per_gpu: int | None = None
    address: str | None = None
    partition: str | None = None
    gpus: int | None = None
    time: int | None = None
    """Minutes."""
    sbatch: Sequence[str] | None = None
    core_each: bool = False
    """Whether runs on CPUs get a core each unless told: small networks then get through about twice as fast."""

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            if getattr(self, name) and self.name not in option.executors:
                flag, fits = "--" + name.replace("_", "-"), " or ".join(option.executors)
                raise ValueError(f"{flag} goes with --executor {fits}, not with {self.name}")

    def device(self, asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
        """What runs are done on there. Raises ValueError if it is not there, or the place cannot be reached."""
        return self._adapter.device(self, asked)

    def threads_here(self, device: str) -> int:
        """How many a run has on this machine. Raises ValueError for a place whose runs are done on others."""
        if self.name != "local":
            raise ValueError(
                f"a budget in seconds is timed on this machine, and --executor {self.name} trains on others; "
                "try --budget decodes=..., images=... or steps=..."
            )
        return self._adapter.threads(self, device == "cuda")

    def executor(self, dataset: "Dataset", out: Path, device: str) -> "Executor":
        """For runs of a sweep's folder, on the `device` that was found."""
        return self._adapter.executor(self, dataset, out, device == "cuda")

    def words(self, device: str) -> str:
        """How many runs share this machine where nobody said so; empty for one at a time, and elsewhere."""
        if self.name != "local" or self.workers or device == "cuda":
            return ""
        count, threads = self._adapter.workers(self), self._adapter.threads(self, False)
        each = "one thread" if threads == 1 else f"{threads} threads"
        return f"{count} runs at a time, {each} each; --workers 1 gives one all cores" if count > 1 else ""

    @property
    def _adapter(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.name}")


# forked from a server that has the heavy imports and nothing else: a worker starts in milliseconds, and no lock or
# thread of this process is copied
CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = (
    "bench.sweeps.end_with_parent",
    "bench.sweeps.executors.local",
    "torch._dynamo",
    "torchmetrics.functional.image",
    "torchvision.io",
)
"""What a run imports sooner or later, and would otherwise import anew every time."""


def warm_up() -> None:
    """Let the imports of local workers begin, while the caller has other things to do."""
    CONTEXT.set_forkserver_preload(list(_PRELOADED))
    forkserver.ensure_running()
