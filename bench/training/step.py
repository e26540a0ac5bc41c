"""One optimiser step, everything that must be kept to go on with the next one to the bit, and how far it moved."""

import math
from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor

from bench.build import Task
from bench.config import RunConfig
from bench.seeds import noise_generator
from bench.training.checkpoint import State
from bench.training.clipping import clipper
from bench.training.cuda_graph import Recorder, Replay
from estimators import Categorical, Scalar


def progress_at(config: RunConfig, step: int) -> float:
    """Where a step stands in all schedules: 0 at the first, 1 at the last and after it; a run of one step has ended."""
    return 1.0 if step >= config.steps - 1 else step / (config.steps - 1)


def beta_at(config: RunConfig, progress: float) -> float:
    """Weight of the KL term when `progress` of training, 0 to 1, is over."""
    return config.beta * (config.beta_end / config.beta) ** progress if config.beta else 0.0


def cosine(end: float, progress: float) -> float:
    """From 1 to `end` along half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2


class Trainer:
    """A task, its optimiser and its noise.

    With a `recorder`, what changes from step to step besides the images (learning rates, beta, progress) are tensors on
    the device, written before the step: `compute` then is the same kernels on the same memory every time.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        recorder: Recorder | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config, self.task = config, task
        device = torch.device(config.device)
        self.noise = noise_generator(config.seed, "noise", device)
        groups = task.param_groups(config.lr, config.weight_decay)
        self.rates = [group["lr"] for group in groups]

        def variable(value: float) -> Scalar:
            return value if recorder is None else torch.tensor(value, device=device)

        self.beta, self.progress = variable(config.beta), variable(0.0)
        for group in groups:
            group["lr"] = variable(group["lr"])
        self.optimiser = torch.optim.AdamW(groups, fused=True, capturable=device.type == "cuda")
        self.clip = clipper(config.clip, config.grad_clip, task)
        self._do = self.compute if recorder is None else Replay(self, recorder, say)

    def update(self, image: UInt8[Tensor, "b c h w"], step: int) -> tuple[dict[str, Tensor], int]:
        """One optimiser step; diagnostics stay on the device. Returns them and the decodes it took per image."""
        self.prepare(step)
        return self._do(image)

    def prepare(self, step: int) -> None:
        """Set what depends on the step alone."""
        config, progress = self.config, progress_at(self.config, step)
        self.task.refresh(step)
        self.progress, self.beta = _set(self.progress, progress), _set(self.beta, beta_at(config, progress))
        if config.lr_schedule == "cosine":
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = _set(group["lr"], rate * cosine(config.lr_end, progress))

    def compute(self, image: UInt8[Tensor, "b c h w"]) -> tuple[dict[str, Tensor], int]:
        """The step itself, as `prepare` set it."""
        problem = self.task.problem(image, self.progress, self.beta, self.noise)
        estimate = self.task.estimator.loss(problem)
        self.optimiser.zero_grad(set_to_none=True)
        estimate.loss.backward()
        norms = [self.clip(group) for group in self.optimiser.param_groups if group.get("clip", True)]
        # the model's group comes first; the sum is not finite if any part of the update is not
        finite = torch.isfinite(estimate.loss.detach() + sum(norms))
        if self.config.skip_non_finite:
            # on the device: the optimiser's kernels then change neither parameters nor moments nor its count of steps
            self.optimiser.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        return {"finite": finite, "grad_norm": norms[0], **estimate.terms}, estimate.decodes

    def tensors(self) -> dict[str, Tensor]:
        """All that a step changes, by name, but the noise: weights, the estimator's own state, and the optimiser's."""
        found = {f"task/{name}": tensor for name, tensor in self.task.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser/{index}/{name}": tensor for name, tensor in moments.items()}
        return found

    def state(self) -> State:
        """What it takes to go on. The order of the data and all schedules follow from the seed and the step."""
        return State({**self.tensors(), "noise": self.noise.get_state()}, {})

    def restore(self, state: State) -> None:
        """Become the trainer that `state` was taken from."""
        self.task.load_state_dict(state.under("task"))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.under("optimiser").items():
            index, _, moment = name.partition("/")
            moments.setdefault(int(index), {})[moment] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.noise.set_state(state.tensors["noise"])


def _set(variable: Scalar, value: float) -> Scalar:
    return variable.fill_(value) if isinstance(variable, Tensor) else value


class Movement:
    """How far one update moves the encoder: the trust region as it turns out, for every categorical estimator. Made
    before the update, asked after it."""

    def __init__(self, task: Task, image: UInt8[Tensor, "b c h w"]) -> None:
        self.task, self.image = task, image
        self.before = _weights(task) if isinstance(task.estimator, Categorical) else None

    @torch.no_grad()
    def realised_kl(self, noise: torch.Generator) -> float | None:
        """KL(q_new || q_old) on the minibatch, in nats per image: exact for a factorised posterior; for a causal one
        exact at every position along one code, drawn with `noise`. None for estimators without logits."""
        estimator = self.task.estimator
        if self.before is None or not isinstance(estimator, Categorical):
            return None
        task, x = self.task, self.task.model.likelihood.data(self.image)
        code, new = task.model.encode(x)[0].rollout(lambda params: estimator.hard(params, noise), 1)
        now = _weights(task)
        task.model.load_state_dict(self.before)
        old = task.model.encode(x)[0].replay(code)
        task.model.load_state_dict(now)
        log_new, log_old = (estimator.logits(params).double().log_softmax(-1) for params in (new, old))
        return (log_new.exp() * (log_new - log_old)).sum((-2, -1)).mean().item()


def _weights(task: Task) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
