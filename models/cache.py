"""Attention of one position after another to all before it, with or without gradients."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention


class KeyValueCache:
    """Keys and values of the positions decoded so far, in memory that is allocated once."""

    def __init__(self, length: int) -> None:
        self.memory = _Memory(length)
        self.last: Float[Tensor, ""] | None = None
        """Ties a position to the one before it. Not in the memory, which the graph behind it holds: neither would ever
        be freed."""

    def attend(
        self, query: Float[Tensor, "n h 1 e"], keys: Float[Tensor, "n h 1 e"], values: Float[Tensor, "n h 1 e"]
    ) -> Float[Tensor, "n h 1 e"]:
        """Add the next position, and let it see all so far and itself."""
        if torch.is_grad_enabled():
            attended, self.last = _Attend.apply(query, keys, values, self.last, self.memory)  # type: ignore[misc]
            return attended
        return scaled_dot_product_attention(query, *self.memory.append(keys, values))


class _Memory:
    def __init__(self, length: int) -> None:
        self.length = length
        self.filled = 0
        self.keys_values: Tensor | None = None
        self.gradients: Tensor | None = None
        """Of keys and values; complete from `asked` on, the position that the backward pass has come to."""
        self.asked = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Float[Tensor, "n h t e"], Float[Tensor, "n h t e"]]:
        """Keys and values of all positions so far."""
        if self.keys_values is None:
            self.keys_values = keys.new_empty((2, *keys.shape[:2], self.length, keys.shape[3]))
        self.keys_values[0, :, :, self.filled] = keys[:, :, 0]
        self.keys_values[1, :, :, self.filled] = values[:, :, 0]
        self.filled += 1
        return self.until(self.filled)

    def until(self, position: int) -> tuple[Float[Tensor, "n h t e"], Float[Tensor, "n h t e"]]:
        """Keys and values of the first positions."""
        assert self.keys_values is not None
        keys, values = self.keys_values[:, :, :, :position]
        return keys, values


class _Attend(torch.autograd.Function):
    """Attention to a cache that later positions go on to fill. Left to autograd, every position would keep a copy of
    all keys and values before it: L^2 of them, which for a thousand positions are gigabytes per image.

    The gradient of a position's key and value is what all later positions ask of it. They are asked first: each depends
    on the one before it by `last`.
    """

    @staticmethod
    def forward(ctx, query, keys, values, last, memory):
        with torch.autocast(query.device.type, enabled=False):
            all_keys, all_values = memory.append(keys, values)
            scores = (query * query.shape[-1] ** -0.5) @ all_keys.transpose(-2, -1)
            weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
            attended = weights @ all_values
        ctx.save_for_backward(query, weights, attended)
        ctx.memory, ctx.position = memory, memory.filled - 1
        return attended, query.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):  # type: ignore[override]
        grad, _ = grads
        query, weights, attended = ctx.saved_tensors
        memory, position = ctx.memory, ctx.position
        keys, values = memory.until(position + 1)
        scale = query.shape[-1] ** -0.5
        if position >= memory.asked:  # a backward pass begins
            sums = torch.promote_types(query.dtype, torch.float32)
            memory.gradients = torch.zeros_like(memory.keys_values, dtype=sums)
        memory.asked = position
        # of the softmax; grad . attended is what the weights' gradients average to
        slope = weights * (grad @ values.transpose(-2, -1) - (grad * attended).sum(-1, keepdim=True)) * scale
        of_keys, of_values = memory.gradients[:, :, :, : position + 1]
        of_keys.addcmul_(slope.transpose(-2, -1), query)
        of_values.addcmul_(weights.transpose(-2, -1), grad)
        # copies, as autograd may go on to change them
        own = (gradient[:, :, position:].to(query.dtype, copy=True) for gradient in (of_keys, of_values))
        return slope @ keys, *own, None, None
