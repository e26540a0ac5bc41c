"""One optimiser step, and everything that must be kept to go on with the next one to the bit."""

from collections.abc import Iterator

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bench.build import Task
from bench.checkpoint import State
from bench.config import RunConfig
from bench.metrics import noise_generator


def batch_order(n: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[Int[Tensor, "b"]]:
    """Indices of each step's minibatch: one permutation of the data after another, cut into equal pieces."""
    stream = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(stream) < batch:
            stream = torch.cat([stream, torch.randperm(n, generator=generator)])
        yield stream[:batch]
        stream = stream[batch:]


class Trainer:
    """A task, its optimiser and its noise."""

    def __init__(self, config: RunConfig, task: Task) -> None:
        self.config, self.task = config, task
        self.noise = noise_generator(config.seed, "noise", torch.device(config.device))
        self.optimiser = torch.optim.AdamW(task.param_groups(config.lr, config.weight_decay), fused=True)
        self.schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, config.steps)
            if config.lr_schedule == "cosine"
            else None
        )

    def update(self, image: UInt8[Tensor, "b c h w"], step: int) -> tuple[dict[str, Tensor], int]:
        """One optimiser step; diagnostics stay on the device. Returns them and the decodes it took per image."""
        config = self.config
        progress = step / config.steps
        beta = config.beta * (config.beta_end / config.beta) ** progress if config.beta else 0.0
        problem = self.task.problem(image, step, progress, beta, self.noise)
        estimate = self.task.estimator.loss(problem)
        self.optimiser.zero_grad(set_to_none=True)
        estimate.loss.backward()
        norms = [
            torch.nn.utils.clip_grad_norm_(group["params"], config.grad_clip)
            for group in self.optimiser.param_groups
            if group.get("clip", True)
        ]
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        # the model's group comes first; the sum is not finite if any part of the update is not
        finite = torch.isfinite(estimate.loss.detach() + sum(norms))
        return {"finite": finite, "grad_norm": norms[0], **estimate.terms}, estimate.decodes

    def state(self) -> State:
        """Weights, the estimator's own state, optimiser, schedule and noise. The order of the data needs none: it
        follows from the seed and the step."""
        tensors = {f"task/{name}": tensor for name, tensor in self.task.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{name}": tensor for name, tensor in moments.items()}
        tensors["noise"] = self.noise.get_state()
        facts = {
            "lr": [group["lr"] for group in self.optimiser.param_groups],
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
        }
        return State(tensors, facts)

    def restore(self, state: State) -> None:
        """Become the trainer that `state` was taken from."""
        self.task.load_state_dict(state.under("task"))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.under("optimiser").items():
            index, _, moment = name.partition("/")
            moments.setdefault(int(index), {})[moment] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        for group, lr in zip(groups, state.facts["lr"], strict=True):
            group["lr"] = lr
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        if self.schedule is not None:
            self.schedule.load_state_dict(state.facts["schedule"])
        self.noise.set_state(state.tensors["noise"])
