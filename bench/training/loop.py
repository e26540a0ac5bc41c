"""The training loop, on one page."""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save

from bench.data import Dataset
from bench.machine.devices import reset_peak_memory
from bench.machine.files import write_atomically
from bench.metrics.evaluate import reconstructions
from bench.records.folder import RunFolder
from bench.seeds import batch_order, noise_generator
from bench.training import checkpoint
from bench.training.checkpoint import State
from bench.training.journal import Cost, Journal
from bench.training.step import Movement, Trainer

SAMPLE_IMAGES = 12
NOTE_SECONDS = 1.0
"""Between two notes of where a run is."""
_CPU = torch.device("cpu")


class Stopped(Exception):
    """Someone asked the run to stop; it can go on from its checkpoint."""


class Clock:
    """Adds what passes to the training seconds, except while it is paused."""

    def __init__(self, cost: Cost, device: torch.device) -> None:
        self.cost, self.device = cost, device
        self.started = time.perf_counter()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.cost.seconds += time.perf_counter() - self.started
        yield
        self.started = time.perf_counter()


def train(
    trainer: Trainer,
    dataset: Dataset,
    folder: RunFolder,
    image_metrics: tuple[str, ...],
    *,
    code: str = "",
    checkpoint_every: int | None = None,
    board: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Cost:
    """Train and measure one run, leaving rows, samples.png and checkpoint.safetensors in its folder; returns its cost.

    Goes on from the last checkpoint in the folder if it was written by the same `code`, and leaves the rows that it
    would have left undisturbed. `dataset` lies on the run's device; `image_metrics` are those of config.metrics that
    can be had. `checkpoint_every` counts steps; None: at every evaluation. `board`: a folder for TensorBoard.

    Raises Diverged if the loss or its gradient is not finite, and Stopped, after a checkpoint, if `should_stop`.
    """
    config, device = trainer.config, torch.device(trainer.config.device)
    checkpoint_every = checkpoint_every or config.eval_every
    journal = Journal(folder, trainer, dataset, image_metrics, board)
    _go_on(trainer, journal, code)
    if journal.cost.step == 0:
        journal.look()
    order = batch_order(len(dataset.train), config.batch_size, config.steps, noise_generator(config.seed, "data", _CPU))
    note_position = _position_notes(folder, journal.cost, config.steps)
    reset_peak_memory(device)
    clock = Clock(journal.cost, device)
    for image in dataset.train.batches(itertools.islice(order, journal.cost.step, None)):
        step = journal.cost.step + 1
        last = step == config.steps
        measuring = last or step % config.eval_every == 0
        movement = None
        if measuring or step % config.log_every == 0:
            with clock.paused():
                movement = Movement(trainer.task, image)
        journal.record(*trainer.update(image, step - 1), len(image))
        if movement is not None:
            with clock.paused():
                journal.flush(movement.realised_kl(noise_generator(config.seed, f"movement {step}", device)))
                if measuring and not (last and config.final_split == "validation"):
                    journal.look()
        note_position()
        stopping = should_stop() and not last
        if stopping or (step % checkpoint_every == 0 and not last):
            with clock.paused():
                _keep(trainer, journal, code)
        if stopping:
            raise Stopped
    journal.write_costs()
    journal.conclude()
    _save_samples(trainer, dataset, folder)
    weights = {name: tensor.contiguous() for name, tensor in trainer.task.state_dict().items()}
    write_atomically(folder.path / "checkpoint.safetensors", save(weights))
    checkpoint.remove(folder.path)
    return journal.cost


def _keep(trainer: Trainer, journal: Journal, code: str) -> None:
    mine, its = trainer.state(), journal.state()
    facts = {**mine.facts, **its.facts, "code": code}
    checkpoint.write(journal.folder.path, journal.cost.step, State({**mine.tensors, **its.tensors}, facts))


def _go_on(trainer: Trainer, journal: Journal, code: str) -> None:
    """From the last checkpoint that fits, or from the start."""
    folder = journal.folder
    state = checkpoint.read(folder.path, folder.say)
    why = ""
    if state is not None and state.facts["code"] != code:
        why = "the code behind the run's numbers has changed since the checkpoint"
    elif state is not None and state.facts["rows_bytes"] > folder.rows_bytes:
        why = "rows written before the checkpoint are gone"
    if why:
        folder.say(f"{why}: starting over")
    if state is None or why:
        checkpoint.remove(folder.path)
        folder.keep_rows(0)
        return
    trainer.restore(state)
    journal.restore(state)
    folder.say(f"going on from step {journal.cost.step}")


def _position_notes(folder: RunFolder, cost: Cost, steps: int) -> Callable[[], None]:
    """A function that writes down, about once a second, where the run is, for those who watch."""
    first, began = cost.step, time.time()
    worker = {"host": socket.gethostname(), "pid": os.getpid()}
    noted = 0.0

    def note() -> None:
        nonlocal noted
        if time.monotonic() - noted >= NOTE_SECONDS:
            noted = time.monotonic()
            speed = (cost.step - first) / max(time.time() - began, 1e-3)
            folder.set_status("running", step=cost.step, steps=steps, steps_per_second=round(speed, 3), **worker)

    return note


def _save_samples(trainer: Trainer, dataset: Dataset, folder: RunFolder) -> None:
    """samples.png: originals over reconstructions, at their own size."""
    from torchvision.io import encode_png

    rows = reconstructions(trainer.task, dataset.held_out(trainer.config.final_split), trainer.config, SAMPLE_IMAGES)
    picture = torch.cat([torch.cat(list(images), -1) for images in rows], -2)
    write_atomically(folder.path / "samples.png", encode_png(picture.cpu()).numpy().tobytes())
