"""Everything a run needs to go on to the bit: tensors and facts in one safetensors file that names its own checksum."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from bench.machine.files import write_atomically

KEPT = 2
"""How many are there at a time: one may turn out to be damaged."""
_FACTS = "bench"


@dataclass(frozen=True)
class State:
    """`tensors` by name, and `facts` that JSON can hold. Floats survive exactly in both."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix/`, without it."""
        start = prefix + "/"
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def write(folder: Path, step: int, state: State) -> None:
    """Add the checkpoint of a step and drop those before the last `KEPT`."""
    tensors = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
    content = save(tensors, metadata={_FACTS: json.dumps(state.facts)})
    # in the name, so that content and checksum appear in the same instant
    write_atomically(folder / f"step-{step:09d}-{_checksum(content)}.safetensors", content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def read(folder: Path, say: Callable[[str], None]) -> State | None:
    """The newest checkpoint that is whole, or None. Those that are not are passed over, and `say` says so."""
    for path in _newest_first(folder):
        try:
            content = path.read_bytes()
            if not path.stem.endswith(_checksum(content)):
                raise ValueError("its bytes do not match the checksum in its name")
            with safe_open(path, "pt") as opened:
                return State(load(content), json.loads(opened.metadata()[_FACTS]))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            say(f"checkpoint {path.name} cannot be used ({error}); going back to the one before it")
    return None


def remove(folder: Path) -> None:
    """Of a run that needs none any more."""
    for path in _newest_first(folder):
        path.unlink()


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"), reverse=True)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
