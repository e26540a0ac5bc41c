"""Processes on this machine, one per run, with its cores and GPUs divided among those that run at a time."""

import errno
import itertools
import multiprocessing.connection
import os
import queue
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
import torch.multiprocessing  # registers how tensors travel: in shared memory, so that all workers share one dataset

from bench.data import Dataset
from bench.machine import devices
from bench.sweeps.execute import WorkerDied
from bench.sweeps.executors import CONTEXT, Place, warm_up
from bench.training.run import Job, is_disk_full, perform

RUN_BYTES = 2 << 30
"""Memory that a run of CIFAR-10 size takes on the CPU, about; for how many run at a time unless told."""
DISK_FULL = os.EX_IOERR
"""Exit code of a worker that could not write."""


def device(place: Place, asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    return devices.choose(asked)


def executor(place: Place, dataset: Dataset, out: Path, on_gpu: bool) -> "Local":
    return Local(dataset, _gpus(place, on_gpu), place.threads)


def threads(place: Place, on_gpu: bool) -> int:
    return place.threads or _share(len(_gpus(place, on_gpu)))


def _gpus(place: Place, on_gpu: bool) -> list[str | None]:
    """A worker each."""
    gpus = devices.visible_gpus() * (place.runs_per_gpu or 1) if on_gpu else []
    return list(itertools.islice(itertools.cycle(gpus or [None]), place.workers or len(gpus) or workers(place)))


def workers(place: Place) -> int:
    """At a time on the CPU, as many as have the memory."""
    if place.workers or not place.core_each:
        return place.workers or 1
    return max(1, min(devices.cores(), devices.free_memory(torch.device("cpu")) // RUN_BYTES))


def _share(workers: int) -> int:
    """Of the cores, for each of so many."""
    return min(torch.get_num_threads(), max(1, devices.cores() // workers))


class Local:
    """A pool of threads, each of which starts the process of one run and waits for it."""

    poll_seconds = 0.05

    def __init__(self, dataset: Dataset, gpus: Sequence[str | None], threads: int | None = None) -> None:
        """`gpus`: for each worker its entry of CUDA_VISIBLE_DEVICES, or None for runs on the CPU. `threads`: per run;
        None: their share of the cores."""
        warm_up()
        workers = len(gpus)
        self._dataset = dataset
        self._threads = threads or _share(workers)
        self._gpus: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for gpu in gpus:
            self._gpus.put(gpu)
        self._pool = ThreadPoolExecutor(workers)
        # closed to ask the workers to stop. Not an Event of multiprocessing: that has a lock, and whoever is killed
        # while he holds it stops all others for ever
        self._asked, self._ask = CONTEXT.Pipe(duplex=False)
        # starting a process looks after the dead ones too, and only one thread may collect an exit code
        self._collecting = threading.Lock()

    def submit(self, jobs: Sequence[Job]) -> list[Future[None]]:
        return [self._pool.submit(self._run, job) for job in jobs]

    def _run(self, job: Job) -> None:
        gpu = self._gpus.get()
        arguments = (job, self._dataset, self._threads, gpu, self._asked)
        try:
            process = CONTEXT.Process(target=_work, args=arguments, name=str(job))
            with self._collecting:
                process.start()
            multiprocessing.connection.wait([process.sentinel])
            with self._collecting:
                process.join()
                code = process.exitcode
        finally:
            self._gpus.put(gpu)
        if code == DISK_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if code:
            raise WorkerDied(_words(code))

    def stop(self) -> None:
        self._ask.close()
        self._pool.shutdown(cancel_futures=True)


def _words(code: int) -> str:
    if code != -signal.SIGKILL:
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return "killed (SIGKILL), by someone or because memory ran out"


def _work(
    job: Job, dataset: Dataset, threads: int, gpu: str | None, asked: multiprocessing.connection.Connection
) -> None:
    """The process of one run."""
    stop = threading.Event()

    def follow() -> None:
        # when the process that wanted the run asks for it or is gone, however it went: either closes the pipe
        multiprocessing.connection.wait([asked])
        stop.set()

    # Ctrl-C reaches every process of the terminal; the first one decides what becomes of the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=follow, daemon=True).start()
    torch.set_num_threads(threads)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        perform(job, dataset, stop.is_set)
    except OSError as error:
        if not is_disk_full(error):
            raise
        # at once: leaving in order would try to write what is still in buffers
        os._exit(DISK_FULL)
