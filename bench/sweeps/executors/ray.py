"""Tasks on a Ray cluster, one per run. Ray queues and places them by the cores and GPUs they ask for.

The nodes need this package and its plug-ins installed, and the results in a file system that all of them share; the
images come with the task. On the CPU, Ray gives the same process one run after the other.
"""

import logging
import os
import signal
import socket
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from bench.data import Dataset
from bench.sweeps.execute import WorkerDied
from bench.sweeps.executors import Place
from bench.training.run import Job, perform

# read when ray is imported: the runs of a node then share one copy of the images
os.environ.setdefault("RAY_ENABLE_ZERO_COPY_TORCH_TENSORS", "1")
# of a cluster that is started here, nothing is sent anywhere
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    from ray._private import worker as ray_worker
    from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
except ModuleNotFoundError:
    raise ValueError("--executor ray needs Ray, which is not installed here; type pip install '.[ray]'") from None

KNOCK_SECONDS = 5
# that shared tensors are for reading only, and so they are
warnings.filterwarnings("ignore", message="Zero-copy tensor serialization")


def device(place: Place, asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    connect(place.address)
    found = asked if asked != "auto" else "cuda" if largest("GPU") else "cpu"
    for resource, wanted in {"CPU": place.threads or 1, "GPU": int(found == "cuda")}.items():
        if largest(resource) < wanted:
            raise ValueError(
                f"no node of the Ray cluster has {wanted} {resource}, the most is {largest(resource):g}; see ray "
                "status, --threads and --device"
            )
    return found


def executor(place: Place, dataset: Dataset, out: Path, on_gpu: bool) -> "Ray":
    return Ray(dataset, place.threads or 1, 1 / (place.runs_per_gpu or 1) if on_gpu else 0)


def connect(address: str | None) -> None:
    """Join the cluster at `address` (None: the one that RAY_ADDRESS names or that runs on this machine, or else a new
    one on this machine, which ends with this process), unless that is done.

    Raises ValueError if that cannot be.
    """
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    where = f"--address {address}" if address else "--executor ray"
    host, _, port = (address or "").rpartition(":")
    try:
        # if nobody listens there, Ray would wait for minutes
        if port.isdecimal() and "/" not in host:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"{where}: {reason}; try the HOST:PORT that `ray start --head` said") from None
    # what becomes of workers is in the records of their runs; there is no public switch for Ray's own words on it
    ray_worker._worker_logs_enabled = False


def largest(resource: str) -> float:
    """How many CPUs or GPUs the node with the most of them has."""
    return max((node["Resources"].get(resource, 0) for node in ray.nodes() if node["Alive"]), default=0)


class Ray:
    """The cluster that `connect` has joined, until `stop`."""

    poll_seconds = 0.05

    def __init__(self, dataset: Dataset, threads: int, gpus: float) -> None:
        """Cores (`threads`) and GPUs are per run."""
        self._threads = threads
        self._dataset = ray.put(dataset)
        self._task = ray.remote(
            num_cpus=threads,
            num_gpus=gpus,
            max_retries=0,  # whoever waits for the run counts how often it is tried
        )(_work)
        self._handles: list[_Handle] = []

    def submit(self, jobs: Sequence[Job]) -> "list[_Handle]":
        handles = [_Handle(self._task.remote(job, self._dataset, self._threads)) for job in jobs]
        self._handles = [handle for handle in self._handles if not handle.done()] + handles
        return handles

    def stop(self) -> None:
        tasks = [handle.task for handle in self._handles if not handle.done()]
        for task in tasks:
            ray.cancel(task)
        if tasks:
            ray.wait(tasks, num_returns=len(tasks))
        ray.shutdown()


class _Handle:
    def __init__(self, task: "ray.ObjectRef") -> None:
        self.task = task
        self._future = task.future()

    def done(self) -> bool:
        return self._future.done()

    def exception(self) -> BaseException | None:
        match problem := self._future.exception():
            case RayTaskError():
                return problem.cause
            case OutOfMemoryError():
                return WorkerDied("killed by Ray because the memory of its node ran out")
            case RayError():
                return WorkerDied(f"{type(problem).__name__}: {str(problem).strip().partition('. ')[0]}")
        return problem


def _work(job: Job, dataset: Dataset, threads: int) -> None:
    """The task of one run."""
    asked: list[int] = []
    # that is how ray.cancel reaches a task that runs
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    torch.set_num_threads(threads)
    try:
        perform(job, dataset, lambda: bool(asked))
    finally:
        signal.signal(signal.SIGINT, before)
