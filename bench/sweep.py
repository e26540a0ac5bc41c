"""A grid of runs: planned and checked whole before the first one starts, then run one after another."""

import contextlib
import itertools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from bench import baseline, records
from bench.build import PixelStatistics, build, skip_reason
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.data import Dataset, pixel_statistics
from bench.image_metrics import provenance as metric_provenance
from bench.provenance import provenance
from bench.records import RunFolder
from bench.train import Diverged, Trainer, train

FINISHED = ("done", "diverged", "skipped")
"""States that the same command does not run again."""


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
    *,
    estimators: Sequence[str],
    posteriors: Sequence[Posterior],
    seeds: Sequence[int],
    preset: Preset,
    device: Literal["cpu", "cuda"],
    dataset: Dataset,
    metrics: tuple[str, ...],
    absent: Mapping[str, str],
    overrides: Mapping[str, object],
) -> Sweep:
    """Resolve every run, and build one of each kind to see that its parts fit.

    Raises ValueError for the first that does not.
    """
    pixels = PixelStatistics(*pixel_statistics(dataset.train))
    runs: dict[str, RunConfig] = {}
    for posterior, estimator in itertools.product(posteriors, estimators):
        kind = [
            resolve(
                estimator=estimator,
                posterior=posterior,
                preset=preset,
                seed=seed,
                device=device,
                dataset=dataset.name,
                fingerprint=dataset.fingerprint,
                shape=dataset.shape,
                metrics=metrics,
                overrides=overrides,
            )
            for seed in seeds
        ]
        if skip_reason(kind[0]) is None:
            build(kind[0], dataset.shape, pixels)
        runs |= {config.digest: config for config in kind}
    # seed by seed, so that an interrupted sweep has compared every estimator on the seeds it got to
    return Sweep(sorted(runs.values(), key=lambda config: config.seed), dataset, pixels, absent)


@dataclass(frozen=True)
class Progress:
    """Where a sweep reports to."""

    start_run: Callable[[RunConfig], None]
    step: Callable[[int], None]
    end_run: Callable[[], None]


def execute(sweep: Sweep, out: Path, *, fresh: bool, progress: Progress) -> None:
    """Run what is not finished yet. A run that diverges or raises is recorded and does not stop the others.

    `out` has been opened with `records.open_sweep`.
    """
    device = torch.device(sweep.runs[0].device)
    dataset = sweep.dataset.to(device)
    shared = {
        "dataset": dataset.provenance,
        "metrics": metric_provenance(sweep.image_metrics),
        "absent": sweep.absent,
    }
    recorded = {**provenance(), **shared}
    _baseline(sweep, dataset, out, fresh, recorded)
    for config in sweep.runs:
        folder = RunFolder(out, config.digest)
        progress.start_run(config)
        if fresh or folder.status.get("state") not in FINISHED:
            folder.start(_identity(config), config.model_dump(mode="json"), recorded)
            reason = skip_reason(config)
            if reason:
                folder.finish("skipped", reason=reason)
            else:
                with _recorded(folder):
                    task = build(config, dataset.shape, sweep.pixels).to(device)
                    train(Trainer(config, task), dataset, folder, sweep.image_metrics, progress.step)
        progress.end_run()
    records.write_table(records.load(out), out)


def _identity(config: RunConfig) -> dict[str, object]:
    columns = (column for column in records.RUN_COLUMNS if column != "run")
    return {"run": config.digest, **{column: getattr(config, column) for column in columns}}


def _baseline(sweep: Sweep, dataset: Dataset, out: Path, fresh: bool, recorded: Mapping[str, object]) -> None:
    config = sweep.runs[0]
    identity = baseline.identity(config)
    folder = RunFolder(out, str(identity["run"]))
    if fresh or folder.status.get("state") not in FINISHED:
        folder.start(identity, {}, recorded)
        with _recorded(folder):
            baseline.measure(config, dataset, sweep.pixels, folder, sweep.image_metrics)


@contextlib.contextmanager
def _recorded(folder: RunFolder) -> Iterator[None]:
    """Write down how the run ended, whatever happens, short of being stopped by the user."""
    started = time.time()
    try:
        yield
    except Diverged as error:
        folder.finish("diverged", step=error.step, reason=str(error))
    except Exception as error:
        (folder.path / "traceback.txt").write_text(traceback.format_exc())
        folder.finish("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
    else:
        folder.finish("done", took=round(time.time() - started, 1))
