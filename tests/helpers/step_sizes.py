"""Step-size rules and samples for them."""

import numpy as np
import pytest
import torch

from estimators._step_size import RULES, StepSize, make

PER_IMAGE = ("ess_solve", "kl", "lbps")
EVERY = [*((name, False) for name in RULES), *((name, True) for name in PER_IMAGE)]
SOLVED = [(name, per_image) for name, per_image in EVERY if name not in ("ess", "fixed")]
every_rule = pytest.mark.parametrize(("name", "per_image"), EVERY)
solved_rule = pytest.mark.parametrize(("name", "per_image"), SOLVED)


def rule(name: str, k: int = 8, **knobs) -> StepSize:
    nothing = {"ess_target": None, "epsilon": None, "delta": None, "per_image": False}
    return make(name, **{"k": k, "eta": 100.0, "eta_lr": 1e-3, **nothing, **knobs})


def samples(k: int = 8, b: int = 6, seed: int = 0, scale: float = 30.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and log q in nats, of images whose rewards differ in scale."""
    generator = np.random.default_rng(seed)
    rewards = generator.normal(size=(k, b)) * generator.lognormal(size=b) * scale
    return torch.tensor(rewards - rewards.mean(0)), torch.tensor(-generator.random((k, b)) * 9 - 40)
