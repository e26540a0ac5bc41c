"""Image -> features, one per latent position."""

from jaxtyping import Float
from torch import Tensor, nn

from models.layers import EncoderBlock, sinusoidal_positions


def patch_grid(length: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of `length` equal patches, as square as possible.

    Raises ValueError if `length` patches do not tile the image, naming lengths that do.
    """

    def grids(count: int) -> list[tuple[int, int]]:
        return [
            (rows, count // rows)
            for rows in range(1, count + 1)
            if count % rows == 0 and height % rows == 0 and width % (count // rows) == 0
        ]

    def oblongness(grid: tuple[int, int]) -> float:
        patch = (height // grid[0], width // grid[1])
        return max(patch) / min(patch)

    fitting = grids(length)
    if not fitting:
        nearest = sorted((n for n in range(1, height * width + 1) if grids(n)), key=lambda n: (abs(n - length), n))
        raise ValueError(
            f"length={length} patches do not tile an image of {height} x {width} pixels; "
            f"try --set length={nearest[0]} (also fitting: {', '.join(map(str, sorted(nearest[1:6])))})"
        )
    return min(fitting, key=oblongness)


class Encoder(nn.Module):
    """Vision transformer: patches, a linear map, fixed positions, pre-norm blocks, a final norm."""

    positions: Tensor

    def __init__(
        self, shape: tuple[int, int, int], length: int, width: int, layers: int, heads: int, mlp_ratio: int
    ) -> None:
        super().__init__()
        channels, height, columns = shape
        self.grid = patch_grid(length, height, columns)
        pixels = channels * height * columns // length
        self.patch = nn.Linear(pixels, width)
        self.register_buffer("positions", sinusoidal_positions(length, width), persistent=False)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, mlp_ratio) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b channels height columns"]) -> Float[Tensor, "b L d"]:
        rows, columns = self.grid
        patches = x.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).permute(0, 2, 4, 1, 3, 5)
        y = self.patch(patches.flatten(3).flatten(1, 2)) + self.positions
        for block in self.blocks:
            y = block(y)
        return self.norm(y)
