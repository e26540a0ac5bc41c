"""Where runs are done. The engines schedule and place; an adapter each turns jobs into handles to wait for."""

from collections.abc import Sequence
from typing import Protocol

from bench.training.run import Job


class Handle(Protocol):
    """One submitted job. Both calls return at once."""

    def done(self) -> bool: ...

    def exception(self) -> BaseException | None:
        """Of a job that is done: why its worker died, or None if the worker came to its end."""
        ...


class Executor(Protocol):
    poll_seconds: float
    """How often it makes sense to ask."""

    def submit(self, jobs: Sequence[Job]) -> Sequence[Handle]: ...

    def stop(self) -> None:
        """Ask the workers to keep their state and end, and wait for them."""
        ...


class WorkerDied(Exception):
    """A worker ended without having recorded how its run ended."""
