"""Figures of a sweep, drawn from the tidy table alone (and `samples.png` for the reconstructions)."""

import re
from functools import partial
from pathlib import Path

import pandas as pd

_NAMES = ("run", "estimator", "posterior", "dataset", "preset", "split", "readout", "metric")


def plot_all(frame: pd.DataFrame, runs: Path, out: Path) -> list[Path]:
    """Draw what the table has data for into `out`, as PNG at 200 dpi, and return the paths.

    `final` metrics per estimator, learning `curves_steps` and `curves_seconds`, `codebook` use and
    `reconstructions`; a table of several datasets or presets gives a set of each, with their names. `runs` is
    the folder that holds a folder per run. Raises OSError if `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    # Categories would make every grouping a product of all of them.
    frame = frame.astype(dict.fromkeys(_NAMES, str))
    settings = list(frame.groupby(frame["dataset"] + "-" + frame["preset"]))
    paths = []
    for setting, rows in settings:
        suffix = "_" + _slug(setting) if len(settings) > 1 else ""
        paths += _draw(rows, runs, out, suffix)
    return paths


def _draw(frame: pd.DataFrame, runs: Path, out: Path, suffix: str) -> list[Path]:
    import matplotlib.style

    from bench.figures import mosaic as _mosaic
    from bench.figures import screen as _figures
    from bench.figures.styles import RC
    from bench.figures.view import View

    view = View(frame)
    builders = {
        "final": _figures.final,
        "curves_steps": partial(_figures.curves, against="step"),
        "curves_seconds": partial(_figures.curves, against="seconds"),
        "codebook": _figures.codebook,
        "reconstructions": partial(_mosaic.reconstructions, runs=runs),
    }
    paths = []
    # The defaults first, so that a user's own matplotlibrc changes nothing.
    with matplotlib.style.context(["default", RC]):
        for name, build in builders.items():
            if figure := build(view):
                paths.append(out / f"{name}{suffix}.png")
                figure.savefig(paths[-1], dpi=200, bbox_inches="tight")
    return paths


def _slug(text: object) -> str:
    return re.sub(r"[^\w.-]+", "-", str(text))[-100:]
