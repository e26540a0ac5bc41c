"""Jobs of a Slurm site, one per run, submitted by submitit as an array. Slurm queues, places, limits, requeues them.

The nodes need this package and its plug-ins installed, the folder of results, and the images under the same name. Jobs
outlive the process that submitted them: the next one for the same folder finds them in the queue and waits for them.
"""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from bench.data import Dataset, load_again
from bench.machine.files import read_json, write_json
from bench.sweeps.execute import Handle, WorkerDied
from bench.sweeps.executors import Place
from bench.training.run import Job, perform

try:
    import submitit
    from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError, JobPaths, pickle_load
    from submitit.helpers import clean_env, environment_variables
except ModuleNotFoundError:
    raise ValueError("--executor slurm needs submitit, which is not installed; type pip install '.[slurm]'") from None

MINUTES = 240
NOTICE_SECONDS = 120
"""Before the time limit, to keep the state and ask for more time; half of the limit if that is less."""
TIMEOUTS = 1_000_000
"""A run may reach the time limit as often as it needs: it goes on each time."""
_GONE = "gone"
"""Of a job that Slurm has forgotten, some minutes after its end."""
OVER = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
OVER += ("REVOKED", "TIMEOUT", _GONE)
"""States that a job does not leave."""
_REQUEUE = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")


class _Silent(ValueError):
    """Slurm does not answer."""


def device(place: Place, asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    if shutil.which("sbatch") is None:
        raise ValueError("--executor slurm: there is no sbatch here; type this on a login node of a Slurm site")
    _queue()
    if asked == "cpu" and place.gpus:
        raise ValueError(f"--gpus {place.gpus} goes with --device cuda, not with cpu")
    return asked if asked != "auto" else "cuda" if place.gpus else "cpu"


def executor(place: Place, dataset: Dataset, out: Path, on_gpu: bool) -> "Slurm":
    minutes = place.time or MINUTES
    parameters = {
        "time": minutes,
        "signal_delay_s": min(NOTICE_SECONDS, 30 * minutes),
        "cpus_per_task": place.threads or 1,
        "gpus_per_node": (place.gpus or 1) if on_gpu else None,
        "partition": place.partition,
        "additional_parameters": {"requeue": True, **dict(map(_sbatch_option, place.sbatch or []))},
    }
    return Slurm(out, dataset, parameters, place.workers)


def _sbatch_option(text: str) -> tuple[str, str | bool]:
    """`account=x`, or `exclusive` alone."""
    key, equals, value = text.lstrip("-").partition("=")
    return key.strip(), value.strip() if equals else True


@dataclass(frozen=True)
class Run:
    """One run, as a job. SIGINT asks it to keep its state and end; the signal before the time limit, to go on later."""

    job: Job
    provenance: Mapping[str, object]
    threads: int

    def __call__(self) -> Exception | None:
        """Returns what went wrong around the run, if anything."""
        requeue = signal.getsignal(_REQUEUE)
        assert callable(requeue)
        asked: list[int] = []
        for number in (signal.SIGINT, _REQUEUE):
            signal.signal(number, lambda number, _: asked.append(number))
        torch.set_num_threads(self.threads)
        config = self.job.config
        try:
            perform(self.job, load_again(config.dataset, self.provenance, config.fingerprint), lambda: bool(asked))
        except Exception as error:
            return error
        if asked and signal.SIGINT not in asked and self.job.folder.status.get("state") == "stopped":
            requeue(_REQUEUE, None)
        return None

    def checkpoint(self) -> DelayedSubmission:
        """What submitit queues again: the same, since the state is in the run's folder."""
        return DelayedSubmission(self)


class Slurm:
    """The site that this machine can submit to."""

    poll_seconds = 5.0

    def __init__(
        self, out: Path, dataset: Dataset, parameters: Mapping[str, Any], at_a_time: int | None = None
    ) -> None:
        """`parameters` of each job as submitit calls them, None for what the site decides. What the jobs print is kept
        in `out`/slurm. Raises ValueError if Slurm does not answer."""
        self.folder = out.absolute() / "slurm"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._provenance, self._threads = dataset.provenance, parameters["cpus_per_task"]
        self._at_a_time = at_a_time
        self._executor = submitit.SlurmExecutor(self.folder, max_num_timeout=TIMEOUTS)
        self._executor.update_parameters(**{key: value for key, value in parameters.items() if value is not None})
        self._queue = _queue()
        self._looked = time.monotonic()
        self._handles: list[_Handle] = []

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Runs whose jobs are in the queue are not submitted again, whoever submitted them.

        Raises ValueError if Slurm refuses the first jobs. If it refuses later ones, they have failed.
        """
        if not jobs:
            return []
        self.look(at_most_every=0)
        # the job in the queue of every run of this folder that has one
        found = {
            runs[queued.index]: number
            for number, queued in self._queue.items()
            if queued.state not in OVER and (runs := read_json(self.folder / f"{queued.name}.json").get("runs"))
        }
        new = [job for job in jobs if job.run not in found]
        refused: Future[None] = Future()
        try:
            found |= self._send(new) if new else {}
        except ValueError as error:
            if not self._handles:
                raise
            refused.set_exception(error)
        handles = {job.run: _Handle(found[job.run], self) for job in jobs if job.run in found}
        self._handles += handles.values()
        for job in jobs:
            if job.run in handles:
                how = "submitted" if job in new else "already in the queue"
                job.folder.say(f"{how} as Slurm job {handles[job.run].number}")
        return [handles.get(job.run, refused) for job in jobs]

    def stop(self) -> None:
        while numbers := {handle.number for handle in self._handles if not handle.done()}:
            # those that have not begun, then those that have; again and again, since they begin when Slurm likes
            for which in ("--state=PENDING", "--signal=INT"):
                subprocess.run(["scancel", which, *numbers], capture_output=True, check=False)
            time.sleep(self.poll_seconds)

    def state(self, number: str) -> str:
        """Of one job, when Slurm was asked last."""
        return self._queue[number].state if number in self._queue else _GONE

    def look(self, *, at_most_every: float) -> None:
        """Ask about all jobs at once."""
        if time.monotonic() - self._looked >= at_most_every:
            self._looked = time.monotonic()
            with contextlib.suppress(_Silent):  # Slurm is busy: what it said last still holds
                self._queue = _queue()

    def _send(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Submit; returns the job of every run. Raises ValueError if Slurm refuses."""
        # written first, under a name that the queue shows: whenever this process dies, no job in the queue is unknown
        name = f"bench-{uuid.uuid4().hex[:12]}"
        runs = [job.run for job in jobs]
        write_json(self.folder / f"{name}.json", {"runs": runs})
        self._executor.update_parameters(job_name=name, array_parallelism=self._at_a_time or len(jobs))
        try:
            with _outside_of_jobs(), contextlib.redirect_stderr(io.StringIO()):
                sent = self._executor.submit_array([Run(job, self._provenance, self._threads) for job in jobs])
        except (FailedJobError, FailedSubmissionError) as error:
            raise ValueError(
                f"Slurm refuses the jobs: {_reason(str(error))}; see --partition, --time, --gpus, --threads and "
                "--sbatch, or do fewer at a time, such as --seeds 1"
            ) from None
        numbers = [each.job_id for each in sent]
        self._queue |= {number: _Queued(name, index, "PENDING") for index, number in enumerate(numbers)}
        return dict(zip(runs, numbers, strict=True))


@dataclass(frozen=True)
class _Handle:
    number: str
    _slurm: Slurm

    def done(self) -> bool:
        self._slurm.look(at_most_every=self._slurm.poll_seconds)
        return self._slurm.state(self.number) in OVER

    def exception(self) -> BaseException | None:
        paths = JobPaths(self._slurm.folder, self.number)
        if paths.result_pickle.exists():
            outcome, result = pickle_load(paths.result_pickle)
            return result if outcome == "success" else WorkerDied(result.strip().splitlines()[-1])
        state = self._slurm.state(self.number)
        if state == "COMPLETED":
            return None  # its result is on its way, as things are in file systems that hosts share
        log = paths.stderr.read_text(errors="replace") if paths.stderr.exists() else ""
        return WorkerDied(f"its Slurm job {self.number} is {state}: {_reason(log)}")


@dataclass(frozen=True)
class _Queued:
    """What Slurm says of one job."""

    name: str
    index: int
    """In its array."""
    state: str


def _queue() -> dict[str, _Queued]:
    """All jobs of this user by number, also those that ended some minutes ago. Raises _Silent."""
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%j|%F|%K|%T"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise _Silent(f"Slurm does not answer: {_reason(answer.stderr)}; try again when sinfo shows its nodes")
    found = {}
    for line in answer.stdout.splitlines():
        name, number, index, state = line.rsplit("|", 3)
        alone = index == "N/A"
        found[number if alone else f"{number}_{index}"] = _Queued(name, 0 if alone else int(index), state)
    return found


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Without what the environment says of the job that this process may itself be in: sbatch would pass it on."""
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env(), environment_variables(**kept):
        yield


def _reason(text: str) -> str:
    """The last line that speaks of an error, or else the last."""
    lines = [line for line in text.splitlines() if line.strip()] or ["no reason given"]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])
