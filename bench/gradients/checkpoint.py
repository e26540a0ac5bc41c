"""Gradients on the checkpoint of a real run, where codes are too many to enumerate: variance and signal-to-noise over
noise draws, and the direction against a reference estimated with many samples."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from bench import data
from bench.build import PixelStatistics, Task, build
from bench.config import RunConfig
from bench.data import Dataset, load_again
from bench.gradients.lab import Gradients, draw, settle, variants
from bench.machine.files import read_json
from bench.seeds import noise_generator
from estimators import Latent, load

IMAGES = 4
DRAWS = 32
REFERENCE = "reinforce:k=64"
REFERENCE_DRAWS = 32
"""The reference averages 64 x 32 samples per image."""


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


def measure(
    folder: Path, texts: Sequence[str], ks: Sequence[int], temperatures: Sequence[float]
) -> Iterator[dict[str, object]]:
    """Rows in the columns of `records`, at the run's last step; estimators that are left out as in the lab."""
    config, dataset, task = load_run(folder)
    images = next(iter(dataset.test.batches([torch.arange(min(IMAGES, len(dataset.test)))])))
    x = task.model.likelihood.data(images)
    reference = _reference(task, x, config)
    columns = ("posterior", "dataset", "preset", "seed", "device")
    where = {"run": config.digest, **{column: getattr(config, column) for column in columns}, "step": config.steps}
    where |= {"images": config.steps * config.batch_size, "decodes": 0, "seconds": float("nan"), "split": "test"}
    for name, made in variants(texts, config, ks, temperatures):
        row = {**where, "estimator": name, "readout": ""}
        if isinstance(made, str):
            yield {**row, "metric": "skipped", "readout": made, "value": float("nan"), "n": 0}
            continue
        if name == config.estimator:
            made.load_state_dict(task.estimator.state_dict())
        else:
            settle(task, made, dataset, config)
        noise = noise_generator(config.seed, f"gradients/{name}", torch.device("cpu"))
        found = draw(task, made, x, DRAWS, config.beta_end, noise)
        for metric, value in statistics(found, reference).items():
            yield {**row, "decodes": found.decodes, "metric": metric, "value": value, "n": DRAWS * len(x)}


def _reference(task: Task, x: Tensor, config: RunConfig) -> Float[Tensor, "images draws f"]:
    estimator = load(REFERENCE, Latent(config.length, config.vocab, config.width))
    noise = noise_generator(config.seed, "gradients/reference", torch.device("cpu"))
    return draw(task, estimator, x, REFERENCE_DRAWS, config.beta_end, noise).draws


def statistics(found: Gradients, reference: Float[Tensor, "images draws f"]) -> dict[str, float]:
    """Variance relative to the squared norm of the estimator's own mean, signal-to-noise, and the cosine of that mean
    to the reference, with a standard error from leaving out one reference draw at a time (jackknife).

    Unitless, pooled over images. Policy search has another objective: its cosine says how far that points elsewhere.
    """
    count = found.draws.shape[1]
    mean = found.draws.mean(1)
    variance = found.draws.var(1).sum()
    signal = (mean.square().sum() - variance / count).clamp(min=torch.finfo(mean.dtype).tiny)

    def cosine(target: Tensor) -> Tensor:
        return torch.nn.functional.cosine_similarity(mean.flatten(), target.flatten(), dim=0)

    total, n = reference.sum(1), reference.shape[1]
    left_out = torch.stack([cosine((total - reference[:, i]) / (n - 1)) for i in range(n)])
    error = ((n - 1) * left_out.var(correction=0)).sqrt()
    values = {
        "relative_variance": variance / signal,
        "snr": signal / variance,
        "snr_per_decode": signal / variance / found.decodes,
        "cosine_to_reference": cosine(total / n),
        "cosine_error": error,
    }
    return {name: value.item() for name, value in values.items()}
