"""The dataset of a run that was planned earlier, or on another machine."""

import socket
from collections.abc import Mapping

from bench.data.images import Dataset
from bench.data.registry import load


def load_again(name: str, provenance: Mapping[str, object], fingerprint: str) -> Dataset:
    """The images that a run is for: `name` and `fingerprint` as in its config, `provenance` as its dataset had.

    Raises ValueError if they are gone or others.
    """
    spec = f"folder:{provenance['path']}" if name.startswith("folder:") else name
    size = provenance.get("image_size")
    assert size is None or isinstance(size, int)
    dataset = load(spec, image_size=size)
    if dataset.fingerprint != fingerprint:
        raise ValueError(
            f"{spec} holds other images on {socket.gethostname()} now than the run is for (fingerprint "
            f"{dataset.fingerprint}, not {fingerprint}); bring them back, or begin a new sweep with another --out"
        )
    return dataset
