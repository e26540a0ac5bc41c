"""Files that are there whole or not at all, whatever is killed or runs full in between."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` in one step. `durable` waits for the disk, so that the content also outlives the machine."""
    partial = _write_beside(path, content, durable)
    partial.replace(path)
    if durable:
        _sync_folder(path.parent)


def create(path: Path, content: bytes) -> bool:
    """Write `path` whole unless it exists; of several processes that try, one succeeds. Works on NFS."""
    partial = _write_beside(path, content, durable=False)
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    return True


def _write_beside(path: Path, content: bytes, durable: bool) -> Path:
    partial = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    return partial


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, default=str) + "\n").encode()


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    write_atomically(path, as_json(content), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Empty if the file is not there or not whole."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
