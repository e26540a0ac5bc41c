"""What the binary quantizers share: one bit per channel, and an entropy penalty on soft bits."""

import abc

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimators._base import Latent, require
from estimators._quantizer import Quantizer


def shannon(probs: Float[Tensor, "*n v"]) -> Float[Tensor, "*n"]:
    """Entropy in nats."""
    # a probability that underflows to 0 would have an infinite slope
    return torch.special.entr(probs.clamp(min=torch.finfo(probs.dtype).tiny)).sum(-1)


class Binary(Quantizer):
    """The code is the sign of every channel times `scale`. There is no codebook to learn; an entropy penalty wants
    every position's soft code decided and the batch's average one uniform."""

    basis: Tensor
    scale: float = 1.0

    def __init__(self, latent: Latent, entropy: float, temperature: float) -> None:
        sizes = (2**bits for bits in range(1, latent.vocab.bit_length() + 1))
        size = min(sizes, key=lambda size: abs(size - latent.vocab))
        require(
            size == latent.vocab,
            f"one bit per channel makes a power of two, vocabulary is {latent.vocab}; try --set vocab={size}",
        )
        require(entropy >= 0, f"entropy={entropy} is negative; try entropy=0.1")
        require(temperature > 0, f"temperature={temperature} is not positive; try temperature=1")
        super().__init__(latent, width=size.bit_length() - 1)
        self.entropy, self.temperature = entropy, temperature
        self.register_buffer("basis", 2 ** torch.arange(self.head_width), persistent=False)

    def penalty(self, vectors: Float[Tensor, "k b L c"]) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The entropy penalty in nats per image, and both entropies in nats per position."""
        bits = self.soft_bits(vectors)
        # the bits of one position's soft code are independent: their entropies add up exactly
        sample = shannon(bits).sum(-1).mean()
        batch = self.batch_entropy(bits)
        terms = {"sample_entropy": sample.detach(), "batch_entropy": batch.detach()}
        return self.entropy * self.latent.length * (sample - batch), terms

    def soft_bits(self, vectors: Float[Tensor, "k b L c"]) -> Float[Tensor, "n c 2"]:
        """Each position's soft code, softmax(-|e - code|^2 / temperature) over all codes, which factorises into bits:
        the probabilities that they are 0 and 1."""
        # |e + scale|^2 - |e - scale|^2 = 4 scale e
        logits = 4 * self.scale / self.temperature * vectors.float().flatten(0, -2)
        return torch.stack([-logits, logits], -1).sigmoid()

    @abc.abstractmethod
    def batch_entropy(self, bits: Float[Tensor, "n c 2"]) -> Float[Tensor, ""]:
        """Entropy in nats of the average of the n soft codes."""

    def hard(self, params: Float[Tensor, "*n l c"], noise: torch.Generator | None = None) -> Float[Tensor, "*n l c"]:
        return torch.where(params > 0, self.scale, -self.scale)

    def index(self, code: Float[Tensor, "*n l c"]) -> Int[Tensor, "*n l"]:
        return ((code > 0) * self.basis).sum(-1)

    def code(self, index: Int[Tensor, "*n l"]) -> Float[Tensor, "*n l c"]:
        """The code vector of a vocabulary index: the inverse of `index`."""
        return (index.unsqueeze(-1) // self.basis % 2 * 2 - 1) * self.scale
