"""Named groups of estimators, declared once; and lists of estimators and groups as people type them, spelled out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from estimators._base import Estimator
from estimators._categorical import Categorical, Relaxation
from estimators._quantizer import Quantizer
from estimators._spec import Spec, nearest, parse, split_list

Registry = Mapping[str, type[Estimator]]


@dataclass(frozen=True)
class Group:
    """Estimators that one name stands for."""

    about: str
    named: tuple[str, ...] = ()
    """Its members; empty where `holds` says who they are."""
    holds: Callable[[type[Estimator]], bool] | None = None
    """Whether an estimator of `all` is a member, by what its class is or claims, so that a new file joins by itself."""


@dataclass(frozen=True)
class Chosen:
    """One estimator of a list."""

    text: str
    group: str = ""
    """That brought it; empty if it was typed by its own name."""


def _is_score_function(cls: type[Estimator]) -> bool:
    return issubclass(cls, Categorical) and not issubclass(cls, Relaxation) and not cls.policy_search


CORE = (
    "daps",
    "daps_local",
    "reinforce",
    "reinforce:baseline=critic",
    "reinforce:baseline=ema",
    "reinforce:baseline=none",
    "gumbel_softmax",
    "gumbel_softmax:k=8",
    "straight_through",
    "straight_through:k=8",
    "vq",
    "vq:codebook=ema",
    "fsq",
)
"""Relaxations also at the k of daps: one decode per step beside eight would compare budgets."""
PAPER = ("daps", "gumbel_softmax", "gumbel_rao", "vq:init=random,revive=0", "fsq")

GROUPS: dict[str, Group] = {
    "core": Group("one or two of each family, relaxations at the k of daps too", CORE),
    "paper": Group("the methods of Table 1 of arXiv:2509.24716", PAPER),
    "score_functions": Group("return times the gradient of log q", holds=_is_score_function),
    "relaxations": Group("the gradient goes through sampling", holds=lambda cls: issubclass(cls, Relaxation)),
    "quantizers": Group("vectors are rounded to codes", holds=lambda cls: issubclass(cls, Quantizer)),
    "all": Group("core and every other estimator there is, plug-ins too, oracles aside", holds=lambda cls: True),
}


def members(name: str, registry: Registry) -> list[str]:
    """The estimators of a group, those of core first. Raises ValueError if there are none."""
    group = GROUPS[name]
    found = list(group.named)
    if group.holds is not None:
        contenders = [*CORE, *(other for other, cls in sorted(registry.items()) if not cls.oracle)]
        found = [text for text in dict.fromkeys(contenders) if group.holds(registry[text.partition(":")[0]])]
    if not found:
        raise ValueError(f"the group {name} is empty; {nearest(name, [other for other in GROUPS if other != name])}")
    return found


def chosen(entries: Iterable[str], registry: Registry, preset: Callable[[str], Mapping[str, object]]) -> list[Chosen]:
    """Every estimator of the lists once, groups spelled out; one that is typed by its name and in a group is typed.

    `preset` as for `parse`. Raises ValueError for a name that nobody has, and for an estimator's mistakes.
    """
    found: dict[Spec, Chosen] = {}
    for text in (text for entry in entries for text in split_list(entry)):
        for one in _spelled_out(text, registry):
            spec = parse(one.text, registry, preset)
            if spec not in found or not one.group:
                found[spec] = one
    return list(found.values())


def _spelled_out(text: str, registry: Registry) -> Sequence[Chosen]:
    name, _, arguments = (part.strip() for part in text.partition(":"))
    if name in GROUPS:
        if arguments:
            raise ValueError(f"{text!r}: {name} is a group, which has no arguments; try {name}, or an estimator's name")
        return [Chosen(member, name) for member in members(name, registry)]
    if name not in registry:
        raise ValueError(f"unknown estimator {name!r}; {nearest(name, [*registry, *GROUPS])}")
    return [Chosen(text)]
