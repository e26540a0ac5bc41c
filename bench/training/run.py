"""One run from its job to its end, wherever a worker is: locked, resumed, trained, and recorded however it ends.

So is `baseline:mean`, the mean training image as everyone's reconstruction: what beats nothing, in the same table.
"""

import errno
import functools
import socket
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench.build import PixelStatistics, build, skip_reason
from bench.config import RunConfig
from bench.data import Dataset
from bench.machine.files import digest_of
from bench.machine.provenance import code_fingerprint, hardware
from bench.metrics.evaluate import evaluate_mean_image
from bench.records.folder import BASELINE, RUN_COLUMNS, RunFolder
from bench.text import slug
from bench.training.cuda_graph import recorder
from bench.training.journal import Diverged
from bench.training.loop import Stopped, train
from bench.training.step import Trainer


@dataclass(frozen=True, eq=False)
class Job:
    """What a worker needs to know of one run, besides the images."""

    out: Path
    """The sweep's folder, absolute."""
    config: RunConfig
    pixels: PixelStatistics
    image_metrics: tuple[str, ...]
    provenance: Mapping[str, object]
    """What config.json says of the code and the metrics; the worker adds its hardware and the images."""
    checkpoint_every: int | None
    tensorboard: bool
    is_baseline: bool = False
    """Measure the mean image instead of training."""
    impossible: str = ""
    """Why its parts do not fit, if somebody who planned it found out."""

    @functools.cached_property
    def identity(self) -> dict[str, object]:
        """What fills RUN_COLUMNS."""
        return baseline_columns(self.config) if self.is_baseline else run_columns(self.config, self.config.digest)

    @property
    def run(self) -> str:
        return str(self.identity["run"])

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.out, self.run)

    @property
    def board(self) -> Path:
        """Where TensorBoard finds the run, under a name that says what it is."""
        return self.out / "tensorboard" / f"{slug(self)}-{self.run[:6]}"

    def __str__(self) -> str:
        name = str(self.identity["estimator"])
        return name if self.is_baseline else f"{name} {self.config.posterior} seed {self.config.seed}"


def perform(job: Job, dataset: Dataset, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Do the run unless it is finished or another process has it. A run that diverges or raises is recorded.

    Raises OSError if the disk is full, since then nothing can be recorded, and ValueError where the sweep's folder is
    not: nobody would see what is written there.
    """
    folder = job.folder
    if not folder.path.is_dir():
        raise ValueError(
            f"{folder.path} is not here on {socket.gethostname()}; give --out a folder that all nodes share, and see "
            "that it is mounted there"
        )
    with folder.lock() as ours:
        if not ours or folder.finished:
            return
        here = {"hardware": hardware(), "dataset": dataset.provenance}
        folder.start(job.identity, job.config.model_dump(mode="json"), {**job.provenance, **here})
        try:
            _perform(job, dataset, folder, should_stop)
        except Stopped:
            folder.finish("stopped", reason="was asked to stop")
        except Diverged as error:
            folder.finish("diverged", step=error.step, reason=str(error))
        except Exception as error:
            record_failure(folder, error)


def run_columns(config: RunConfig, run: str) -> dict[str, object]:
    """RUN_COLUMNS of a run that has this name."""
    return {"run": run, **{column: getattr(config, column) for column in RUN_COLUMNS if column != "run"}}


def baseline_columns(config: RunConfig) -> dict[str, object]:
    """RUN_COLUMNS of the baseline of `config`'s dataset, likelihood and metrics."""
    decisive = {"dataset", "fingerprint", "preset", "device", "likelihood", "eval_images", "metrics", "final_split"}
    run = digest_of({BASELINE: config.model_dump(mode="json", include=decisive)})
    return {**run_columns(config, run), "estimator": BASELINE, "posterior": "none", "seed": 0}


def record_failure(folder: RunFolder, error: Exception) -> None:
    """Of a run, while its error is handled. Raises it again if the disk is full, since then nothing can be recorded."""
    if is_disk_full(error):
        raise error
    (folder.path / "traceback.txt").write_text(traceback.format_exc())
    folder.finish("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])


def _perform(job: Job, dataset: Dataset, folder: RunFolder, should_stop: Callable[[], bool]) -> None:
    config = job.config
    dataset = dataset.to(torch.device(config.device))
    if job.is_baseline:
        folder.keep_rows(0)
        where = {"step": 0, "images": 0, "decodes": 0, "seconds": 0.0}
        for split in dict.fromkeys(("validation", config.final_split)):
            measured = evaluate_mean_image(config, dataset, split, job.pixels, job.image_metrics)
            for readout in ("sample", "mode"):
                which = {**where, "split": split, "readout": readout}
                folder.append({**which, **asdict(measurement)} for measurement in measured)
        folder.finish("done")
        return
    reason = job.impossible or skip_reason(config)
    if reason:
        folder.finish("skipped", reason=reason)
        return
    task = build(config, dataset.shape, job.pixels).to(config.device)
    cost = train(
        Trainer(config, task, recorder(config.device), folder.say),
        dataset,
        folder,
        job.image_metrics,
        code=code_fingerprint(config.estimator),
        checkpoint_every=job.checkpoint_every,
        board=job.board if job.tensorboard else None,
        should_stop=should_stop,
    )
    folder.finish("done", seconds=round(cost.seconds, 1))


def is_disk_full(error: BaseException | None) -> bool:
    """Or the user's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
