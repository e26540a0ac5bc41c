"""What all figures share; above all one look per estimator, the same in every figure of every sweep."""

import colorsys
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

RC: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # Dashes in a style are lengths in points, whatever the line's width.
    "lines.scale_dashes": False,
    # Dataset and estimator names are the user's and may hold a dollar sign.
    "text.parse_math": False,
}
TALLEST = 300  # inches; at 200 dpi a picture of 2**16 pixels is the most that matplotlib draws

# The place in this list is the marker: append, never insert.
_SHIPPED = (
    "daps",
    "reinforce",
    "reinforce:baseline=critic",
    "reinforce:baseline=ema",
    "reinforce:baseline=none",
    "gumbel_softmax",
    "straight_through",
    "vq",
    "vq:codebook=ema",
    "fsq",
    "gumbel_softmax:hard=false",
    "daps_local",
)
# After Paul Tol's colour-blind-safe schemes; lightness differs between neighbours, for print in grey.
_FAMILY_HUES = {
    "daps": "#1f4fa3",
    "daps_local": "#6fa8dc",
    "reinforce": "#cc3311",
    "gumbel_softmax": "#117733",
    "straight_through": "#b59a1a",
    "vq": "#882299",
    "fsq": "#35ab9b",
}
_SPARE_HUES = ("#ee3377", "#805533", "#66aadd", "#ee7733", "#555555", "#7788ee")
# Slot i takes entry i of both lists; lengths without a common factor, so that all pairs come up.
_LIGHTER = (0.0, 0.3, -0.45, 0.5, -0.2)
_HUE_SHIFTS = (0.0, 0.04, -0.04)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "d", "p", ">")
_DASHES = ((), (5, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1))
_TONES = len(_LIGHTER) * len(_HUE_SHIFTS)
_MARKS = len(_MARKERS) * len(_DASHES)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """How one estimator is drawn. `dash` is a sequence of on and off in points, empty for a solid line."""

    colour: Colour
    marker: str
    dash: tuple[float, ...]


def reading_order(names: Iterable[str]) -> list[str]:
    """Families together, shipped ones first, numbers by size: daps, daps:k=4, daps:k=16, ..., yours."""
    families = list(_FAMILY_HUES)

    def key(name: str):
        family = _family(name)
        rank = families.index(family) if family in _FAMILY_HUES else len(families)
        shipped = _SHIPPED.index(name) if name in _SHIPPED else len(_SHIPPED)
        # Odd pieces are the numbers, so that like is compared with like; the name itself, as 1 and 1.0 are alike.
        pieces = [float(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+(?:\.\d+)?)", name))]
        return rank, family, shipped, pieces, name

    return sorted(set(names), key=key)


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for every estimator name, all different.

    Shipped estimators own theirs. Others take the one their name hashes to, in the hue of their family; when
    two of them hash to the same, the second in reading order takes the next free one. Past 15 variants of a
    family colours return, past 49 names that are not shipped markers with their dashes do.
    """
    names = set(names)
    hue_slots: set[int] = set()
    mark_slots: set[int] = set()
    tone_slots: dict[str, set[int]] = {}
    hues = dict(_FAMILY_HUES)
    chosen: dict[str, Style] = {}
    for name in (*_SHIPPED, *(n for n in reading_order(names) if n not in _SHIPPED)):
        family, arguments = _family(name), name.partition(":")[2]
        if family not in hues:
            hues[family] = _SPARE_HUES[_claim(crc32(family.encode()), len(_SPARE_HUES), hue_slots)]
        shipped = name in _SHIPPED
        taken = tone_slots.setdefault(hues[family], set())
        tone = _claim(len(taken) if shipped or not arguments else crc32(arguments.encode()), _TONES, taken)
        mark = _claim(_SHIPPED.index(name) if shipped else crc32(name.encode()), _MARKS, mark_slots)
        chosen[name] = Style(_tone(hues[family], tone), _MARKERS[mark % len(_MARKERS)], _DASHES[mark % len(_DASHES)])
    return {name: chosen[name] for name in reading_order(names)}


def told_apart(names: Mapping[str, str]) -> dict[str, Style]:
    """The styles of `names` (by what they are called), those of the first 12 with markers that all differ.

    For points in grey print, where neither colours nor dashes help: a marker that is there already is replaced by one
    that is free. Shipped estimators keep theirs.
    """
    known = styles(names.values())
    found = {called: known[name] for called, name in names.items()}
    first = sorted(list(names)[: len(_MARKERS)], key=lambda called: names[called] not in _SHIPPED)
    taken: set[str] = set()
    for called in first:
        if found[called].marker in taken:
            found[called] = replace(found[called], marker=next(m for m in _MARKERS if m not in taken))
        taken.add(found[called].marker)
    return found


def _family(name: str) -> str:
    return name.partition(":")[0]


def _claim(preferred: int, size: int, taken: set[int]) -> int:
    slots = [(preferred + i) % size for i in range(size)]
    slot = next((s for s in slots if s not in taken), slots[0])
    taken.add(slot)
    return slot


def _tone(anchor: str, slot: int) -> Colour:
    """The anchor colour, a little lighter or darker and turned by a few degrees of hue."""
    red, green, blue = (int(anchor[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    lighter = _LIGHTER[slot % len(_LIGHTER)]
    lightness += lighter * (1 - lightness if lighter > 0 else lightness)
    return colorsys.hls_to_rgb((hue + _HUE_SHIFTS[slot % len(_HUE_SHIFTS)]) % 1, lightness, saturation)
