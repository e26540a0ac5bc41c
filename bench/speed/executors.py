"""What processes cost and what they gain: `python -m bench.speed.executors` (two minutes on two idle cores)."""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import typer

from bench import data, records
from bench.config import Preset
from bench.data import Dataset
from bench.machine.devices import cores
from bench.sweeps import plan as sweep
from bench.sweeps.executors import Executor
from bench.sweeps.executors.local import Local

NOTHING = 40
"""Runs with nothing to do, for the overhead."""
STEPS = 400
REPETITIONS = 3
DATASET = "digits"


def _local(workers: int) -> Callable[[Dataset], Executor]:
    return lambda dataset: Local(dataset, workers)


def _ray(dataset: Dataset) -> Executor:
    """A cluster on this machine; its start is not counted."""
    from bench.sweeps.executors import ray

    ray.connect(None)
    return ray.Ray(dataset, threads=1, runs_per_gpu=None)


def _seconds(variant: sweep.Variant, seeds: int, made: Callable[[Dataset], Executor]) -> float:
    """Of a sweep, from its submission to its last row."""
    dataset = data.load(DATASET)
    planned = sweep.plan(
        [variant],
        range(seeds),
        preset=Preset(DATASET, "quick"),
        device="cpu",
        dataset=dataset,
        metrics=("psnr",),
        absent={},
    )
    with tempfile.TemporaryDirectory() as scratch:
        records.open_sweep(Path(scratch))
        jobs = sweep.jobs(planned, Path(scratch))
        sweep.queue(jobs, fresh=False)
        executor = made(dataset)
        started = time.perf_counter()
        sweep.execute(jobs, executor, retries=0)
        return time.perf_counter() - started


def main() -> None:
    """Overhead per run, and the speed of one worker per core over that of one worker, at one thread each."""
    torch.set_num_threads(1)
    nothing = sweep.Variant("vq", "causal", {})  # an impossible combination: started, recorded, ended
    work = sweep.Variant("daps", "factorised", {"steps": STEPS, "eval_every": STEPS})
    _seconds(nothing, 1, _local(1))  # the imports
    typer.echo(f"local: overhead {_seconds(nothing, NOTHING, _local(1)) / (NOTHING + 1):.3f} s per run")
    if importlib.util.find_spec("ray") is not None:
        typer.echo(f"ray: overhead {_seconds(nothing, NOTHING, _ray) / (NOTHING + 1):.3f} s per run")
    workers = cores()
    for _ in range(REPETITIONS):
        alone, together = (_seconds(work, 2 * workers, _local(count)) for count in (1, workers))
        typer.echo(
            f"{2 * workers} runs of {STEPS} steps: {alone:.1f} s with 1 worker, {together:.1f} s with {workers}: "
            f"{alone / together:.2f} times"
        )


if __name__ == "__main__":
    main()
