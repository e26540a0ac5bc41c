"""Encoder, posterior, decoder and likelihood, put together."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.encoder import Encoder
from models.layers import products_in
from models.likelihood import Likelihood
from models.posterior import BoundCausal, BoundFactorised, Causal, Factorised


class Autoencoder(nn.Module):
    def __init__(
        self,
        encoder: Encoder,
        posterior: Factorised | Causal,
        decoder: nn.Module,
        likelihood: Likelihood,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """`dtype` is what encoder and decoder multiply in; the posterior has its own."""
        super().__init__()
        self.dtype = dtype
        self.encoder, self.posterior, self.decoder, self.likelihood = encoder, posterior, decoder, likelihood

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[BoundFactorised | BoundCausal, Float[Tensor, "b L d"]]:
        """The posterior of a minibatch, and the features it is bound to."""
        with products_in(self.dtype, x.device):
            features = self.encoder(x)
        return self.posterior.bind(features), features

    def decode(self, code: Tensor) -> Float[Tensor, "k b q h w"]:
        """Likelihood parameters of k codes per image."""
        with products_in(self.dtype, code.device):
            return self.decoder(code.flatten(0, 1)).unflatten(0, code.shape[:2])

    def log_lik(self, code: Tensor, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "k b"]:
        """log p(x|z) in nats."""
        return self.likelihood.log_prob(self.decode(code), x)

    def log_lik_of_patches(self, code: Tensor, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "k b L"]:
        """log p(x|z) in nats, of the pixels of each patch that the encoder reads."""
        rows, columns = self.encoder.grid
        pixels = self.likelihood.log_prob_per_pixel(self.decode(code), x)
        return pixels.unflatten(-1, (columns, -1)).unflatten(-3, (rows, -1)).sum((-3, -1)).flatten(-2)

    def reconstruct(self, code: Tensor) -> UInt8[Tensor, "b c h w"]:
        """The 8-bit image of one code per image."""
        assert code.shape[0] == 1
        return self.likelihood.image(self.decode(code)[0])
