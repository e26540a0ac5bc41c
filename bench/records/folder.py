"""What one run leaves in results/NAME/runs/<run>/: rows, config, status, log; and the lock of whoever works on it."""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from filelock import FileLock, Timeout

from bench.machine.files import as_json, create, read_json, write_json

State = Literal["queued", "running", "stopped", "done", "diverged", "failed", "skipped"]
FINISHED = ("done", "diverged", "skipped")
"""States that the same command does not run again."""
RUN_COLUMNS = ("run", "estimator", "posterior", "dataset", "preset", "seed", "device")
LOCK = "lock"
BASELINE = "baseline:mean"
"""The estimator of the run that scores the mean training image."""


class RunFolder:
    """Written by one process at a time, the one inside `lock()`; read by anyone at any time."""

    def __init__(self, sweep: Path, run: str) -> None:
        self.run = run
        self.path = sweep / "runs" / run
        self._rows: IO[bytes] | None = None

    @property
    def status(self) -> dict[str, Any]:
        """RUN_COLUMNS, state, and what goes with it: reason, step, ...; empty if nobody has queued the run."""
        return read_json(self.path / "status.json")

    @property
    def finished(self) -> bool:
        return self.status.get("state") in FINISHED

    def queue(self, identity: Mapping[str, Any]) -> None:
        """Make the folder, unless it is there. `identity` is what RUN_COLUMNS are filled with."""
        if not (self.path / "status.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            create(self.path / "status.json", as_json({**identity, "state": "queued"}))

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Whether the run is ours until the end of the block. The operating system takes the lock from a process
        that dies, also on another host if the file system is shared and has locks (NFS 4, Lustre with flock)."""
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def taken(self) -> bool:
        """Whether a living process works on the run. In a folder that cannot be written, what its status says."""
        if not os.access(self.path, os.W_OK):
            return self.status.get("state") == "running"
        with self.lock() as ours:
            return not ours

    def clear(self) -> None:
        """Forget the run. For the owner of the lock."""
        status = self.status
        for entry in self.path.iterdir():
            if entry.name != LOCK:
                entry.unlink()
        self.queue({column: status[column] for column in RUN_COLUMNS})

    def start(self, identity: Mapping[str, Any], config: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Open the folder for rows, after those that are there. What describes the run is written once, at its
        first start."""
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.glob(".*.partial"):
            leftover.unlink()
        if not read_json(self.path / "config.json"):
            content = {"identity": dict(identity), "config": dict(config), "provenance": dict(provenance)}
            write_json(self.path / "config.json", content)
        self._write_status(identity, "running")
        self._rows = (self.path / "rows.jsonl").open("ab")

    @property
    def rows_bytes(self) -> int:
        assert self._rows is not None
        return self._rows.tell()

    def keep_rows(self, size: int) -> None:
        """Drop what was written after the first `size` bytes of rows."""
        assert self._rows is not None
        self._rows.truncate(size)
        self._rows.seek(size)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of COST_COLUMNS, split, readout, metric, value and n; on disk when this returns."""
        assert self._rows is not None
        self._rows.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        self._rows.flush()
        os.fsync(self._rows.fileno())

    def say(self, line: str) -> None:
        """A line of log.txt: what happened to the run, for people."""
        with (self.path / "log.txt").open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def set_status(self, state: State, **details: Any) -> None:
        old = self.status
        self._write_status({column: old[column] for column in RUN_COLUMNS if column in old}, state, **details)

    def _write_status(self, identity: Mapping[str, Any], state: State, **details: Any) -> None:
        # a running run says where it is many times, and none of them is worth waiting for the disk
        write_json(self.path / "status.json", {**identity, "state": state, **details}, durable=state != "running")

    def finish(self, state: State, **details: Any) -> None:
        """Close the rows, then say how the run ended."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None
        self.set_status(state, **details)
