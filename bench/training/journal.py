"""What a run writes while it trains: diagnostics averaged over steps, measurements, and what they had cost."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from bench.config import Split
from bench.data import Dataset
from bench.machine.devices import peak_memory
from bench.metrics.catalogue import METRICS, Readout
from bench.metrics.evaluate import Measurement, evaluate, evaluate_codes
from bench.records import COST_COLUMNS
from bench.records.folder import RunFolder
from bench.training.checkpoint import State
from bench.training.step import Trainer

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

TRAIN_METRICS = ("log_lik", "kl", "grad_norm", "realised_kl")
"""Diagnostics that mean the same for every estimator; all others are rows named term/..."""


class Diverged(Exception):
    """The loss or its gradient was not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss or its gradient was not finite at step {step}")
        self.step = step


@dataclass
class Cost:
    """What training had cost so far; `seconds` leaves evaluation out."""

    step: int = 0
    images: int = 0
    decodes: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""


class Journal:
    """Turns diagnostics and measurements into rows of the run's folder."""

    def __init__(
        self,
        folder: RunFolder,
        trainer: Trainer,
        dataset: Dataset,
        image_metrics: tuple[str, ...],
        board: Path | None = None,
    ) -> None:
        """`board`: where the same is written once more, for TensorBoard."""
        self.folder, self.trainer, self.dataset, self.image_metrics = folder, trainer, dataset, image_metrics
        self.board = board
        self.cost = Cost()
        self.window: list[dict[str, Tensor]] = []

    def state(self) -> State:
        """Cost so far, the diagnostics that are not rows yet, and how many bytes the rows take."""
        keys = list(self.window[0]) if self.window else []
        tensors = {f"window/{key}": torch.stack([terms[key] for terms in self.window]) for key in keys}
        facts = {"cost": asdict(self.cost), "window": keys, "rows_bytes": self.folder.rows_bytes}
        return State(tensors, facts)

    def restore(self, state: State) -> None:
        """Become the journal that `state` was taken from, its file of rows included."""
        self.cost = Cost(**state.facts["cost"])
        keys = state.facts["window"]
        steps = zip(*(state.tensors[f"window/{key}"] for key in keys), strict=True)
        self.window = [dict(zip(keys, values, strict=True)) for values in steps]
        self.folder.keep_rows(state.facts["rows_bytes"])

    def record(self, terms: dict[str, Tensor], decodes: int, images: int) -> None:
        """One more step."""
        self.window.append(terms)
        self.cost.step += 1
        self.cost.images += images
        self.cost.decodes += decodes * images

    def write(self, split: str, readout: str, measurements: list[Measurement]) -> None:
        where = {column: getattr(self.cost, column) for column in COST_COLUMNS}
        where |= {"split": split, "readout": readout}
        self.folder.append({**where, **asdict(measurement)} for measurement in measurements)
        if self.board is not None:
            for measurement in measurements:
                name = "/".join(filter(None, (split, readout, measurement.metric)))
                self._writer.add_scalar(name, measurement.value, self.cost.step)
            self._writer.flush()

    @functools.cached_property
    def _writer(self) -> "SummaryWriter":
        from torch.utils.tensorboard.writer import SummaryWriter

        # of a run that goes on, what it had written after its checkpoint is written again
        return SummaryWriter(self.board, purge_step=self.cost.step + 1 if self.cost.step else None)

    def flush(self, realised_kl: float | None) -> None:
        """Average the diagnostics since the last flush into rows, over the updates that were made. Raises Diverged,
        naming the step."""
        if not self.window:
            return
        batch, skips = self.trainer.config.batch_size, self.trainer.config.skip_non_finite
        values = {key: torch.stack([terms[key].float() for terms in self.window]) for key in self.window[0]}
        finite = values.pop("finite").bool()
        if not (finite.any() if skips else finite.all()):
            step = self.cost.step - len(finite) + int(finite.int().argmin()) + 1
            self.write("train", "", [Measurement("diverged", float(step), batch)])
            raise Diverged(step)
        n = int(finite.sum()) * batch
        named = {key if key in TRAIN_METRICS else f"term/{key}": value for key, value in values.items()}
        self.cost.peak_memory = max(self.cost.peak_memory, peak_memory(torch.device(self.trainer.config.device)))
        measurements = [Measurement(key, value[finite].mean().item(), n) for key, value in named.items()]
        if skips:
            share = 1 - finite.float().mean().item()
            measurements.append(Measurement("term/skipped_updates", share, len(finite) * batch))
        if realised_kl is not None:
            measurements.append(Measurement("realised_kl", realised_kl, batch))
        self.write("train", "", measurements)
        self.window.clear()

    def look(self) -> None:
        """Measure on validation images what is soon measured, of the most likely codes only how they use the
        codebook."""
        self._evaluate("validation", "sample", [name for name in self.image_metrics if not METRICS[name].costly])
        trainer = self.trainer
        self.write("validation", "mode", evaluate_codes(trainer.task, self.dataset.validation, trainer.config))

    def conclude(self) -> None:
        """Measure what the run came to, with all that is costly or long: here alone test images are read."""
        for readout in get_args(Readout):
            self._evaluate(self.trainer.config.final_split, readout, self.image_metrics, per_position=True)

    def _evaluate(self, split: Split, readout: Readout, metrics: Sequence[str], per_position: bool = False) -> None:
        task, config = self.trainer.task, self.trainer.config
        how = {"split": split, "readout": readout, "image_metrics": metrics, "per_position": per_position}
        self.write(split, readout, evaluate(task, self.dataset, config, **how))

    def write_costs(self) -> None:
        """What the run cost in all."""
        cost, task = self.cost, self.trainer.task
        found = {
            "ms_per_step": (1e3 * cost.seconds / cost.step, cost.images),
            "images_per_second": (cost.images / cost.seconds, cost.images),
            "peak_memory": (cost.peak_memory / 2**20, cost.images),
            "parameters": (float(_count(task.model)), 1),
            "parameters_estimator": (float(_count(task.estimator)), 1),
        }
        self.write("train", "", [Measurement(metric, value, n) for metric, (value, n) in found.items()])


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
