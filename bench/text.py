"""Numbers, units and lists as people read them, the same on the terminal, in tables and on pages. Loads no torch."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

MISSING = "–"
"""Where there is no value."""
_SUFFIXES = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def nearest(word: str, valid: Iterable[str]) -> str:
    """ "did you mean X? valid: ...", for messages."""
    from estimators import nearest  # stands alone: it knows no bench

    return nearest(word, valid)


def decimals(spread: float, size: float) -> int:
    """That show two digits of a spread, or four of a size where there is no spread."""
    if spread > 0:
        return max(0, min(6, 1 - math.floor(math.log10(spread))))
    return max(0, min(6, 3 - math.floor(math.log10(abs(size))))) if size else 0


def number(value: float | None, places: int) -> str:
    """With so many decimals; MISSING where there is no value."""
    if value is None or not math.isfinite(value):
        return MISSING
    # adding zero: no -0.0
    return f"{round(value, places) + 0.0:.{places}f}"


def typeset(value: float | None, places: int) -> str:
    """The same for pages and figures: a true minus, thousands apart."""
    text = number(value, places)
    if text == MISSING or value is None:
        return text
    return f"{float(text):,.{places}f}".replace("-", "\N{MINUS SIGN}").replace(",", "\N{NARROW NO-BREAK SPACE}")


def compact(value: float, _: float | None = None) -> str:
    """Tick labels short enough to lie side by side: -0.5, 40, -120k, 2M. The second argument is matplotlib's."""
    scale, suffix = next(((scale, suffix) for least, scale, suffix in _SUFFIXES if abs(value) >= least), (1.0, ""))
    return f"{value / scale:g}{suffix}".replace("-", "\N{MINUS SIGN}")


def short(value: float) -> str:
    """A count in four digits at most: 512, 39.94k, 8M; MISSING where there is no value."""
    return compact(float(f"{value:.4g}")) if math.isfinite(value) else MISSING


def plain(value: float) -> str:
    """As short as it can be typed: 8, 0.3, 1e-05."""
    return f"{value:.12g}"


def typed(value: object) -> str:
    """Any setting as it would be typed."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int | float):
        return plain(float(f"{value:.4g}") if isinstance(value, float) else value)
    return ",".join(map(typed, value)) if isinstance(value, list | tuple) else str(value)


def counted(n: int, noun: str = "seed") -> str:
    """1 seed, 2 seeds."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def span(values: Iterable[Any]) -> str:
    """5, or 3 to 5; empty without any."""
    known = sorted({int(value) for value in values if value == value})
    return "" if not known else f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}"


def seeds(values: Iterable[int | None]) -> str:
    """0–4, 7: gapless rows by their ends."""
    rows: list[list[int]] = []
    for seed in sorted({value for value in values if value is not None}):
        if rows and seed == rows[-1][-1] + 1:
            rows[-1].append(seed)
        else:
            rows.append([seed])
    return ", ".join(f"{row[0]}–{row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows) or MISSING


def duration(seconds: float) -> str:
    """1h 05m, 5m 03s, 12s."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"


def endings(ended: Iterable[tuple[str, object]]) -> str:
    """How many runs ended how, and at which step where that is known: 3 done, 1 diverged at step 40."""
    steps: dict[str, list[object]] = defaultdict(list)
    for state, step in ended:
        steps[state].append(step)
    known = {state: [str(step) for step in found if step is not None] for state, found in steps.items()}
    return ", ".join(
        f"{len(steps[state])} {state}{' at step ' if known[state] else ''}{', '.join(known[state])}"
        for state in sorted(steps, key=lambda state: state != "done")
    )


def shortened(name: str, most: int) -> str:
    """Without its middle if it is too long: what tells variants apart stands at the end."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def unlike(texts: Iterable[str]) -> list[str]:
    """The texts; one that came before gets a number."""
    counts: Counter[str] = Counter()
    found = []
    for text in texts:
        counts[text] += 1
        found.append(f"{text}-{counts[text]}" if counts[text] > 1 else text)
    return found


def slug(text: object) -> str:
    """As a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", str(text))[-100:]


def natural(text: str) -> list[tuple[int, float, str]]:
    """Key for sorting texts with numbers in them by size."""
    pieces = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", text)
    return [(1, float(piece), "") if place % 2 else (0, 0.0, piece) for place, piece in enumerate(pieces)]
