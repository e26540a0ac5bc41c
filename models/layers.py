"""Transformer and residual blocks. No layer couples the images of a batch: one image's reward must not depend on
its batchmates."""

import contextlib
import functools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from models.cache import KeyValueCache


def sinusoidal_positions(length: int, width: int) -> Float[Tensor, "length width"]:
    """Fixed position embedding (Vaswani et al. 2017): sines in the first half, cosines in the second."""
    frequency = torch.logspace(0, -4, width // 2)
    angle = torch.arange(length)[:, None] * frequency
    table = torch.zeros(length, width)
    table[:, : width // 2], table[:, width // 2 : 2 * (width // 2)] = angle.sin(), angle.cos()
    return table


def products_in(dtype: torch.dtype, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Inside, matrix products and convolutions are computed in `dtype`; parameters stay as they are."""
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def in_full(layer: nn.Linear | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """What the layer makes of x in its parameters' own precision, wherever it is called: what likelihoods are made of
    must not be rounded to 8 bits."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype))


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values [n h t e] -> [n h t e]."""

attend_to_the_past = functools.partial(scaled_dot_product_attention, is_causal=True)


class Attention(nn.Module):
    """Multi-head attention without biases, as in the published configuration."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def _split(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n h t e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, x: Float[Tensor, "n t d"]) -> tuple[Float[Tensor, "n h t e"], Float[Tensor, "n h t e"]]:
        return self._split(self.key(x)), self._split(self.value(x))

    def forward(
        self, x: Float[Tensor, "n t d"], keys: Tensor, values: Tensor, attend: Attend = scaled_dot_product_attention
    ) -> Float[Tensor, "n t d"]:
        attended = attend(self._split(self.query(x)), keys, values)
        return self.out(attended.transpose(1, 2).flatten(-2))


def mlp(width: int, ratio: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, ratio * width), nn.ReLU(inplace=True), nn.Linear(ratio * width, width))


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = mlp(width, mlp_ratio)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        y = self.attention_norm(x)
        x = x + self.attention(y, *self.attention.keys_values(y))
        return x + self.mlp(self.mlp_norm(x))


class CausalBlock(nn.Module):
    """Pre-norm causal self-attention, cross-attention to the image's features, and MLP, for k sequences per image."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.self_norm, self.cross_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention, self.cross_attention = Attention(width, heads), Attention(width, heads)
        self.mlp = mlp(width, mlp_ratio)

    def image(self, features: Float[Tensor, "b L d"]) -> tuple[Tensor, Tensor]:
        """Keys and values of an image's features, for `forward`."""
        keys, values = self.cross_attention.keys_values(features)
        return keys.contiguous(), values.contiguous()

    def forward(
        self, x: Float[Tensor, "b k t d"], image: tuple[Tensor, Tensor], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "b k t d"]:
        """`image` is what `image()` gave, one set per image. With a cache, x holds the next position alone."""
        b, k = x.shape[:2]
        y = self.self_norm(x).flatten(0, 1)
        attend = cache.attend if cache is not None else attend_to_the_past
        x = x + self.self_attention(y, *self.self_attention.keys_values(y), attend).unflatten(0, (b, k))
        # the k samples of an image are more queries to the same keys, so that nothing is copied k times
        y = self.cross_norm(x).flatten(1, 2)
        x = x + self.cross_attention(y, *image).unflatten(1, x.shape[1:3])
        return x + self.mlp(self.mlp_norm(x))


class ResidualBlock(nn.Module):
    """ReLU, 3x3, ReLU, 1x1 convolution around a skip (van den Oord et al. 2017), normalised within the image."""

    def __init__(self, width: int, groups: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(groups, width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d h w"]:
        return x + self.body(x)
