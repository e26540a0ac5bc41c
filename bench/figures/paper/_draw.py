"""Every figure of every dataset and preset of a sweep, and the file of captions."""

import re
from collections.abc import Callable
from pathlib import Path

import matplotlib.style
import seaborn

from bench.figures.paper import _captions
from bench.figures.paper._curves import curves
from bench.figures.paper._dots import codebook, final
from bench.figures.paper._page import RC, Drawn, save
from bench.figures.paper._pictures import reconstructions
from bench.figures.paper._sheet import Sheet, unlike
from bench.figures.paper._tradeoffs import pareto, rate_distortion
from bench.machine.files import write_atomically
from bench.pages._sweep import read

FIGURES: dict[str, Callable[[Sheet], Drawn | None]] = {
    "final": final,
    "curves": curves,
    "rate_distortion": rate_distortion,
    "pareto": pareto,
    "codebook": codebook,
    "reconstructions": reconstructions,
}


def draw_all(sweep: Path, out: Path) -> list[Path]:
    sheets = [Sheet(setting, sweep / "runs") for setting in read(sweep).settings]
    sheets = [sheet for sheet in sheets if sheet.metric]
    if not sheets:
        return []
    out.mkdir(parents=True, exist_ok=True)
    paths, captions = [], []
    # the defaults first, so that a user's own matplotlibrc changes nothing
    with matplotlib.style.context(["default", dict(seaborn.axes_style("ticks")), RC]):
        for sheet, suffix in zip(sheets, _suffixes(sheets), strict=True):
            for name, build in FIGURES.items():
                if drawn := build(sheet):
                    paths += save(drawn.figure, out, name + suffix)
                    captions.append(_captions.entry(name + suffix, drawn.figure, drawn.caption))
    path = out / "captions.txt"
    write_atomically(path, _captions.document(captions).encode(), durable=False)
    return [*paths, path]


def _suffixes(sheets: list[Sheet]) -> list[str]:
    """For file names: dataset and preset, if there are several; all different."""
    if len(sheets) == 1:
        return [""]
    places = (f"{sheet.setting.dataset}-{sheet.setting.preset}" for sheet in sheets)
    return unlike("_" + re.sub(r"[^\w.-]+", "-", place)[-100:] for place in places)
