"""Reconstructions at the width of two columns."""

import numpy as np
from matplotlib.figure import Figure

from bench.figures.paper import _captions
from bench.figures.paper._page import DPI, TALLEST, TICK_SIZE, TWO_COLUMNS, Drawn
from bench.figures.paper._sheet import Sheet
from bench.pages._samples import Strip, collect

LARGEST, SMALLEST = 0.42, 0.26
"""Inches of height per image; smaller where more rows must fit."""
TALL = 6.0
"""Inches that the rows fill before the images become smaller."""
GAP = 0.05
"""Inches beside the names, and at the edges."""


def reconstructions(sheet: Sheet) -> Drawn | None:
    """The first test images, and below them those of each method, best first. Pixels are enlarged, never smoothed."""
    place = {(method.name, method.posterior): index for index, method in enumerate(sheet.setting.methods)}
    order = [place[name, p] for name in sheet.names for p in sheet.posteriors if (name, p) in place]
    originals, found, different = collect(sheet.setting, order, sheet.runs_folder)
    if originals is None:
        return None
    shown = found[: int(TALLEST / SMALLEST) - 1]
    methods = [sheet.setting.methods[index] for index, _, _ in shown]
    several = len({method.posterior for method in methods}) > 1
    labels = ["original", *(sheet.labels[m.name] + (f", {m.posterior}" if several else "") for m in methods)]
    figure = Figure(figsize=(TWO_COLUMNS, TALLEST))
    count, height, width, _ = originals.shape
    cell = min(LARGEST, max(SMALLEST, TALL / len(labels)))
    room = TWO_COLUMNS - _widest(figure, labels) - 3 * GAP
    # the width says how many images there are, or if they are too wide for it, how large they can be
    count = max(1, min(count, int(room / (cell * width / height))))
    cell = min(cell, room / (count * width / height))
    across = count * cell * width / height
    enlarged = height < cell * DPI
    figure.set_figheight(cell * len(labels))
    ax = figure.add_axes((1 - (across + GAP) / TWO_COLUMNS, 0, across / TWO_COLUMNS, 1))
    ax.imshow(
        _mosaic([strip[:count] for strip in (originals, *(strip for _, _, strip in shown))]),
        interpolation="nearest" if enlarged else "antialiased",
        extent=(0, 1, len(labels), 0),
        aspect="auto",
    )
    ax.set_yticks(np.arange(len(labels)) + 0.5, labels)
    ax.set_xticks([])
    ax.tick_params(length=0, pad=72 * GAP)
    ax.spines[:].set_visible(False)
    seeds, left_out = [run.seed for _, run, _ in shown], len(found) - len(shown)
    return Drawn(figure, _captions.pictures(sheet, count, seeds, left_out, different, enlarged))


def _widest(figure: Figure, labels: list[str]) -> float:
    """Inches."""
    texts = [figure.text(0, 0, label, fontsize=TICK_SIZE) for label in labels]
    width = max(text.get_window_extent().width for text in texts) / figure.dpi
    for text in texts:
        text.remove()
    return width


def _mosaic(rows: list[Strip]) -> Strip:
    """The rows under each other, every image with a white border on its right and below."""
    gap = max(1, rows[0].shape[1] // 16)
    framed = np.pad(np.stack(rows), ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    r, n, h, w, _ = framed.shape
    return framed.swapaxes(1, 2).reshape(r * h, n * w, 3)
