"""How estimators are named on the command line: `name` or `name:key=value,...`."""

import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from estimators._base import Estimator


@dataclass(frozen=True)
class Spec:
    """A parsed estimator: the name it is registered under, and the arguments that differ from the defaults
    (those of its constructor, overlaid by a preset's)."""

    name: str
    arguments: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        """Canonical form: defaults dropped, keys sorted."""
        if not self.arguments:
            return self.name
        return f"{self.name}:{','.join(f'{key}={_format(value)}' for key, value in self.arguments)}"


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower().removesuffix(".0")


def nearest(word: str, valid: Iterable[str]) -> str:
    """' did you mean X?' if anything is close, then the valid words."""
    valid = sorted(valid)
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"{f'did you mean {close[0]}? ' if close else ''}valid: {', '.join(valid)}"


def split_list(text: str) -> list[str]:
    """Split a comma-separated list of estimators. A piece with `=` and no `:`, or a bare number, continues the
    estimator before it: `daps:k=16,ess_target=0.5,fsq:levels=8,8,4,vq` is three estimators."""
    pieces: list[str] = []
    depth = 0
    for piece in text.split(","):
        before_equals = piece.split("=", 1)[0]
        continues = depth > 0 or ("=" in piece and ":" not in before_equals) or _is_number(piece.strip(" ]"))
        depth += piece.count("[") - piece.count("]")
        if continues and pieces and ":" in pieces[-1]:
            pieces[-1] += "," + piece
        else:
            pieces.append(piece)
    return [piece.strip() for piece in pieces if piece.strip()]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", text) is not None


def options(cls: type[Estimator]) -> dict[str, inspect.Parameter]:
    """The keyword arguments of an estimator's constructor."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


def parse(text: str, registry: Mapping[str, type[Estimator]], preset: Callable[[str], Mapping[str, object]]) -> Spec:
    """Parse and validate one estimator; `preset(name)` holds defaults that replace the constructor's.

    Raises ValueError for an unknown name or argument (naming the nearest valid one) or a value of the wrong type.
    """
    name, _, rest = text.strip().partition(":")
    if name not in registry:
        raise ValueError(f"unknown estimator {name!r}; {nearest(name, registry)}")
    cls = registry[name]
    pairs: list[tuple[str, str]] = []
    for piece in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = piece.partition("=")
        if equals:
            pairs.append((key.strip(), value.strip()))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{piece}")
        else:
            raise ValueError(f"{text!r}: {piece!r} is not key=value; try {name}:{piece}=...")
    defaults = {key: option.default for key, option in options(cls).items()}
    defaults |= typed(name, cls, preset(name))
    given = typed(name, cls, dict(pairs))
    return Spec(name, tuple(sorted((key, value) for key, value in given.items() if value != defaults[key])))


def typed(name: str, cls: type[Estimator], given: Mapping[str, object]) -> dict[str, object]:
    """Arguments checked against the constructor. Values may be strings or already typed (from YAML)."""
    known = options(cls)
    hints = typing.get_type_hints(cls.__init__)
    arguments = {}
    for key, value in given.items():
        if key not in known:
            hint = nearest(key, known) if known else f"{name} takes none"
            raise ValueError(f"{name} has no argument {key!r}; {hint}")
        arguments[key] = coerce(f"{name}:{key}", value, hints[key])
    return arguments


def coerce(label: str, value: object, hint: object) -> object:
    """Turn what was typed into what the annotation says, or raise a ValueError that says what fits."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return coerce(label, value, next(choice for choice in choices if choice is not type(None)))
    if origin is typing.Literal:
        if value in choices:
            return value
        raise ValueError(f"{label}={value}; {nearest(str(value), map(str, choices))}")
    if origin is tuple:
        items = value.strip("[]() ").split(",") if isinstance(value, str) else typing.cast(Iterable, value)
        return tuple(coerce(label, item, choices[0]) for item in items)
    if hint is bool and not isinstance(value, bool):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() not in words:
            raise ValueError(f"{label}={value} is not true or false")
        return words[str(value).lower()]
    assert isinstance(hint, type)
    try:
        found = value if isinstance(value, hint) else hint(typing.cast(str, value))
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError
        return found
    except (TypeError, ValueError, OverflowError):
        kind = {int: "a whole number", float: "a finite number"}.get(hint, hint.__name__)
        raise ValueError(f"{label}={value} is not {kind}; try {label.rpartition(':')[2]}=...") from None
