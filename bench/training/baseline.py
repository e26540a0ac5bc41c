"""`baseline:mean`: the mean training image as everyone's reconstruction. What beats nothing, in the same table."""

import hashlib
import json

import torch

from bench.build import PixelStatistics, make_likelihood
from bench.config import RunConfig
from bench.data import Dataset
from bench.metrics.images import ImageMetrics
from bench.records.folder import BASELINE, RunFolder


def identity(config: RunConfig) -> dict[str, object]:
    """The table's columns for the baseline of `config`'s dataset, likelihood and metrics."""
    relevant = config.model_dump(
        mode="json",
        include={"dataset", "fingerprint", "preset", "device", "likelihood", "eval_images", "metrics"},
    )
    digest = hashlib.sha256(json.dumps({BASELINE: relevant}, sort_keys=True).encode()).hexdigest()[:16]
    shared = {key: relevant[key] for key in ("dataset", "preset", "device")}
    return {"run": digest, "estimator": BASELINE, "posterior": "none", "seed": 0, **shared}


@torch.no_grad()
def measure(
    config: RunConfig,
    dataset: Dataset,
    pixels: PixelStatistics,
    folder: RunFolder,
    image_metrics: tuple[str, ...],
) -> None:
    """Write the rows of the baseline."""
    device = torch.device(config.device)
    likelihood = make_likelihood(config, pixels).to(device)
    total = torch.zeros(dataset.shape, dtype=torch.float64, device=device)
    for image in dataset.train.batches(torch.arange(len(dataset.train)).split(config.eval_batch)):
        total += likelihood.reference(image).double().sum(0)
    mean = (total / len(dataset.train)).round().to(torch.uint8)
    n = config.measured_images(len(dataset.test))
    pairs = ImageMetrics(image_metrics, device, reference_key=config.reference_key)
    for image in dataset.test.batches(torch.arange(n).split(config.eval_batch)):
        pairs.update(likelihood.reference(image), mean.expand_as(image))
    where = {"step": 0, "images": 0, "decodes": 0, "seconds": 0.0, "split": "test"}
    folder.append(
        {**where, "readout": readout, "metric": metric, "value": value, "n": count}
        for readout in ("sample", "mode")
        for metric, (value, count) in pairs.compute().items()
    )
