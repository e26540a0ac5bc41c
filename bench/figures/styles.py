"""One look per estimator, the same in every figure and on every page of every sweep. Imports no matplotlib."""

import colorsys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zlib import crc32

from bench.records.methods import SHIPPED, reading_order

if TYPE_CHECKING:
    from bench.records.study import Study

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
# Of cases and rules: seaborn's colour-blind palette, without the yellow that is hard to see on white.
_CASES = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#56b4e9")

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """How one estimator is drawn. `dash` is a sequence of on and off in points, empty for a solid line."""

    colour: Colour
    marker: str
    dash: tuple[float, ...]


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for every estimator name, all different, in reading order.

    Shipped estimators own theirs. Others take the one their name hashes to, in the hue of their family; when
    two of them hash to the same, the second in reading order takes the next free one. Past 15 variants of a
    family colours return, past 48 names that are not shipped markers with their dashes do.
    """
    names = set(names)
    hue_slots: set[int] = set()
    mark_slots: set[int] = set()
    tone_slots: dict[str, set[int]] = {}
    hues = dict(_FAMILY_HUES)
    chosen: dict[str, Style] = {}
    for name in (*SHIPPED, *(n for n in reading_order(names) if n not in SHIPPED)):
        family, _, arguments = name.partition(":")
        if family not in hues:
            hues[family] = _SPARE_HUES[_claim(crc32(family.encode()), len(_SPARE_HUES), hue_slots)]
        shipped = name in SHIPPED
        taken = tone_slots.setdefault(hues[family], set())
        tone = _claim(len(taken) if shipped or not arguments else crc32(arguments.encode()), _TONES, taken)
        mark = _claim(SHIPPED.index(name) if shipped else crc32(name.encode()), _MARKS, mark_slots)
        chosen[name] = Style(_tone(hues[family], tone), _MARKERS[mark % len(_MARKERS)], _DASHES[mark % len(_DASHES)])
    return {name: chosen[name] for name in reading_order(names)}


def told_apart(names: Mapping[str, str]) -> dict[str, Style]:
    """The styles of `names` (by what they are called), those of the first 12 with markers that all differ.

    For points in grey print, where neither colours nor dashes help: a marker that is there already is replaced by one
    that is free. Shipped estimators keep theirs.
    """
    known = styles(names.values())
    found = {called: known[name] for called, name in names.items()}
    first = sorted(list(names)[: len(_MARKERS)], key=lambda called: names[called] not in SHIPPED)
    taken: set[str] = set()
    for called in first:
        if found[called].marker in taken:
            found[called] = replace(found[called], marker=next(m for m in _MARKERS if m not in taken))
        taken.add(found[called].marker)
    return found


def of_families(study: "Study") -> dict[str, Style]:
    """By family of an ablation. What begins alike, such as a rule with and without `per_image`, shares a colour.

    Estimators look as everywhere, rules of one estimator have colours far apart.
    """
    groups = list(dict.fromkeys(family.split(", ")[0] for family in study.families))
    shared = styles(groups)
    several = len({setting.estimator for setting in study.settings}) > 1
    if several and groups == study.families:
        return shared
    cases = {name: rgb(_CASES[place % len(_CASES)]) for place, name in enumerate(groups)}
    found: dict[str, Style] = {}
    for place, family in enumerate(study.families):
        group = family.split(", ")[0]
        alike = sum(other.split(", ")[0] == group for other in found)
        colour = shared[group].colour if several else cases[group]
        found[family] = Style(colour, _MARKERS[place % len(_MARKERS)], _DASHES[alike % len(_DASHES)])
    return found


def _claim(preferred: int, size: int, taken: set[int]) -> int:
    slots = [(preferred + i) % size for i in range(size)]
    slot = next((s for s in slots if s not in taken), slots[0])
    taken.add(slot)
    return slot


def _tone(anchor: str, slot: int) -> Colour:
    """The anchor colour, a little lighter or darker and turned by a few degrees of hue."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*rgb(anchor))
    lighter = _LIGHTER[slot % len(_LIGHTER)]
    lightness += lighter * (1 - lightness if lighter > 0 else lightness)
    return colorsys.hls_to_rgb((hue + _HUE_SHIFTS[slot % len(_HUE_SHIFTS)]) % 1, lightness, saturation)


def rgb(code: str) -> Colour:
    """Of #rrggbb."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
