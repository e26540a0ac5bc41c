"""What processes cost and what they gain: `python -m bench.executors.benchmark` (about a minute on two idle cores)."""

import tempfile
import time
from pathlib import Path

import torch
import typer

from bench import data, records, sweep
from bench.config import Preset
from bench.executors.local import Local, cores

NOTHING = 40
"""Runs with nothing to do, for the overhead."""
STEPS = 400
REPETITIONS = 3
DATASET = "digits"


def _seconds(variant: sweep.Variant, seeds: int, workers: int) -> float:
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
        executor = Local(dataset, workers)
        started = time.perf_counter()
        sweep.execute(jobs, executor, retries=0)
        return time.perf_counter() - started


def main() -> None:
    """Overhead per run, and the speed of one worker per core over that of one worker, at one thread each."""
    torch.set_num_threads(1)
    nothing = sweep.Variant("vq", "causal", {})  # an impossible combination: started, recorded, ended
    work = sweep.Variant("daps", "factorised", {"steps": STEPS, "eval_every": STEPS})
    _seconds(nothing, 1, 1)  # the imports
    typer.echo(f"overhead: {_seconds(nothing, NOTHING, 1) / (NOTHING + 1):.3f} s per run")
    workers = cores()
    for _ in range(REPETITIONS):
        alone, together = (_seconds(work, 2 * workers, count) for count in (1, workers))
        typer.echo(
            f"{2 * workers} runs of {STEPS} steps: {alone:.1f} s with 1 worker, {together:.1f} s with {workers}: "
            f"{alone / together:.2f} times"
        )


if __name__ == "__main__":
    main()
