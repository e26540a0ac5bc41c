"""The pictures that runs leave, `samples.png`: originals above their reconstructions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bench.records.methods import Run
from bench.records.sweep import Comparison

Strip = UInt8[np.ndarray, "n h w 3"]
"""Images side by side."""
Pair = tuple[Strip, Strip]
"""Originals and their reconstructions."""


def collect(
    comparison: Comparison, order: Sequence[int], runs: Path
) -> tuple[Strip | None, list[tuple[int, Run, Strip]], list[str]]:
    """The originals, and of each method in `order` its reconstructions of them, by the run of the lowest seed that is
    done and left a readable picture. `runs` holds the folders of runs.

    Last, what the methods are called that were shown other originals (another likelihood or split): they are left out.
    """
    originals: Strip | None = None
    found: list[tuple[int, Run, Strip]] = []
    different: list[str] = []
    for method in order:
        finished = (run for run in comparison.runs[method] if run.state == "done")
        read = ((run, read_pair(runs / run.name / "samples.png", run)) for run in finished)
        run, pair = next(((run, pair) for run, pair in read if pair), (None, None))
        if run is None or pair is None:
            continue
        originals = pair[0] if originals is None else originals
        if np.array_equal(pair[0], originals):
            found.append((method, run, pair[1]))
        else:
            different.append(comparison.label(method))
    return originals, found, different


def read_pair(path: Path, run: Run) -> Pair | None:
    """The two rows of the picture, cut into images as wide as the recorded shape says, square where none was recorded.
    None without a readable one."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError):  # Pillow raises SyntaxError for a damaged PNG chunk
        return None
    height = pixels.shape[0] // 2
    width = _width(run) or height
    count = pixels.shape[1] // width if width else 0
    if not height or not count:
        return None
    rows = pixels[: 2 * height, : count * width].reshape(2, height, count, width, 3).swapaxes(1, 2)
    return rows[0], rows[1]


def _width(run: Run) -> int | None:
    match run.provenance.get("dataset"):
        case {"shape": [_, _, int(width)]} if width > 0:
            return width
    return None
