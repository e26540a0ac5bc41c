"""A grid of runs: planned and checked whole before the first one starts, then handed to an executor."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.build import PixelStatistics, check
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.data import Dataset, pixel_statistics
from bench.machine.provenance import of_code
from bench.metrics.images import provenance as metric_provenance
from bench.sweeps.executors import Executor, Handle
from bench.training.run import Job, is_disk_full

ELSEWHERE_SECONDS = 1.0
"""Between two looks at a run that another command is working on."""


class Stuck(Exception):
    """The sweep cannot go on now, and will with the same command once the reason is gone."""


@dataclass(frozen=True)
class Variant:
    """One kind of run, to be done for every seed."""

    estimator: str
    posterior: Posterior
    overrides: Mapping[str, object]
    """Settings that replace the preset's."""


@dataclass(frozen=True)
class Sweep:
    """A checked plan."""

    runs: list[RunConfig]
    dataset: Dataset
    pixels: PixelStatistics
    absent: Mapping[str, str]
    """Image metrics that cannot be computed here, and why."""

    @property
    def image_metrics(self) -> tuple[str, ...]:
        return tuple(metric for metric in self.runs[0].metrics if metric not in self.absent)


def plan(
    variants: Iterable[Variant],
    seeds: Sequence[int],
    *,
    preset: Preset,
    device: Literal["cpu", "cuda"],
    dataset: Dataset,
    metrics: tuple[str, ...],
    absent: Mapping[str, str],
    checked: bool = False,
) -> Sweep:
    """Resolve every run, and build one of each kind, unless that was done (`checked`), to see that its parts fit.

    Raises ValueError for the first that does not.
    """
    pixels = PixelStatistics(*pixel_statistics(dataset.train))
    runs: dict[str, RunConfig] = {}
    for variant in variants:
        first = resolve(
            estimator=variant.estimator,
            posterior=variant.posterior,
            preset=preset,
            seed=seeds[0],
            device=device,
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            shape=dataset.shape,
            metrics=metrics,
            overrides=variant.overrides,
        )
        if not checked:
            check(first, dataset.shape)
        for seed in seeds:
            config = first.model_copy(update={"seed": seed})
            runs[config.digest] = config
    # seed by seed, so that an interrupted sweep has compared every estimator on the seeds it got to
    return Sweep(sorted(runs.values(), key=lambda config: config.seed), dataset, pixels, absent)


def jobs(sweep: Sweep, out: Path, checkpoint_every: int | None = None, tensorboard: bool = False) -> list[Job]:
    """The plan as work to be done: the mean image's score first, then every run."""
    provenance = {**of_code(), "metrics": metric_provenance(sweep.image_metrics), "absent": dict(sweep.absent)}
    made = [
        Job(out.absolute(), config, sweep.pixels, sweep.image_metrics, provenance, checkpoint_every, tensorboard)
        for config in sweep.runs
    ]
    return [replace(made[0], is_baseline=True), *made]


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
