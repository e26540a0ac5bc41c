"""Trust-region rules for policy search: each turns the samples of a minibatch into the temperature eta and weights.

A rule sees the advantages A and log q of k samples per image and gives a `Step`. With the return G = A - beta log q of
the entropy-regularised problem and T = eta + beta, the closed form weighs sample j by exp(G_j / T), and so do all rules
but vmpo: they differ in how they choose T >= beta. A new rule is a class in this package and a line in RULES.
"""

import inspect

from estimators._base import require
from estimators._step_size.constant import Fixed, Greedy
from estimators._step_size.learned import EssTarget
from estimators._step_size.rule import Step, StepSize, effective_sample_size, log_weights
from estimators._step_size.solved import EssSolve, KLBound, LowerBound
from estimators._step_size.vmpo import VMPO

__all__ = ["RULES", "EssTarget", "Step", "StepSize", "effective_sample_size", "log_weights", "make"]

RULES: dict[str, type[StepSize]] = {
    "ess": EssTarget,
    "ess_solve": EssSolve,
    "kl": KLBound,
    "vmpo": VMPO,
    "lbps": LowerBound,
    "fixed": Fixed,
    "greedy": Greedy,
}


def make(
    rule: str,
    *,
    k: int,
    eta: float,
    eta_lr: float,
    ess_target: float | None,
    epsilon: float | None,
    delta: float | None,
    per_image: bool,
) -> StepSize:
    """The rule of that name with those of the knobs that it has; None is its own default.

    Raises ValueError for values out of range, and for an epsilon, delta or per_image that the rule does not have. The
    other knobs are not refused: presets give them to every rule.
    """
    knobs = {"k": k, "eta": eta, "eta_lr": eta_lr, "ess_target": ess_target}
    chosen = {"epsilon": epsilon, "delta": delta, "per_image": per_image or None}
    takes = {name: inspect.signature(cls).parameters for name, cls in RULES.items()}
    for knob, value in chosen.items():
        owners = ", ".join(f"step_size={name}" for name in RULES if knob in takes[name])
        require(
            value is None or knob in takes[rule],
            f"{knob}={str(value).lower()} has no meaning with step_size={rule}; it belongs to {owners}",
        )
    given = {knob: value for knob, value in (knobs | chosen).items() if knob in takes[rule] and value is not None}
    return RULES[rule](**given)
