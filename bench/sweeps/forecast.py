"""How long a planned sweep will take here: a few timed steps of each kind of run, times its steps."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.build import skip_reason
from bench.sweeps.budget import seconds_per_step
from bench.sweeps.plan import Sweep


@dataclass(frozen=True)
class Forecast:
    """Of the runs that differ in nothing but their seed."""

    estimator: str
    posterior: str
    runs: int
    steps: int
    seconds_per_step: float
    skipped: str = ""
    """Why there is nothing to do."""

    @property
    def seconds(self) -> float:
        """Of training them all one after another; measuring comes on top."""
        return self.runs * self.steps * self.seconds_per_step


def forecast(planned: Sweep, threads: int) -> Iterator[Forecast]:
    """A few seconds each, as they are timed, one at a time with so many `threads`. Raises ValueError if steps raise."""
    runs = len({run.seed for run in planned.runs})
    for first in planned.firsts:
        reason = skip_reason(first) or planned.impossible.get(first.digest, "")
        took = 0.0 if reason else seconds_per_step(first, planned.dataset, planned.pixels, threads)
        yield Forecast(first.estimator, first.posterior, runs, first.steps, took, reason)
