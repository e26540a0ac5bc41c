"""What is measured on the held-out split: one code path for all estimators.

Uses an estimator's `hard`, `mode`, `index` and `kl` and the decoder, and nothing of its loss.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bench.build import Task
from bench.data import Images
from bench.image_metrics import IMAGE_METRICS, ImageMetrics, MetricInfo

Readout = Literal["sample", "mode"]
COSTLY = ("lpips", "rfid")
"""Image metrics that run a network of their own: measured at the last step only."""

CODE_METRICS = {
    info.name: info
    for info in (
        MetricInfo("log_lik", "nats", "higher", "log p(x|z) per image, of the standardised or binarised pixels", None),
        MetricInfo("kl", "nats", "lower", "KL(q(z|x) || uniform) per image; L log V for quantizers", None),
        MetricInfo("bits", "bits", "lower", "the same KL in bits: the rate per image under a uniform prior", None),
        MetricInfo("elbo", "nats", "higher", "log p(x|z) - KL per image; NaN for quantizers", None),
        MetricInfo("beta_elbo", "nats", "higher", "log p(x|z) - beta_end KL per image; NaN for quantizers", None),
        MetricInfo("usage", "fraction", "higher", "codes used at least once on the split / vocabulary", None),
        MetricInfo("perplexity", "codes", "higher", "exp(entropy of the codes over split and positions)", None),
    )
}
COST_METRICS = {
    info.name: info
    for info in (
        MetricInfo("ms_per_step", "ms", "lower", "training time per optimiser step, evaluation excluded", None),
        MetricInfo("images_per_second", "images/s", "higher", "training throughput", None),
        MetricInfo("peak_memory", "MiB", "lower", "of the device while training; of the process on the CPU", None),
        MetricInfo("parameters", "count", "lower", "of encoder, posterior and decoder", None),
        MetricInfo(
            "parameters_estimator",
            "count",
            "lower",
            "of what the estimator owns: codebook, critic, ...",
            None,
        ),
    )
}
METRICS = {**IMAGE_METRICS, **CODE_METRICS, **COST_METRICS}


@dataclass(frozen=True)
class Measurement:
    metric: str
    value: float
    n: int


class CodeUsage:
    """Histogram of codes per position over a whole split."""

    def __init__(self, length: int, vocab: int, device: torch.device) -> None:
        self.vocab = vocab
        self.counts = torch.zeros(length, vocab, dtype=torch.int64, device=device)

    def update(self, index: Int[Tensor, "b L"]) -> None:
        self.counts.scatter_add_(1, index.T, torch.ones_like(index.T))

    def measure(self, per_position: bool) -> dict[str, float]:
        pooled = self._statistics(self.counts.sum(0, keepdim=True))
        found = {name: values[0] for name, values in pooled.items()}
        if per_position:
            for name, values in self._statistics(self.counts).items():
                found |= {f"{name}/{position}": value for position, value in enumerate(values)}
        return found

    def _statistics(self, counts: Int[Tensor, "n v"]) -> dict[str, list[float]]:
        frequency = counts.double() / counts.sum(-1, keepdim=True)
        entropy = -torch.special.xlogy(frequency, frequency).sum(-1)
        return {
            "usage": ((counts > 0).sum(-1) / self.vocab).tolist(),
            "perplexity": entropy.exp().tolist(),
        }


def noise_generator(seed: int, stream: str, device: torch.device) -> torch.Generator:
    """One of a run's random streams: `data`, `noise` or `evaluation`, each independent of the others."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


@torch.no_grad()
def evaluate(
    task: Task,
    images: Images,
    *,
    readout: Readout,
    image_metrics: tuple[str, ...],
    n: int,
    batch: int,
    beta_end: float,
    seed: int,
    device: torch.device,
    reference_key: str,
    per_position: bool,
) -> list[Measurement]:
    """Measure the first n images of a split. The noise of the `sample` readout depends on the seed alone."""
    noise = noise_generator(seed, "evaluation", device)
    estimator, latent = task.estimator, task.estimator.latent
    pairs = ImageMetrics(image_metrics, device, reference_key=reference_key)
    usage = CodeUsage(latent.length, latent.vocab, device)
    log_lik = torch.zeros((), dtype=torch.float64, device=device)
    kl = torch.zeros((), dtype=torch.float64, device=device)
    draw = estimator.mode if readout == "mode" else lambda params: estimator.hard(params, noise)
    for image in images.batches(torch.arange(n).split(batch)):
        x = task.model.likelihood.data(image)
        posterior, _ = task.model.encode(x)
        code, params = posterior.rollout(draw, 1)
        decoded = task.model.decode(code)
        log_lik += task.model.likelihood.log_prob(decoded, x).double().sum()
        kl += estimator.kl(params).double().sum()
        usage.update(estimator.index(code)[0])
        pairs.update(task.model.likelihood.reference(image), task.model.likelihood.image(decoded[0]))
    found = {name: value for name, (value, _) in pairs.compute().items()}
    found |= usage.measure(per_position)
    found |= _likelihoods(log_lik.item() / n, kl.item() / n, beta_end, readout, estimator.has_elbo)
    return [Measurement(name, value, n) for name, value in found.items()]


def _likelihoods(log_lik: float, kl: float, beta_end: float, readout: Readout, has_elbo: bool) -> dict[str, float]:
    found = {"log_lik": log_lik, "kl": kl, "bits": kl / math.log(2)}
    if readout == "sample":
        # the ELBO is an expectation under q: the mode's likelihood does not belong in it
        found["elbo"] = log_lik - kl if has_elbo else math.nan
        found["beta_elbo"] = log_lik - beta_end * kl if has_elbo else math.nan
    return found


@torch.no_grad()
def reconstructions(
    task: Task, images: Images, count: int, seed: int, device: torch.device
) -> tuple[UInt8[Tensor, "n c h w"], UInt8[Tensor, "n c h w"]]:
    """The first `count` test images and their reconstructions from one sampled code each."""
    noise = noise_generator(seed, "evaluation", device)
    (image,) = images.batches([torch.arange(min(count, len(images)))])
    x = task.model.likelihood.data(image)
    posterior, _ = task.model.encode(x)
    code, _ = posterior.rollout(lambda params: task.estimator.hard(params, noise), 1)
    return task.model.likelihood.reference(image), task.model.reconstruct(code)
