"""One look per estimator for light and dark, after the figures' colours."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass

from bench.figures.styles import Colour, Style, styles

LIGHT, DARK = "#ffffff", "#15181d"
"""Backgrounds of charts and tables; `style.css` has the same."""
CONTRAST = 3.0
"""Of lines and markers against their background (WCAG 2.2, success criterion 1.4.11)."""


@dataclass(frozen=True)
class Look:
    place: int
    """Names its colour: the CSS variable --m<place>."""
    style: Style
    light: str
    dark: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look per name, in reading order."""
    return {
        name: Look(place, style, readable(style.colour, LIGHT), readable(style.colour, DARK))
        for place, (name, style) in enumerate(styles(set(names)).items())
    }


def readable(colour: Colour, background: str) -> str:
    """The colour, made darker or lighter until it stands out from the background, as #rrggbb."""
    away = -0.01 if luminance(_parsed(background)) > 0.5 else 0.01
    hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
    while contrast(colour, _parsed(background)) < CONTRAST and 0 < lightness < 1:
        lightness = min(1.0, max(0.0, lightness + away))
        colour = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in colour)


def contrast(one: Colour, other: Colour) -> float:
    """1 to 21, as WCAG defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: Colour) -> float:
    """Relative luminance of an sRGB colour, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parsed(text: str) -> Colour:
    red, green, blue = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
