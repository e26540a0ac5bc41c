"""Files that are there whole or not at all, whatever is killed or runs full in between."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` in one step. `durable` waits for the disk, so that the content also outlives the machine."""
    with replacing(path, durable=durable) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """The same for content in parts: a file to write to, that becomes `path` if the block comes to its end."""
    with _beside(path) as partial:
        yield partial
        if durable:
            _sync(partial)
        partial.replace(path)
        if durable:
            _sync(path.parent)


def create(path: Path, content: bytes) -> None:
    """Write `path` whole unless it exists; of several processes that try, one succeeds. Works on NFS."""
    with _beside(path) as partial, contextlib.suppress(FileExistsError):
        partial.write_bytes(content)
        os.link(partial, path)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.partial")
    try:
        yield partial
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def is_partial(path: Path) -> bool:
    """Whether it is a file of these that is being written, or was when its process died."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, default=str) + "\n").encode()


def digest_of(content: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name a content, in whatever order its keys stand."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    write_atomically(path, as_json(content), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Empty if the file is not there or not whole."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
