"""Puts a page together: articles of sections, filled into one HTML file that loads nothing."""

import base64
import colorsys
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.figures.styles import Colour, Style, rgb, styles
from bench.tables.model import MARKS, MEANINGS
from bench.text import counted, typeset

LIGHT, DARK = "#ffffff", "#15181d"
"""Backgrounds of charts and tables; `page.css` has the same."""
CONTRAST = 3.0
"""Of lines and markers against their background (WCAG 2.2, success criterion 1.4.11)."""
MARKERS = {
    "o": "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "s": "M-.85,-.85H.85V.85H-.85Z",
    "^": "M0,-1L.95,.8H-.95Z",
    "D": "M0,-1.15L1.15,0L0,1.15L-1.15,0Z",
    "v": "M0,1L.95,-.8H-.95Z",
    "P": "M-.35,-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "X": "M-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0L-1,-.5Z",
    "*": "M0,-1.3L.29,-.4L1.24,-.4L.48,.15L.77,1.05L0,.5L-.77,1.05L-.48,.15L-1.24,-.4L-.29,-.4Z",
    "<": "M-1,0L.8,-.95V.95Z",
    "d": "M0,-1.2L.65,0L0,1.2L-.65,0Z",
    "p": "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
    ">": "M1,0L-.8,-.95V.95Z",
}
"""SVG paths of about one unit around 0 for matplotlib's markers, so that an estimator looks as in the figures."""


@dataclass(frozen=True)
class Look:
    """Of one estimator, for light and dark, after the figures' colours."""

    place: int
    """Names its colour: the CSS variable --m<place>."""
    style: Style
    light: str
    dark: str


@dataclass(frozen=True)
class Section:
    name: str
    """Its id within the article."""
    link: str
    """In the list of sections."""
    content: Any
    heading: str = ""
    """If it is not that of the link."""
    kind: str = ""
    """The macro of `sections.html.j2` that shows the content, if it is not called as the section is."""


@dataclass(frozen=True)
class Article:
    """A comparison, an ablation, or a gradient lab."""

    title: str
    about: str
    facts: Sequence[str]
    """Short ones, for under the title."""
    sections: Sequence[Section]
    data: Any = None
    """Of its charts, as `page.js` reads it; None without charts."""


def render(folder: Path, articles: Sequence[Article], how: Any, colours: Iterable[Look]) -> str:
    """The HTML of the page of `folder`. `how` is what `_terms.how` gives, `colours` are those that the articles use."""
    scripts = [(resources.files("bench.pages") / "page.js").read_text()]
    if charts := any(article.data for article in articles):
        scripts.insert(0, _vega())
    content = {
        "title": folder.resolve().name,
        "folder": folder,
        "articles": articles,
        "how": how,
        "colours": list(colours),
        "charts": charts,
        "scripts": [Markup(script) for script in scripts],
        "policy": _policy(scripts),
        "data": _embedded([article.data for article in articles]),
    }
    return _TEMPLATES.get_template("page.html.j2").render(content)


def _soft(name: str) -> Markup:
    """A name of code that may break where its parts end."""
    return Markup("<wbr>").join(re.split(r"(?<=[:,=/_])(?=[^:,=/_ ])", name))


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("bench.pages", "."),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Whatever is filled in is escaped, and must be there."""
_TEMPLATES.filters |= {"number": typeset, "soft": _soft, "counted": counted}
_TEMPLATES.globals |= {"MARKERS": MARKERS, "MARKS": MARKS, "MEANINGS": MEANINGS}


def _embedded(content: Any) -> Markup:
    """JSON that cannot close the script element it is in."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _policy(scripts: Sequence[str]) -> str:
    """Nothing may be loaded or sent, and no script runs but these."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    allowed = {
        "default-src": "'none'",
        "script-src": hashes,
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed, minified; their licence is named at the foot of the page."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look per name, in reading order."""
    return {
        name: Look(place, style, readable(style.colour, LIGHT), readable(style.colour, DARK))
        for place, (name, style) in enumerate(styles(names).items())
    }


def readable(colour: Colour, background: str) -> str:
    """The colour, made darker or lighter until it stands out from the background, as #rrggbb."""
    away = -0.01 if luminance(rgb(background)) > 0.5 else 0.01
    hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
    while contrast(colour, rgb(background)) < CONTRAST and 0 < lightness < 1:
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
