"""What a CUDA graph does, on a CPU: every operation is noted with the memory it read and wrote, and repeated on that
same memory. Python does not run again, and nothing that is noted is done."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def waits_for_the_device(func, args: tuple) -> bool:
    """Whether the host learns a value from it, or a size that depends on values."""
    if func is torch.ops.aten.index.Tensor:
        return any(index.dtype == torch.bool for index in tensors(args[1]))
    return bool({torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(func.tags))


class Operations(TorchDispatchMode):
    """Operations in order; `undo` puts back what they overwrote of the memory that was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[Callable, tuple, dict, object]] = []
        self.made: set[int] = set()
        self.overwritten: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if waits_for_the_device(func, args):
            raise RuntimeError("operation not permitted when stream is capturing")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(tensors(value))
        for argument in func._schema.arguments:
            if argument.name in kwargs and argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(tensors(kwargs[argument.name]))
        out = func(*args, **kwargs)
        if not func.is_view:
            inputs = {address(tensor) for tensor in tensors((args, kwargs))}
            self.made |= {address(tensor) for tensor in tensors(out)} - inputs
            self.noted.append((func, args, kwargs, out))
        return out

    def _keep(self, written: list[Tensor]) -> None:
        for tensor in written:
            where = address(tensor)
            if where not in self.made and where not in self.overwritten:
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self.overwritten[where] = (whole, whole.clone())

    def undo(self) -> None:
        for live, kept in self.overwritten.values():
            live.copy_(kept)

    @torch.no_grad()
    def play(self) -> None:
        for func, args, kwargs, out in self.noted:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(out), tensors(again), strict=True):
                if address(old) != address(new):
                    old.copy_(new)


class RecordedOperations:
    """A bench.replay.Recorder."""

    def warm(self, work):
        return work()

    def record(self, work, noise: torch.Generator):
        before = noise.get_state()
        operations = Operations()
        try:
            with operations:
                work()
        finally:
            noise.set_state(before)
            operations.undo()
        return operations.play
