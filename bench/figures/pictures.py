"""Reconstructions: what the runs made of the first held-out images."""

import numpy as np
from matplotlib.figure import Figure

from bench.figures.sheet import Drawing, Sheet, sentences
from bench.records.pictures import Strip, collect
from bench.text import counted, seeds

LARGEST, SMALLEST = 0.42, 0.26
"""Inches of height per image; smaller where more rows must fit."""
TALL = 6.0
"""Inches that the rows fill before the images become smaller."""
GAP = 0.05
"""Inches beside the names, and at the edges."""


def reconstructions(sheet: Sheet) -> Drawing | None:
    """The first held-out images, and below them those of each method, best first. Pixels are enlarged, not smoothed."""
    originals, found, different = collect(sheet.comparison, sheet.methods, sheet.runs)
    if originals is None or sheet.comparison.metric is None:
        return None
    theme = sheet.theme
    shown = found[: int(theme.tallest / theme.scale / SMALLEST) - 1]
    methods = [sheet.comparison.methods[index] for index, _, _ in shown]
    several = len({method.posterior for method in methods}) > 1
    labels = ["original", *(sheet.labels[m.name] + (f", {m.posterior}" if several else "") for m in methods)]
    count, height, width, _ = originals.shape
    figure = Figure(figsize=(theme.wide, 1.0))
    room = theme.wide - _widest(figure, labels, theme.tick_size) - 3 * GAP
    cell = theme.scale * min(LARGEST, max(SMALLEST, TALL / len(labels)))
    # the width says how many images there are, or if they are too wide for it, how large they can be
    count = max(1, min(count, int(room / (cell * width / height))))
    cell = min(cell, room / (count * width / height))
    across = count * cell * width / height
    enlarged = height < cell * theme.dpi
    figure.set_figheight(cell * len(labels))
    # on a screen no page prescribes the width
    figure.set_figwidth(theme.wide - (room - across) * theme.stands_alone)
    ax = figure.add_axes((1 - (across + GAP) / figure.get_figwidth(), 0, across / figure.get_figwidth(), 1))
    mosaic = _mosaic([strip[:count] for strip in (originals, *(strip for _, _, strip in shown))])
    smoothing = "nearest" if enlarged else "antialiased"
    ax.imshow(mosaic, interpolation=smoothing, extent=(0, 1, len(labels), 0), aspect="auto")
    ax.set_yticks(np.arange(len(labels)) + 0.5, labels)
    ax.set_xticks([])
    ax.tick_params(length=0, pad=72 * GAP)
    ax.spines[:].set_visible(False)
    short = [f"{sheet.labels[m.name]} is {m.name}" for m in methods if "…" in sheet.labels[m.name]]
    caption = sentences(
        f"The first {counted(count, f'{sheet.comparison.split} image')} of {sheet.comparison.title}, and below "
        f"{'them' if count > 1 else 'it'} the reconstructions from one sampled code each, by the run of the lowest "
        f"seed that finished (seed {seeds(run.seed for _, run, _ in shown)}); not chosen otherwise.",
        f"In the order of {sheet.ranking}, best first.",
        sheet.not_shown(len(found) - len(shown)),
        f"Not shown, because their originals are others: {'; '.join(different)}." if different else "",
        "Pixels are enlarged, not smoothed." if enlarged else "Reduced in size.",
        f"Shortened names: {'; '.join(dict.fromkeys(short))}." if short else "",
    )
    return Drawing(figure, caption, sheet.about)


def _widest(figure: Figure, labels: list[str], size: float) -> float:
    """Inches."""
    texts = [figure.text(0, 0, label, fontsize=size) for label in labels]
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
