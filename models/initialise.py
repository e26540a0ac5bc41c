"""Initial weights that depend on the seed and on a layer's name, and on nothing else.

Two models with a layer of the same name and shape start with the same weights there, whatever else they contain:
this is how every estimator gets the same encoder and decoder.
"""

import hashlib

import torch
from torch import nn


def initialise(model: nn.Module, seed: int) -> None:
    """Xavier-uniform linear and convolutional weights, zero biases, unit normal embeddings."""
    for name, layer in model.named_modules():
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=generator)
