"""What is measured on a held-out split: one code path for all estimators.

Uses an estimator's `hard`, `mode`, `index`, `kl` and `logits` and the decoder, and nothing of its loss.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bench.build import PixelStatistics, Task, make_likelihood
from bench.config import RunConfig, Split
from bench.data import Dataset, Images
from bench.metrics.catalogue import Readout
from bench.metrics.images import ImageMetrics
from bench.seeds import noise_generator
from estimators import Categorical


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
        """Usage and perplexity over all positions, and the entropy in bits summed over them. `per_position`: usage and
        perplexity of each position's codes too."""
        found = {name: value.item() for name, value in self._statistics(self.counts.sum(0)).items()}
        by_position = self._statistics(self.counts)
        found["entropy"] = by_position["perplexity"].log2().sum().item()
        if per_position:
            for name, values in by_position.items():
                found |= {f"{name}/{position}": value for position, value in enumerate(values.tolist())}
        return found

    def _statistics(self, counts: Int[Tensor, "*L v"]) -> dict[str, Float[Tensor, "*L"]]:
        frequency = counts.double() / counts.sum(-1, keepdim=True)
        entropy = -torch.special.xlogy(frequency, frequency).sum(-1)
        return {"usage": (counts > 0).sum(-1) / self.vocab, "perplexity": entropy.exp()}


class Information:
    """What the code of each position says of the image, from the distributions that it is drawn from."""

    def __init__(self, length: int, vocab: int, device: torch.device) -> None:
        self.q = torch.zeros(length, vocab, dtype=torch.float64, device=device)
        self.entropy = torch.zeros((), dtype=torch.float64, device=device)
        self.n = 0

    def update(self, logits: Float[Tensor, "b L v"]) -> None:
        log_q = logits.float().log_softmax(-1)
        q = log_q.exp()
        self.q += q.sum(0, dtype=torch.float64)
        self.entropy -= (q * log_q).sum(dtype=torch.float64)
        self.n += len(logits)

    def measure(self) -> float:
        """H(mean q) - mean H(q), in bits, summed over positions."""
        together = torch.special.entr(self.q / self.n).sum()
        return ((together - self.entropy / self.n) / math.log(2)).item()


@torch.no_grad()
def evaluate(
    task: Task,
    dataset: Dataset,
    config: RunConfig,
    *,
    split: Split,
    readout: Readout,
    image_metrics: Sequence[str],
    per_position: bool,
) -> list[Measurement]:
    """Measure as many images of a split as `config` says, the first ones. The noise of the `sample` readout depends on
    the seed alone. `per_position`: usage and perplexity of each position's codes too.

    The mode readout has no ELBO, which is an expectation under q; and no KL where q depends on the codes before, since
    along the most likely ones it is none.
    """
    device, images = torch.device(config.device), dataset.held_out(split)
    n = config.measured_images(len(images))
    estimator, likelihood = task.estimator, task.model.likelihood
    pairs = ImageMetrics(image_metrics, device, reference_key=config.reference_key(split))
    usage = CodeUsage(config.length, config.vocab, device)
    information = Information(config.length, config.vocab, device)
    log_lik, kl = torch.zeros(2, dtype=torch.float64, device=device)
    for image, x, code, params in _coded(task, images, config, readout):
        decoded = task.model.decode(code)
        log_lik += likelihood.log_prob(decoded, x).double().sum()
        kl += estimator.kl(params).double().sum()
        usage.update(estimator.index(code)[0])
        if isinstance(estimator, Categorical):
            information.update(estimator.logits(params)[0])
        pairs.update(likelihood.reference(image), likelihood.image(decoded[0]))
    found = {name: value for name, (value, _) in pairs.compute().items()}
    found |= usage.measure(per_position)
    mean_lik, mean_kl = log_lik.item() / n, kl.item() / n
    found |= {"log_lik": mean_lik, "capacity": config.length * math.log2(config.vocab)}
    if readout == "sample" or config.posterior == "factorised":
        found |= {"kl": mean_kl, "bits": mean_kl / math.log(2)}
        if isinstance(estimator, Categorical):
            found["mutual_information"] = information.measure()
    if readout == "sample":
        beta = config.beta_end if config.eval_beta is None else config.eval_beta
        found["elbo"] = mean_lik - mean_kl if estimator.has_elbo else math.nan
        found["beta_elbo"] = mean_lik - beta * mean_kl if estimator.has_elbo else math.nan
    return [Measurement(name, value, n) for name, value in found.items()]


@torch.no_grad()
def evaluate_codes(task: Task, images: Images, config: RunConfig) -> list[Measurement]:
    """How the most likely codes use the codebook, without decoding them."""
    usage = CodeUsage(config.length, config.vocab, torch.device(config.device))
    for _, _, code, _ in _coded(task, images, config, "mode"):
        usage.update(task.estimator.index(code)[0])
    n = config.measured_images(len(images))
    return [Measurement(name, value, n) for name, value in usage.measure(per_position=False).items()]


def _coded(
    task: Task, images: Images, config: RunConfig, readout: Readout
) -> Iterator[tuple[UInt8[Tensor, "b c h w"], Float[Tensor, "b c h w"], Tensor, Float[Tensor, "1 b L p"]]]:
    """The measured images in batches: as they are, as the likelihood takes them, a code for each, and the head outputs
    that it was read from."""
    noise = noise_generator(config.seed, "evaluation", torch.device(config.device))
    estimator = task.estimator
    draw = estimator.mode if readout == "mode" else lambda params: estimator.hard(params, noise)
    measured = torch.arange(config.measured_images(len(images)))
    for image in images.batches(measured.split(config.eval_batch)):
        x = task.model.likelihood.data(image)
        yield image, x, *task.model.encode(x)[0].rollout(draw, 1)


@torch.no_grad()
def evaluate_mean_image(
    config: RunConfig, dataset: Dataset, split: Split, pixels: PixelStatistics, image_metrics: Sequence[str]
) -> list[Measurement]:
    """The mean training image as everyone's reconstruction, on the images that the runs of `config` are measured on."""
    device = torch.device(config.device)
    likelihood = make_likelihood(config, pixels).to(device)
    total = torch.zeros(dataset.shape, dtype=torch.float64, device=device)
    for image in dataset.train.batches(torch.arange(len(dataset.train)).split(config.eval_batch)):
        total += likelihood.reference(image).double().sum(0)
    mean = (total / len(dataset.train)).round().to(torch.uint8)
    pairs = ImageMetrics(image_metrics, device, reference_key=config.reference_key(split))
    images = dataset.held_out(split)
    for image in images.batches(torch.arange(config.measured_images(len(images))).split(config.eval_batch)):
        pairs.update(likelihood.reference(image), mean.expand_as(image))
    return [Measurement(name, value, n) for name, (value, n) in pairs.compute().items()]


@torch.no_grad()
def reconstructions(
    task: Task, images: Images, config: RunConfig, count: int
) -> tuple[UInt8[Tensor, "n c h w"], UInt8[Tensor, "n c h w"]]:
    """The first `count` images of a split and their reconstructions from one sampled code each."""
    noise = noise_generator(config.seed, "evaluation", torch.device(config.device))
    (image,) = images.batches([torch.arange(min(count, len(images)))])
    likelihood = task.model.likelihood
    posterior, _ = task.model.encode(likelihood.data(image))
    code, _ = posterior.rollout(lambda params: task.estimator.hard(params, noise), 1)
    return likelihood.reference(image), task.model.reconstruct(code)
