"""Reconstructions and error maps for the page, cut from the `samples.png` of the runs."""

import base64
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from bench.records import Comparison
from bench.records.methods import Run
from bench.records.pictures import Strip, collect

BYTES = 8_000_000
"""Of all pictures of the page together, as they are embedded."""
LOSSLESS_SIDE = 64
"""Pixels. Images with a longer side are compressed with losses, and their error maps still come from all pixels."""
LARGEST_SIDE = 256
FEWER = (8, 6, 4, 2, 1)
"""Images shown where not all fit."""
METHODS = 150
COLOURS = 64
"""Levels of an error map."""
_TOP_PERCENTILE = 99.5


@dataclass(frozen=True)
class Panel:
    """One method's row: all its images in one strip each."""

    method: int
    run: Run
    reconstruction: str
    """data: URI."""
    error: str
    """data: URI."""
    psnr: list[float]
    """dB, one per image."""


@dataclass(frozen=True)
class Gallery:
    originals: str
    """data: URI of a strip."""
    thumbnails: list[str]
    """data: URI per image."""
    shape: tuple[int, int]
    """Height and width of one image as it was measured, in pixels."""
    panels: list[Panel]
    top: int
    """Grey levels of error at the end of the colour scale."""
    left_out: list[str]
    """What is not shown, in sentences."""

    @property
    def count(self) -> int:
        return len(self.thumbnails)

    @property
    def scale(self) -> str:
        """Colours of the error maps, for CSS."""
        return ",".join(f"rgb({r} {g} {b})" for r, g, b in palette()[::9])


def gallery(comparison: Comparison, order: Sequence[int], runs: Path, budget: int = BYTES) -> Gallery | None:
    """One run per method, the lowest seed that finished with readable pictures of the same originals, in `order`.

    Pictures are fewer where they would not fit into `budget` bytes. None where no run left any.
    """
    originals, found, different = collect(comparison, order, runs)
    if originals is None:
        return None
    left_out = []
    if different:
        names = ", ".join(different)
        left_out.append(f"Not shown because their originals differ (another likelihood or split): {names}.")
    if len(found) > METHODS:
        left_out.append(f"Shown are {METHODS} of {len(found)} methods, in the order of the verdict.")
        found = found[:METHODS]
    errors = [np.abs(strip.astype(int) - originals).mean(-1) for _, _, strip in found]
    top = max(1, round(float(np.percentile(np.stack(errors), _TOP_PERCENTILE))))
    panels: list[Panel] = []
    for count in (len(originals), *(fewer for fewer in FEWER if fewer < len(originals))):
        panels = [
            _panel(method, run, originals[:count], strip[:count], error[:count], top)
            for (method, run, strip), error in zip(found, errors, strict=True)
        ]
        if sum(len(panel.reconstruction) + len(panel.error) for panel in panels) <= budget:
            break
    shown = originals[: len(panels[0].psnr)]
    if len(shown) < len(originals):
        left_out.append(f"Shown are {len(shown)} of {len(originals)} images, to keep the page small.")
    if max(originals.shape[1:3]) > LOSSLESS_SIDE:
        left_out.append("Pictures are compressed for this page; error maps and PSNR are of the exact pixels.")
    return Gallery(_picture(shown), [_picture(one[None]) for one in shown], shown.shape[1:3], panels, top, left_out)


def _panel(method: int, run: Run, originals: Strip, strip: Strip, error: Float[np.ndarray, "n h w"], top: int) -> Panel:
    # only pictures need torch
    import torch

    from bench.metrics.images import psnr

    x, y = (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2) for images in (originals, strip))
    return Panel(method, run, _picture(strip), _error_map(error, top), [round(v, 2) for v in psnr(x, y).tolist()])


def _picture(images: Strip) -> str:
    return _encoded(Image.fromarray(np.hstack(list(images))), len(images), quality=88)


def _error_map(error: Float[np.ndarray, "n h w"], top: int) -> str:
    """In matplotlib's inferno, which is even to the eye and readable without colour."""
    levels = np.clip(np.rint(error * ((COLOURS - 1) / top)), 0, COLOURS - 1).astype(np.uint8)
    picture = Image.fromarray(np.hstack(list(levels))).convert("P")
    picture.putpalette(palette().tobytes())
    return _encoded(picture, len(error), quality=80)


@functools.cache
def palette() -> UInt8[np.ndarray, "colours 3"]:
    """No error first."""
    from matplotlib import colormaps

    return (255 * colormaps["inferno"](np.linspace(0, 1, COLOURS))[:, :3]).round().astype(np.uint8)


def _encoded(strip: Image.Image, count: int, quality: int) -> str:
    """data: URI of so many images side by side: lossless where pixels are seen one by one."""
    width, height = strip.width // count, strip.height
    lossless = max(width, height) <= LOSSLESS_SIDE
    if not lossless:
        scale = min(1.0, LARGEST_SIDE / max(width, height))
        size = (count * max(1, round(width * scale)), max(1, round(height * scale)))
        strip = strip.convert("RGB").resize(size, Image.Resampling.BOX)
    buffer, kind = io.BytesIO(), "png" if lossless else "webp"
    strip.save(buffer, kind, **({"optimize": True} if lossless else {"quality": quality}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
