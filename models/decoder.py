"""Codes -> likelihood parameters."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.layers import ResidualBlock, in_full


class CodeEmbedding(nn.Module):
    """Embeds either kind of code: indices and relaxed one-hots of a vocabulary, or vectors."""

    def __init__(self, width: int, *, vocab: int | None = None, vector: int | None = None) -> None:
        super().__init__()
        assert (vocab is None) != (vector is None)
        self.table = nn.Embedding(vocab, width) if vocab is not None else None
        self.linear = nn.Linear(vector, width) if vector is not None else None

    def forward(self, code: Tensor) -> Float[Tensor, "*n l d"]:
        if self.linear is not None:
            return self.linear(code)
        assert self.table is not None
        return code @ self.table.weight if code.is_floating_point() else self.table(code)


def through(layers: nn.Sequential, x: Tensor) -> Tensor:
    """All layers, the last one in full precision."""
    *body, last = layers
    for layer in body:
        x = layer(x)
    return in_full(last, x)  # type: ignore[arg-type]


class MLPDecoder(nn.Module):
    """Two hidden layers, for small images (the published MNIST configuration: 64, 256)."""

    def __init__(
        self,
        embedding: CodeEmbedding,
        length: int,
        width: int,
        hidden: tuple[int, int],
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.embedding, self.shape = embedding, shape
        channels, height, columns = shape
        self.body = nn.Sequential(
            nn.Linear(length * width, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], channels * height * columns),
        )

    def forward(self, code: Tensor) -> Float[Tensor, "n channels height columns"]:
        return through(self.body, self.embedding(code).flatten(1)).unflatten(1, self.shape)


class ConvDecoder(nn.Module):
    """3x3 convolution, two residual blocks, and transposed 4x4 convolutions that double the size up to the image's.

    Raises ValueError if the patches are not squares with a power of two as their side.
    """

    def __init__(
        self,
        embedding: CodeEmbedding,
        grid: tuple[int, int],
        width: int,
        hidden: int,
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.embedding, self.grid = embedding, grid
        channels, height, columns = shape
        patch = (height // grid[0], columns // grid[1])
        doublings = patch[0].bit_length() - 1
        if patch[0] != patch[1] or patch[0] != 2**doublings or doublings == 0:
            raise ValueError(
                f"{grid[0]} x {grid[1]} codes on an image of {height} x {columns} pixels make patches of "
                f"{patch[0]} x {patch[1]}; the convolutional decoder needs squares of side 2, 4, 8, ...; "
                "try another --set length=..., or --set decoder=mlp"
            )
        widths = [max(hidden // 2**i, channels) for i in range(doublings)]
        layers: list[nn.Module] = [nn.Conv2d(width, hidden, 3, padding=1)]
        layers += [ResidualBlock(hidden), ResidualBlock(hidden), nn.ReLU(inplace=True)]
        for before, after in zip(widths, [*widths[1:], channels], strict=True):
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, code: Tensor) -> Float[Tensor, "n channels height columns"]:
        # [n, L, d] read as [n, d, rows, columns] is channels-last already: no copy
        return through(self.body, self.embedding(code).unflatten(1, self.grid).permute(0, 3, 1, 2))
