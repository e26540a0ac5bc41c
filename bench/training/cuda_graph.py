"""A GPU does the whole step from one recording (a CUDA graph), instead of being told each of its thousands of kernels.

A recording repeats kernels on the memory they had: whatever Python did in between is frozen in it. So it is used only
after two of its steps came out like two plain ones; otherwise the run goes on without it and says why.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bench.training.step import Trainer

T = TypeVar("T")
Terms = tuple[dict[str, Tensor], int]

WARM_UP = 3
"""Plain steps before the recording: libraries allocate and choose kernels at their first calls."""
CHECKED = 2
"""Steps compared: what is frozen by mistake shows in the second."""
TOLERANCE = 0.3
"""Of what those steps changed in a tensor, the share that may differ. Sums in another order make codes differ here and
there; a change that is missing from a recording is half of them or more."""


class Recorder(Protocol):
    """What can record."""

    def warm(self, work: Callable[[], T]) -> T:
        """Do it, in the place where recordings are made."""
        ...

    def record(self, work: Callable[[], object], noise: torch.Generator) -> Callable[[], None]:
        """Note what it does, without doing it; returns what does it. Raises RuntimeError if it reads from the device
        on the way."""
        ...


class CudaGraphs:
    """Of the current GPU."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def warm(self, work: Callable[[], T]) -> T:
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            result = work()
        here.wait_stream(self.stream)
        return result

    def record(self, work: Callable[[], object], noise: torch.Generator) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(noise)
        with torch.cuda.graph(graph, stream=self.stream):
            work()
        return graph.replay


def recorder(device: str) -> Recorder | None:
    """None where there is nothing to be gained."""
    return CudaGraphs() if device == "cuda" else None


class Replay:
    """Does a trainer's steps: plainly until it is warm, then from a recording if that can be had."""

    def __init__(self, trainer: "Trainer", recorder: Recorder, say: Callable[[str], None]) -> None:
        self.trainer, self.recorder, self.say = trainer, recorder, say
        self.plain_steps = 0
        self.given_up = False
        self.play: Callable[[], None] | None = None

    def __call__(self, image: Tensor) -> Terms:
        if self.play is None and self.plain_steps >= WARM_UP and not self.given_up:
            self._record(image)
        if self.play is None:
            self.plain_steps += 1
            return self.recorder.warm(lambda: self.trainer.compute(image))
        self.image.copy_(image)
        self.play()
        # the next step overwrites them
        return dict(zip(self.names, self.values.clone().unbind(), strict=True)), self.decodes

    def _record(self, image: Tensor) -> None:
        self.image = image.clone()
        kept = self._kept()
        try:
            play = self.recorder.record(self._noted_step, self.trainer.noise)
        except RuntimeError as error:
            # a generator that was being recorded is not to be used again
            self.trainer.noise = torch.Generator(device=image.device)
            self.trainer.noise.set_state(kept["noise"])
            # ending the recording fails too, and hides what went wrong in it
            cause = error.__context__ or error
            why = f"{type(cause).__name__}: {cause}".splitlines()[0]
            problem = f"it cannot be recorded ({why})"
        else:
            different = self._difference(play, kept)
            if different is None:
                self.play = play
                return
            problem = f"a recording of it does something else (to {different})"
        self.given_up = True
        self.say(f"the step goes on kernel by kernel, several times slower on a GPU: {problem}")

    def _noted_step(self) -> None:
        terms, self.decodes = self.trainer.compute(self.image)
        self.names = list(terms)
        self.values = torch.stack([value.float() for value in terms.values()])

    def _kept(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.trainer.state().tensors.items()}

    @torch.no_grad()
    def _difference(self, play: Callable[[], None], kept: dict[str, Tensor]) -> str | None:
        """The first tensor that recorded steps change in another way than plain ones; leaves all as it was."""

        @torch.enable_grad()
        def plain() -> None:
            self.recorder.warm(lambda: self.trainer.compute(self.image))

        ends = []
        for step in (play, plain):
            for _ in range(CHECKED):
                step()
            ends.append(self._kept())
            for name, tensor in self.trainer.tensors().items():
                tensor.copy_(kept[name])
            self.trainer.noise.set_state(kept["noise"])
        recorded, expected = ends
        for name, before in kept.items():
            after, replayed = expected[name].double(), recorded[name].double()
            allowed = TOLERANCE * (after - before).norm() + 1e-5 * after.norm()
            # `not <=`, so that a NaN is a difference
            if name != "noise" and not (replayed - after).norm() <= allowed:
                return name
        return None
