"""The only file that knows both models and estimators: it joins them to the Problem that an estimator solves."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

import estimators
import models
from bench.config import RunConfig
from estimators import Estimator, Latent, Patches, Problem, Scalar
from models import Autoencoder, CodeEmbedding, ConvDecoder, Encoder, Likelihood, MLPDecoder


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation of the training pixels per channel, in grey levels 0..255."""

    mean: Float[Tensor, "c"]
    std: Float[Tensor, "c"]


class Task(nn.Module):
    """One autoencoder and the estimator that trains it."""

    def __init__(self, model: Autoencoder, estimator: Estimator) -> None:
        super().__init__()
        self.model, self.estimator = model, estimator
        # refreshed every `lag` updates; not a parameter of anything, but part of the state
        self.snapshot = copy.deepcopy(model) if estimator.lag else None

    def refresh(self, step: int) -> None:
        """Take the snapshot that the estimator wants every `lag` updates."""
        if self.snapshot is not None and step % self.estimator.lag == 0:
            self.snapshot.load_state_dict(self.model.state_dict())

    def problem(
        self,
        image: UInt8[Tensor, "b c h w"],
        progress: Scalar,
        beta: Scalar,
        noise: torch.Generator,
    ) -> Problem:
        """The minibatch as an estimator sees it."""
        x = self.model.likelihood.data(image)
        posterior, features = self.model.encode(x)
        behaviour = posterior
        if self.snapshot is not None:
            with torch.no_grad():
                behaviour, _ = self.snapshot.encode(x)
        return Problem(
            posterior=posterior,
            behaviour=behaviour,
            log_lik=lambda code: self.model.log_lik(code, x),
            beta=beta,
            progress=progress,
            noise=noise,
            features=features,
            patches=self.patches(x),
        )

    def patches(self, x: Float[Tensor, "b c h w"]) -> Patches | None:
        """What the decoder draws near each position; None if it has no places."""
        if not isinstance(self.model.decoder, ConvDecoder):
            return None
        return Patches(self.model.encoder.grid, lambda code: self.model.log_lik_of_patches(code, x))

    def param_groups(self, lr: float, weight_decay: float) -> list[dict]:
        """Optimiser groups: the shared model first, then what the estimator owns."""
        shared = {"params": list(self.model.parameters()), "lr": lr, "weight_decay": weight_decay}
        return [shared, *self.estimator.param_groups(lr)]


def build(config: RunConfig, shape: tuple[int, int, int], pixels: PixelStatistics) -> Task:
    """The task of a run, on the CPU, with initial weights that depend on the seed alone.

    Raises ValueError if estimator, latent, image and posterior do not fit each other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        estimator = make_estimator(config)
        model = _autoencoder(config, estimator, shape, pixels)
    models.initialise(model, config.seed)
    return Task(model, estimator)


def make_estimator(config: RunConfig) -> Estimator:
    """The run's estimator. Raises ValueError if its arguments do not fit the latent."""
    name = config.estimator.partition(":")[0]
    latent = Latent(config.length, config.vocab, config.width)
    return estimators.available()[name](latent, **config.arguments)  # type: ignore[call-arg]


def skip_reason(config: RunConfig) -> str | None:
    """Why this combination is impossible, if it is."""
    cls = estimators.available()[config.estimator.partition(":")[0]]
    if cls.local and config.decoder == "mlp":
        return f"{config.estimator} needs a decoder that draws each code near its position; try --set decoder=conv"
    if config.posterior != "causal" or cls.causal_ok:
        return None
    why = "needs independent positions" if cls.has_elbo else "emits vectors, not a distribution to sample from"
    return f"{config.estimator} {why}: factorised posterior only"


def _autoencoder(
    config: RunConfig, estimator: Estimator, shape: tuple[int, int, int], pixels: PixelStatistics
) -> Autoencoder:
    likelihood = make_likelihood(config, pixels)
    causal = config.posterior == "causal"
    layers = config.causal_encoder_layers if causal else config.layers
    ratio = config.causal_mlp_ratio if causal else config.mlp_ratio
    dtype = getattr(torch, config.precision)
    encoder = Encoder(shape, config.length, config.width, layers, config.heads, ratio)
    if causal:
        posterior = models.Causal(
            config.length, config.vocab, config.width, config.causal_layers, config.heads, ratio, dtype
        )
    else:
        posterior = models.Factorised(config.width, estimator.head_width)
    if estimator.code_width is None:
        embedding = CodeEmbedding(config.width, vocab=config.vocab)
    else:
        embedding = CodeEmbedding(config.width, vector=estimator.code_width)
    out = (shape[0] * likelihood.params_per_channel, *shape[1:])
    if config.decoder == "mlp":
        decoder = MLPDecoder(embedding, config.length, config.width, config.decoder_widths, out)
    else:
        decoder = ConvDecoder(embedding, encoder.grid, config.width, config.decoder_widths[0], out)
    return Autoencoder(encoder, posterior, decoder, likelihood, dtype)


def make_likelihood(config: RunConfig, pixels: PixelStatistics) -> Likelihood:
    """The run's p(x|z)."""
    if config.likelihood == "bernoulli":
        return models.Bernoulli()
    return models.Gaussian(pixels.mean, pixels.std, config.min_var, config.max_var, config.variance)
