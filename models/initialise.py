"""Initial weights that depend on the seed and on a layer's name, and on nothing else.

Two models with a layer of the same name and shape start with the same weights there, whatever else they contain:
this is how every estimator gets the same encoder and decoder.
"""

import hashlib

import torch
from torch import nn


def initialise(model: nn.Module, seed: int) -> None:
    """LeCun-normal linear and convolutional weights, zero biases, unit normal embeddings: the one start of all
    estimators, chosen on held-out training images of three datasets (results/reference/initialisation)."""
    for name, layer in model.named_modules():
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=_inputs(layer) ** -0.5, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=generator)


def _inputs(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> int:
    """How many inputs make one output, edges aside. All taps of a transposed convolution's kernel count, as in the
    published code, though a stride brings only some of them to each output: images start closer to the mean, and
    photographs were learned better than from outputs as large as inputs."""
    weight = layer.weight[:, 0] if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0]
    return weight.numel()
