"""Values of a knob as people type them: `2,4,8`, `log:1e-4:1e-2:5`, `linear:0.1:0.9:5`, multiples such as `0.3x`."""

import math
import re
from collections.abc import Sequence

import numpy as np

RANGES = {"log": np.geomspace, "linear": np.linspace}
EXAMPLES = "2,4,8 or log:1e-4:1e-2:5 or linear:0.1:0.9:5"
DIGITS = 3
"""Significant ones of the numbers inside a range; more if it takes more to tell them apart."""
_MULTIPLE = re.compile(r"(?P<number>\d+\.?\d*(e[-+]?\d+)?|\.\d+)(/(?P<divisor>[1-9]\d*))?x", re.IGNORECASE)


def values(key: str, text: str, *, whole: bool = False) -> tuple[str, ...]:
    """The values of `text` in order, each once, as they would be typed one by one.

    Pieces stand between commas; one in brackets, `[8,8,4]`, is a value of several parts. The numbers of a range are
    rounded to a few digits between its ends, to integers if the knob is `whole`; both ends may be multiples of the
    preset's value (`log:0.1x:10x:5`). Raises ValueError for what is none of this.
    """
    pieces = split(text)
    if not all(pieces):
        raise ValueError(f"--grid {key}={text}: a value is missing; try {key}={EXAMPLES}")
    found = [value for piece in pieces for value in (_range(key, piece, whole) if ":" in piece else [piece])]
    return tuple(dict.fromkeys(found))


def split(text: str) -> list[str]:
    """At the commas that are outside of brackets."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return [piece.strip() for piece in pieces]


def is_multiple(value: str) -> bool:
    """Whether it is `4x`, `0.3x` or `1/4x`: so many times what the preset has."""
    return _MULTIPLE.fullmatch(value) is not None


def multiplied(value: str, base: float, *, whole: bool) -> str:
    """`value`, a multiple, of `base`. Whole numbers stay whole, and at least 1."""
    found = _MULTIPLE.fullmatch(value)
    assert found is not None, value
    factor = float(found["number"]) / int(found["divisor"] or 1)
    if factor == 1:
        return plain(base)
    return str(max(1, round(factor * base))) if whole else plain(float(f"{factor * base:.4g}"))


def plain(number: float) -> str:
    """As short as it can be typed: 8, 0.3, 1e-05."""
    return f"{number:.12g}"


def _range(key: str, piece: str, whole: bool) -> list[str]:
    kind, *rest = piece.split(":")
    if kind not in RANGES:
        raise ValueError(f"--grid {key}={piece}: {kind!r} is no kind of range; try {key}={EXAMPLES}")
    form = f"{kind}:FIRST:LAST:COUNT"
    if len(rest) != 3:
        raise ValueError(f"--grid {key}={piece} is not {form}; try {key}={_example(kind)}")
    ends, count = rest[:2], rest[2]
    suffixes = {end[-1:].lower() == "x" for end in ends}
    if len(suffixes) == 2:
        raise ValueError(f"--grid {key}={piece}: both ends of a range are multiples (0.1x) or neither is")
    suffix = "x" if suffixes == {True} else ""
    first, last = (_number(key, piece, end[:-1] if suffix else end) for end in ends)
    if not count.isdecimal() or int(count) < 2:
        raise ValueError(f"--grid {key}={piece}: {count!r} is no count of at least 2; try {key}={_example(kind)}")
    if kind == "log" and min(first, last) <= 0:
        raise ValueError(f"--grid {key}={piece}: a log range has positive ends; try {key}={_example(kind)}")
    numbers = RANGES[kind](first, last, int(count)).tolist()
    return [f"{text}{suffix}" for text in _rounded([first, *numbers[1:-1], last], whole and not suffix)]


def _example(kind: str) -> str:
    return {"log": "log:1e-4:1e-2:5", "linear": "linear:0.1:0.9:5"}[kind]


def _number(key: str, piece: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--grid {key}={piece}: {text!r} is not a number; try {key}={EXAMPLES}")
    return number


def _rounded(numbers: Sequence[float], whole: bool) -> list[str]:
    """The ends as they are, what is between them with few digits."""
    if whole:
        return list(dict.fromkeys(str(round(number)) for number in numbers))
    first, *inner, last = numbers
    digits = DIGITS
    while len({f"{number:.{digits}g}" for number in inner}) < len(set(inner)):
        digits += 1
    return [plain(first), *(plain(float(f"{number:.{digits}g}")) for number in inner), plain(last)]
