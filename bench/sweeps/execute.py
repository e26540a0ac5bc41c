"""A plan done by an executor, whatever dies on the way."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from bench.records.folder import RunFolder
from bench.training.run import Job, is_disk_full

ELSEWHERE_SECONDS = 1.0
"""Between two looks at a run that another command is working on."""


class Stuck(Exception):
    """The sweep cannot go on now, and will with the same command once the reason is gone."""


class Handle(Protocol):
    """One submitted job. Both calls return at once."""

    def done(self) -> bool: ...

    def exception(self) -> BaseException | None:
        """Of a job that is done: why its worker died, or None if the worker came to its end."""
        ...


class Executor(Protocol):
    poll_seconds: float
    """How often it makes sense to ask."""

    def submit(self, jobs: Sequence[Job]) -> Sequence[Handle]: ...

    def stop(self) -> None:
        """Ask the workers to keep their state and end, and wait for them."""
        ...


class WorkerDied(Exception):
    """A worker ended without having recorded how its run ended."""


def queue(jobs: Iterable[Job], *, fresh: bool) -> None:
    """Make the folders of all runs, so that everyone sees what is to be done; `fresh` forgets what was done.

    Raises ValueError if a run that is to be forgotten is under way.
    """
    for job in jobs:
        job.folder.queue(job.identity)
        if fresh:
            with job.folder.lock() as ours:
                if not ours:
                    raise ValueError(f"{job} is under way in another process; try another --out, or wait for it")
                job.folder.clear()


def remove(sweep: Path, runs: Iterable[str]) -> None:
    """Runs that are not planned any more, those of these digests that are there.

    Raises ValueError if one is under way.
    """
    for folder in (RunFolder(sweep, run) for run in runs):
        if folder.path.is_dir():
            with folder.lock() as ours:
                if not ours:
                    raise ValueError(f"{folder.path} is under way in another process; try another --out, or wait")
                shutil.rmtree(folder.path)


def execute(
    jobs: Sequence[Job], executor: Executor, *, retries: int, ended: Callable[[Job], None] = lambda job: None
) -> None:
    """Do what is not finished yet and return when all is, or has failed once more often than `retries`.

    Runs that another command is working on are waited for, and taken over if it dies. Raises Stuck if the disk is
    full. On KeyboardInterrupt the workers keep their state before it is raised.
    """
    tries: Counter[str] = Counter()
    active: dict[str, tuple[Job, Handle]] = {}
    elsewhere = [job for job in jobs if not job.folder.finished]
    looked = -ELSEWHERE_SECONDS

    def submit(chosen: list[Job]) -> None:
        active.update({job.run: (job, handle) for job, handle in zip(chosen, executor.submit(chosen), strict=True)})

    try:
        while active or elsewhere:
            if elsewhere and time.monotonic() - looked >= ELSEWHERE_SECONDS:
                looked = time.monotonic()
                waiting, elsewhere = elsewhere, []
                ours = []
                for job in waiting:
                    if job.folder.taken():
                        elsewhere.append(job)
                    elif job.folder.finished:
                        ended(job)
                    else:
                        ours.append(job)
                submit(ours)
            for job, handle in [pair for pair in active.values() if pair[1].done()]:
                del active[job.run]
                problem = handle.exception()
                if is_disk_full(problem):
                    raise Stuck(f"the disk of {job.out} is full; free some space, and the same command goes on")
                state = _settle(job, problem)
                if state == "failed" and tries[job.run] < retries:
                    tries[job.run] += 1
                    job.folder.say(f"trying again, {tries[job.run]} of {retries}")
                    submit([job])
                elif state in ("queued", "running"):
                    elsewhere.append(job)
                else:
                    ended(job)
            time.sleep(executor.poll_seconds)
    finally:
        executor.stop()


def _settle(job: Job, problem: BaseException | None) -> str:
    """The state of a run whose worker has ended, which is recorded here if the worker could not."""
    folder = job.folder
    if problem is not None:
        with folder.lock() as ours:
            if ours and not folder.finished:
                folder.say(f"the worker died: {problem}")
                folder.finish("failed", reason=str(problem) or type(problem).__name__)
    return folder.status.get("state", "queued")
