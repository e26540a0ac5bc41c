"""Factorised and Causal: bind one minibatch's features to a posterior that can be rolled out and replayed.

The bound objects have the face that estimators expect: `rollout(draw, k)` and `replay(code)`.
"""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.cache import KeyValueCache
from models.decoder import CodeEmbedding
from models.layers import CausalBlock, in_full, products_in, sinusoidal_positions

Draw = Callable[[Tensor], Tensor]
PIECE = 2**22
"""Head outputs that `read_replay` has in memory at a time: 16 MiB in float32."""


class Factorised(nn.Module):
    """Every position independent given the image."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, out)

    def bind(self, features: Float[Tensor, "b L d"]) -> "BoundFactorised":
        return BoundFactorised(self.head(features))


class BoundFactorised:
    def __init__(self, params: Float[Tensor, "b L p"]) -> None:
        self.params = params

    def rollout(self, draw: Draw, k: int) -> tuple[Tensor, Float[Tensor, "k b L p"]]:
        params = self.params.expand(k, *self.params.shape)
        return draw(params), params

    def replay(self, code: Tensor) -> Float[Tensor, "k b L p"]:
        return self.params.expand(code.shape[0], *self.params.shape)


class Causal(nn.Module):
    """Each position given the image and the codes before it: a transformer decoder with cross-attention.

    The first position sees an embedding of its own, never a code's. `dtype` is what the blocks multiply in.
    """

    positions: Tensor

    def __init__(
        self,
        length: int,
        vocab: int,
        width: int,
        layers: int,
        heads: int,
        mlp_ratio: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.length, self.dtype = length, dtype
        self.begin = nn.Embedding(1, width)
        self.embedding = CodeEmbedding(width, vocab=vocab)
        self.register_buffer("positions", sinusoidal_positions(length, width), persistent=False)
        self.blocks = nn.ModuleList(CausalBlock(width, heads, mlp_ratio) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab)

    def bind(self, features: Float[Tensor, "b L d"]) -> "BoundCausal":
        return BoundCausal(self, features)


class BoundCausal:
    def __init__(self, network: Causal, features: Float[Tensor, "b L d"]) -> None:
        self.network = network
        self.batch = features.shape[0]
        self.products = functools.partial(products_in, network.dtype, features.device)
        # computed here, where gradients are on, and shared by rollout and replay
        with self.products():
            self.image = [block.image(features) for block in network.blocks]  # type: ignore[operator]

    def _hidden(
        self, x: Float[Tensor, "b k t d"], first: int, caches: list[KeyValueCache] | None
    ) -> Float[Tensor, "b k t d"]:
        net = self.network
        x = x + net.positions[first : first + x.shape[2]]
        for i, block in enumerate(net.blocks):
            x = block(x, self.image[i], caches[i] if caches else None)
        return net.norm(x)

    def _params(self, hidden: Float[Tensor, "b k t d"]) -> Float[Tensor, "k b t v"]:
        return in_full(self.network.head, hidden).transpose(0, 1)

    def _begin(self, k: int) -> Float[Tensor, "b k 1 d"]:
        return self.network.begin.weight.expand(self.batch, k, 1, -1)

    def rollout(self, draw: Draw, k: int) -> tuple[Tensor, Float[Tensor, "k b L v"]]:
        caches = [KeyValueCache(self.network.length) for _ in self.network.blocks]
        x, codes, params = self._begin(k), [], []
        # one context for all positions, as it converts the weights once
        with self.products():
            for position in range(self.network.length):
                params.append(self._params(self._hidden(x, position, caches)))
                with torch.autocast(x.device.type, enabled=False):
                    codes.append(draw(params[-1]))
                x = self.network.embedding(codes[-1]).transpose(0, 1)
        return torch.cat(codes, 2), torch.cat(params, 2)

    def replay(self, code: Tensor) -> Float[Tensor, "k b L v"]:
        return self._params(self._replayed(code))

    def read_replay(
        self, code: Tensor, read: Callable[[Tensor, Tensor], Float[Tensor, "k b t"]]
    ) -> Float[Tensor, "k b L"]:
        """`read(replay(code), code)` for a `read` of each position on its own, a few positions at a time: the outputs
        are computed again in the backward pass instead of being kept, as L x V of them are gigabytes."""
        hidden = self._replayed(code)
        positions = max(1, PIECE // (code.shape[0] * code.shape[1] * self.network.head.out_features))
        pieces = list(zip(hidden.split(positions, 2), code.split(positions, 2), strict=True))
        if len(pieces) == 1:
            return read(self._params(hidden), code)

        def read_piece(hidden: Tensor, code: Tensor) -> Tensor:
            return read(self._params(hidden), code)

        return torch.cat(
            [checkpoint(read_piece, *piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces], 2
        )  # type: ignore[arg-type]

    def _replayed(self, code: Tensor) -> Float[Tensor, "b k L d"]:
        """All positions in one pass."""
        with self.products():
            return self._hidden(self._shifted(code), 0, None)

    def _shifted(self, code: Tensor) -> Float[Tensor, "b k L d"]:
        """What each position sees of the codes: the one before it."""
        before = self.network.embedding(code[:, :, :-1]).transpose(0, 1)
        return torch.cat([self._begin(code.shape[0]), before], 2)
