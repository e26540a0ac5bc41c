"""Where runs are done, as the command line says: this machine, a Ray cluster or a Slurm site."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.data import Dataset
from bench.machine import devices
from bench.sweeps.executors import Executor

Name = Literal["local", "ray", "slurm"]
GOES_WITH: dict[str, tuple[Name, ...]] = {
    "workers": ("local", "slurm"),
    "runs_per_gpu": ("local", "ray"),
    "address": ("ray",),
    "partition": ("slurm",),
    "gpus": ("slurm",),
    "time": ("slurm",),
    "sbatch": ("slurm",),
}
MINUTES = 240


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
    many_runs: bool = False
    """So many small ones that, on CPUs, a core each is the fastest."""

    def __post_init__(self) -> None:
        for option, names in GOES_WITH.items():
            if getattr(self, option) and self.name not in names:
                flag = "--" + option.replace("_", "-")
                raise ValueError(f"{flag} goes with --executor {' or '.join(names)}, not with {self.name}")

    def device(self, asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
        """What runs are done on there. Raises ValueError if it is not there, or the place cannot be reached."""
        match self.name:
            case "local":
                return devices.choose(asked)
            case "ray":
                from bench.sweeps.executors import ray

                ray.connect(self.address)
                found = asked if asked != "auto" else "cuda" if ray.largest("GPU") else "cpu"
                for resource, wanted in {"CPU": self._threads, "GPU": int(found == "cuda")}.items():
                    if ray.largest(resource) < wanted:
                        raise ValueError(
                            f"no node of the Ray cluster has {wanted} {resource}, the most is "
                            f"{ray.largest(resource):g}; see ray status, --threads and --device"
                        )
                return found
            case "slurm":
                from bench.sweeps.executors import slurm

                slurm.check()
                if asked == "cpu" and self.gpus:
                    raise ValueError(f"--gpus {self.gpus} goes with --device cuda, not with cpu")
                return asked if asked != "auto" else "cuda" if self.gpus else "cpu"

    def executor(self, dataset: Dataset, out: Path, device: str) -> Executor:
        """For runs on the `device` that was found."""
        on_gpu = device == "cuda"
        match self.name:
            case "local":
                from bench.sweeps.executors import local

                gpus = devices.visible_gpus() * (self.runs_per_gpu or 1) if on_gpu else []
                count = self.workers or len(gpus) or (devices.cores() if self.many_runs else 1)
                return local.Local(
                    dataset, count, [gpus[i % len(gpus)] for i in range(count)] if gpus else [], self.threads
                )
            case "ray":
                from bench.sweeps.executors.ray import Ray

                return Ray(dataset, threads=self._threads, runs_per_gpu=(self.runs_per_gpu or 1) if on_gpu else None)
            case "slurm":
                from bench.sweeps.executors.slurm import Slurm

                return Slurm(
                    out,
                    dataset,
                    threads=self._threads,
                    minutes=self.time or MINUTES,
                    at_a_time=self.workers,
                    partition=self.partition,
                    gpus=(self.gpus or 1) if on_gpu else None,
                    options=dict(map(_sbatch_option, self.sbatch or [])),
                )

    @property
    def _threads(self) -> int:
        return self.threads or 1


def _sbatch_option(text: str) -> tuple[str, str | bool]:
    """`account=x`, or `exclusive` alone."""
    key, equals, value = text.lstrip("-").partition("=")
    return key.strip(), value.strip() if equals else True
