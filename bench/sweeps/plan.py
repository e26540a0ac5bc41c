"""A grid of runs, planned and checked whole before the first one starts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from bench.build import PixelStatistics, build, skip_reason
from bench.config import Posterior, Preset, RunConfig, Split, resolve
from bench.data import Dataset, pixel_statistics
from bench.machine.provenance import of_code
from bench.metrics.catalogue import definitions
from bench.metrics.images import provenance as metric_provenance
from bench.sweeps.budget import Schedules
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
    optional: bool = False
    """Whether it is skipped, with the reason, where its parts do not fit; what somebody asked for is refused."""

    @property
    def words(self) -> dict[str, Any]:
        """For `resolve`."""
        return {"estimator": self.estimator, "posterior": self.posterior, "overrides": self.overrides}


@dataclass(frozen=True)
class Sweep:
    """A checked plan."""

    runs: list[RunConfig]
    dataset: Dataset
    pixels: PixelStatistics
    absent: Mapping[str, str]
    """Image metrics that cannot be computed here, and why."""
    impossible: Mapping[str, str]
    """By digest, why a run's parts do not fit."""
    firsts: Sequence[RunConfig]
    """Of each variant in turn, its run with the first seed."""

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
    final_split: Split,
    schedules: Schedules | None = None,
) -> Sweep:
    """Resolve every run, and build one of each kind to see that its parts fit. With `schedules`, steps follow from the
    budget.

    Raises ValueError for the first that does not, but for optional ones, of which some must fit.
    """
    pixels = PixelStatistics(*pixel_statistics(dataset.train))
    runs: dict[str, RunConfig] = {}
    impossible: dict[str, str] = {}
    firsts: list[RunConfig] = []
    for variant in variants:
        if schedules:
            schedules.budget.check(variant.overrides)
        first = resolve(
            **variant.words,
            preset=preset,
            seed=seeds[0],
            device=device,
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            shape=dataset.shape,
            metrics=metrics,
            final_split=final_split,
            budget=str(schedules.budget) if schedules else "",
        )
        reason = ""
        try:
            check_parts(first, dataset.shape)
        except ValueError as error:
            if not variant.optional:
                raise
            reason = str(error)
        if schedules and not reason and skip_reason(first) is None:
            first = schedules.fit(first, dataset.shape, pixels, typed=variant.overrides)
        firsts.append(first)
        for seed in seeds:
            config = first.model_copy(update={"seed": seed})
            runs[config.digest] = config
            if reason:
                impossible[config.digest] = reason
    if len(impossible) == len(runs):
        raise ValueError(next(iter(impossible.values())))
    # seed by seed, so that an interrupted sweep has compared every estimator on the seeds it got to
    return Sweep(sorted(runs.values(), key=lambda config: config.seed), dataset, pixels, absent, impossible, firsts)


def check_parts(config: RunConfig, shape: tuple[int, int, int]) -> None:
    """Build the run to see that its parts fit, unless one was built that differs in nothing but seed, device, metrics
    and images. Raises ValueError if they do not."""
    alike = {"seed": 0, "device": "cpu", "dataset": "", "fingerprint": "", "metrics": (), "final_split": "test"}
    what = config.model_copy(update=alike).digest, shape
    if what not in _fitting and skip_reason(config) is None:
        build(config, shape, PixelStatistics(torch.zeros(shape[0]), torch.ones(shape[0])))
        _fitting.add(what)


def problem(config: RunConfig, shape: tuple[int, int, int]) -> str:
    """Why a run is impossible, its parts or that they are together; empty if it is possible."""
    try:
        check_parts(config, shape)
    except ValueError as error:
        return str(error)
    return skip_reason(config) or ""


def jobs(sweep: Sweep, out: Path, checkpoint_every: int | None = None, tensorboard: bool = False) -> list[Job]:
    """The plan as work to be done: the mean image's score first, then every run."""
    measured = {**metric_provenance(sweep.image_metrics), **definitions("code")}
    provenance = {**of_code(), "metrics": measured, "absent": dict(sweep.absent)}
    common = sweep.pixels, sweep.image_metrics, provenance, checkpoint_every, tensorboard
    made = [
        Job(out.absolute(), config, *common, impossible=sweep.impossible.get(config.digest, ""))
        for config in sweep.runs
    ]
    return [replace(made[0], is_baseline=True), *made]
