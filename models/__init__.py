"""The one autoencoder that every estimator trains: encoder, posterior, decoder, likelihood."""

from models.autoencoder import Autoencoder
from models.decoder import CodeEmbedding, ConvDecoder, MLPDecoder
from models.encoder import Encoder, patch_grid
from models.initialise import initialise
from models.likelihood import Bernoulli, Gaussian, Likelihood
from models.posterior import Causal, Factorised

__all__ = [
    "Autoencoder", "Bernoulli", "Causal", "CodeEmbedding", "ConvDecoder", "Encoder", "Factorised", "Gaussian",
    "Likelihood", "MLPDecoder", "initialise", "patch_grid",
]  # fmt: skip
