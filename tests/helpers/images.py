"""Images that image metrics are tried on."""

import torch

from bench.metrics.images import ImageMetrics

CPU = torch.device("cpu")


def photos(n: int, side: int, seed: int = 0) -> torch.Tensor:
    """uint8 [n, 3, side, side]: crops of a photograph, flat and busy ones."""
    from skimage.data import astronaut

    image = torch.from_numpy(astronaut()).permute(2, 0, 1)
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 512 - side, (n, 2), generator=generator).tolist()
    return torch.stack([image[:, i : i + side, j : j + side] for i, j in corners])


def digits(n: int) -> torch.Tensor:
    """uint8 [n, 1, 8, 8]"""
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().images[:n] * 255 / 16).to(torch.uint8)[:, None]


def noisy(x: torch.Tensor, sd: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)) * sd
    return (x + noise).round().clamp(0, 255).to(torch.uint8)


def measure(names, x, y, **kwargs) -> dict[str, tuple[float, int]]:
    metrics = ImageMetrics(names, CPU, **kwargs)
    metrics.update(x, y)
    return metrics.compute()
