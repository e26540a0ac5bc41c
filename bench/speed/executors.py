"""What processes cost and what they gain: `python -m bench.speed.executors` (two minutes on two idle cores)."""

import importlib.util
import tempfile
import time
from pathlib import Path

import torch
import typer

from bench import data, records
from bench.config import Preset
from bench.machine.devices import cores
from bench.sweeps import plan as sweep
from bench.sweeps.execute import execute, queue
from bench.sweeps.executors import Place

NOTHING = 40
"""Runs with nothing to do, for the overhead."""
STEPS = 400
REPETITIONS = 3
DATASET = "digits"


def _seconds(variant: sweep.Variant, seeds: int, place: Place) -> float:
    """Of a sweep, from its submission to its last row. The start of a cluster is not counted."""
    dataset = data.load(DATASET)
    planned = sweep.plan(
        [variant],
        range(seeds),
        preset=Preset(DATASET, "quick"),
        device="cpu",
        dataset=dataset,
        metrics=("psnr",),
        absent={},
        final_split="test",
    )
    with tempfile.TemporaryDirectory() as scratch:
        records.open_sweep(Path(scratch))
        jobs = sweep.jobs(planned, Path(scratch))
        queue(jobs, fresh=False)
        place.device("cpu")
        executor = place.executor(dataset, Path(scratch), "cpu")
        started = time.perf_counter()
        execute(jobs, executor, retries=0)
        return time.perf_counter() - started


def main() -> None:
    """Overhead per run, and the speed of one worker per core over that of one worker, at one thread each."""
    torch.set_num_threads(1)
    nothing = sweep.Variant("vq", "causal", {})  # an impossible combination: started, recorded, ended
    work = sweep.Variant("daps", "factorised", {"steps": STEPS, "eval_every": STEPS})
    _seconds(nothing, 1, Place("local", workers=1))  # the imports
    for place in [Place("local", workers=1), Place("ray")]:
        if place.name == "local" or importlib.util.find_spec(place.name) is not None:
            overhead = _seconds(nothing, NOTHING, place) / (NOTHING + 1)
            typer.echo(f"{place.name}: overhead {overhead:.3f} s per run")
    workers = cores()
    for _ in range(REPETITIONS):
        alone, together = (_seconds(work, 2 * workers, Place("local", workers=count)) for count in (1, workers))
        typer.echo(
            f"{2 * workers} runs of {STEPS} steps: {alone:.1f} s with 1 worker, {together:.1f} s with {workers}: "
            f"{alone / together:.2f} times"
        )


if __name__ == "__main__":
    main()
