"""Every random stream and every batch order of a run, by name and seed. Never torch's global generator."""

import hashlib
from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor


def noise_generator(seed: int, stream: str, device: torch.device) -> torch.Generator:
    """One of a run's random streams, such as `data`, `noise` or `evaluation`, each independent of the others."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def batch_order(n: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[Int[Tensor, "b"]]:
    """Indices of each step's minibatch: one permutation of the data after another, cut into equal pieces."""
    stream = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(stream) < batch:
            stream = torch.cat([stream, torch.randperm(n, generator=generator)])
        yield stream[:batch]
        stream = stream[batch:]


def mixed(n: int) -> list[int]:
    """The numbers below `n` in a fixed order without pattern, so that the first few stand for all."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0)).tolist()
