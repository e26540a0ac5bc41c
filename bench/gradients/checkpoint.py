"""Gradients on the checkpoint of a real run, where codes are too many to enumerate: variance and signal-to-noise over
noise draws, and the direction against a reference estimated with many samples."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from bench import data
from bench.build import PixelStatistics, Task, build
from bench.config import RunConfig
from bench.data import Dataset, load_again
from bench.gradients.draws import CPU, Gradients, Moment, draw
from bench.gradients.lab import first_images, record, variants
from bench.machine.files import read_json
from bench.records import open_sweep
from bench.seeds import noise_generator
from estimators import Categorical, Estimator, Latent
from estimators.reinforce import Reinforce

IMAGES = 4
DRAWS = 32
SAMPLES = 64
"""Of the reference, which is drawn as often: it averages 64 x 32 samples per image."""


def measure(
    folder: Path,
    run: Path,
    texts: Sequence[str],
    ks: Sequence[int],
    temperatures: Sequence[float],
    say: Callable[[str], None] = print,
) -> None:
    """As `lab.measure`, at the end of a finished run and with its settings. Raises ValueError like `load_run`."""
    config, dataset, task = load_run(run)
    chosen = variants(texts, config, ks, temperatures)
    open_sweep(folder)
    record(folder, config, dataset, chosen, _end(config, dataset, task), say)


def load_run(folder: Path) -> tuple[RunConfig, Dataset, Task]:
    """A finished run's config, data and trained networks.

    Raises ValueError if the folder does not hold a finished run, or its data are no longer what it was trained on.
    """
    recorded = read_json(folder / "config.json")
    if not (folder / "checkpoint.safetensors").is_file() or "config" not in recorded:
        raise ValueError(f"{folder} holds no finished run; try --checkpoint results/NAME/runs/RUN of one that is done")
    config = RunConfig(**recorded["config"])
    dataset = load_again(config.dataset, recorded["provenance"]["dataset"], config.fingerprint)
    task = build(config, dataset.shape, PixelStatistics(*data.pixel_statistics(dataset.train)))
    task.load_state_dict(load_file(folder / "checkpoint.safetensors"))
    return config, dataset, task


class Reference(Reinforce):
    """The score function with many samples: for the q of `other`, or for that of most estimators."""

    def __init__(self, latent: Latent, other: Categorical | None) -> None:
        super().__init__(latent, k=SAMPLES)
        self.other = other

    def logits(self, params: Tensor) -> Tensor:
        return params if self.other is None else self.other.logits(params)


def _end(config: RunConfig, dataset: Dataset, task: Task) -> Iterator[Moment]:
    """Of the run's training, where everything is compared with the reference for its own q."""
    x = first_images(task, dataset, IMAGES)

    def compare(moment: Moment, estimator: Estimator, found: Gradients) -> dict[str, float]:
        if isinstance(estimator, Categorical) and type(estimator).logits is not Categorical.logits:
            return statistics(found, reference(moment, estimator))
        return statistics(found, usual)

    moment = Moment(config, config.steps, task, x, DRAWS, compare)
    usual = reference(moment, None)
    yield moment


def reference(moment: Moment, other: Categorical | None) -> Float[Tensor, "images draws f"]:
    """Draws of Reference."""
    noise = noise_generator(moment.config.seed, "gradients/reference", CPU)
    return draw(moment, Reference(moment.task.estimator.latent, other), noise).draws


def statistics(found: Gradients, reference: Float[Tensor, "images draws f"]) -> dict[str, float]:
    """Variance relative to the squared norm of the estimator's own mean, signal-to-noise, and the cosine of that mean
    to the reference, with a standard error from leaving out one reference draw at a time (jackknife).

    Unitless, pooled over images. Policy search has another objective: its cosine says how far that points elsewhere.
    """
    variance, signal = found.variance, found.signal.clamp(min=torch.finfo(found.draws.dtype).tiny)

    def cosine(target: Tensor) -> Tensor:
        return torch.nn.functional.cosine_similarity(found.mean.flatten(), target.flatten(), dim=0)

    total, n = reference.sum(1), reference.shape[1]
    left_out = torch.stack([cosine((total - reference[:, i]) / (n - 1)) for i in range(n)])
    values = {
        "relative_variance": variance / signal,
        "snr": signal / variance,
        "snr_per_decode": signal / variance / found.decodes,
        "cosine_to_reference": cosine(total / n),
        "cosine_error": ((n - 1) * left_out.var(correction=0)).sqrt(),
    }
    return {name: value.item() for name, value in values.items()}
