"""The figure of reconstructions, from the `samples.png` of the runs."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from bench.figures.styles import TALLEST
from bench.figures.view import View

Pictures = UInt8[np.ndarray, "n h w 3"]


def reconstructions(view: View, runs: Path, images: int = 10) -> Figure | None:
    """The first originals, then a row per estimator and posterior, pixels enlarged and never smoothed.

    A row is the lowest seed that did not diverge, has a readable `samples.png` and shows the same originals.
    """
    originals, found = None, {}
    for run in view.runs.itertuples():
        key = (run.estimator, run.posterior)
        if key in found or run.run in view.diverged:
            continue
        pair = _read(runs / str(run.run) / "samples.png", images)
        if pair is None:
            continue
        originals = pair[0] if originals is None else originals
        if np.array_equal(pair[0], originals):
            found[key] = pair[1]
    if originals is None:
        return None
    keys = [(name, posterior) for name in view.styles for posterior in view.posteriors if (name, posterior) in found]
    labels = ["original", *(f"{name}, {posterior}" for name, posterior in keys)]
    cell = min(0.5, TALLEST / len(labels))
    width, height = len(originals), len(labels)
    figure = Figure(figsize=(2.5 + cell * width, 0.4 + cell * height), layout="constrained")
    ax = figure.subplots()
    mosaic = _mosaic([originals, *(found[key] for key in keys)])
    ax.imshow(mosaic, interpolation="nearest", extent=(0, width, height, 0))
    ax.set_yticks(np.arange(height) + 0.5, labels)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.suptitle(f"Test images and their reconstructions: {view.setting}")
    return figure


def _read(path: Path, images: int) -> tuple[Pictures, Pictures] | None:
    """Originals and reconstructions, at most `images` of each; None without a readable picture."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError):  # Pillow raises SyntaxError for a damaged PNG chunk
        return None
    side = pixels.shape[0] // 2
    count = min(images, pixels.shape[1] // side)
    rows = pixels[: 2 * side, : count * side].reshape(2, side, count, side, 3).swapaxes(1, 2)
    return rows[0], rows[1]


def _mosaic(rows: list[Pictures]) -> UInt8[np.ndarray, "height width 3"]:
    """The rows under each other, every image with a white border on its right and below."""
    gap = max(1, rows[0].shape[1] // 16)
    framed = np.pad(np.stack(rows), ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    r, n, h, w, _ = framed.shape
    return framed.swapaxes(1, 2).reshape(r * h, n * w, 3)
