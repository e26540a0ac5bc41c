"""How far one update moved the encoder: the trust region as it turned out, for every categorical estimator."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from bench.build import Task
from estimators import Categorical


class Movement:
    """Made before an update, asked after it."""

    def __init__(self, task: Task, image: UInt8[Tensor, "b c h w"]) -> None:
        self.task, self.image = task, image
        self.before = _weights(task) if isinstance(task.estimator, Categorical) else None

    @torch.no_grad()
    def realised_kl(self, noise: torch.Generator) -> float | None:
        """KL(q_new || q_old) on the minibatch, in nats per image: exact for a factorised posterior; for a causal one
        exact at every position along one code, drawn with `noise`. None for estimators without logits."""
        if self.before is None:
            return None
        task, x = self.task, self.task.model.likelihood.data(self.image)
        code, new = task.model.encode(x)[0].rollout(lambda params: task.estimator.hard(params, noise), 1)
        now = _weights(task)
        task.model.load_state_dict(self.before)
        old = task.model.encode(x)[0].replay(code)
        task.model.load_state_dict(now)
        log_new, log_old = new.double().log_softmax(-1), old.double().log_softmax(-1)
        return (log_new.exp() * (log_new - log_old)).sum((-2, -1)).mean().item()


def _weights(task: Task) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
