"""A grid of runs, planned and checked whole before the first one starts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from bench.build import PixelStatistics, build, skip_reason
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.data import Dataset, pixel_statistics
from bench.machine.provenance import of_code
from bench.metrics.catalogue import definitions
from bench.metrics.images import provenance as metric_provenance
from bench.training.run import Job

_fitting: set[tuple[str, tuple[int, int, int]]] = set()
"""Runs whose parts were seen to fit, by the digest of what decides that, and the shape of the images."""


@dataclass(frozen=True)
class Variant:
    """One kind of run, to be done for every seed, in the words of `resolve`."""

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
) -> Sweep:
    """Resolve every run, and build one of each kind to see that its parts fit.

    Raises ValueError for the first that does not.
    """
    pixels = PixelStatistics(*pixel_statistics(dataset.train))
    runs: dict[str, RunConfig] = {}
    for variant in variants:
        first = resolve(
            **vars(variant),
            preset=preset,
            seed=seeds[0],
            device=device,
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            shape=dataset.shape,
            metrics=metrics,
        )
        check_parts(first, dataset.shape)
        for seed in seeds:
            config = first.model_copy(update={"seed": seed})
            runs[config.digest] = config
    # seed by seed, so that an interrupted sweep has compared every estimator on the seeds it got to
    return Sweep(sorted(runs.values(), key=lambda config: config.seed), dataset, pixels, absent)


def check_parts(config: RunConfig, shape: tuple[int, int, int]) -> None:
    """Build the run to see that its parts fit, unless one was built that differs in nothing but seed, device, metrics
    and what the images show. Raises ValueError if they do not."""
    alike = {"seed": 0, "device": "cpu", "dataset": "", "fingerprint": "", "metrics": ()}
    what = config.model_copy(update=alike).digest, shape
    if what not in _fitting and skip_reason(config) is None:
        build(config, shape, PixelStatistics(torch.zeros(shape[0]), torch.ones(shape[0])))
        _fitting.add(what)


def jobs(sweep: Sweep, out: Path, checkpoint_every: int | None = None, tensorboard: bool = False) -> list[Job]:
    """The plan as work to be done: the mean image's score first, then every run."""
    measured = {**metric_provenance(sweep.image_metrics), **definitions("code")}
    provenance = {**of_code(), "metrics": measured, "absent": dict(sweep.absent)}
    made = [
        Job(out.absolute(), config, sweep.pixels, sweep.image_metrics, provenance, checkpoint_every, tensorboard)
        for config in sweep.runs
    ]
    return [replace(made[0], is_baseline=True), *made]
