"""One image file of any kind Pillow reads, as upright 8-bit RGB."""

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

# Registered with Pillow, yet not pictures it can decode by itself; EPS would run Ghostscript on the file.
_NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_SIXTEEN_BIT_IN_I = {"PNG", "PPM"}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Picture:
    """A decoded image; `grey` if its three channels are equal, `upscaled` if it was smaller than asked for."""

    pixels: UInt8[np.ndarray, "3 h w"]
    grey: bool
    upscaled: bool


@cache
def suffixes() -> frozenset[str]:
    """Lower-case file name endings, with the dot, of what Pillow can decode."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN and kind not in _NOT_PICTURES)


def decode(raw: bytes, image_size: int | None) -> Picture:
    """The image in `raw`: its first frame, turned upright, over white where transparent, scaled to 8 bits.

    With `image_size`, the shorter side is resized to it (bicubic, antialiased) and the centre square is cut out.
    Raises whatever Pillow raises on a file it cannot decode, and ValueError where no rule gives 8 bits.
    """
    with Image.open(io.BytesIO(raw), formats=_formats()) as image:
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _rgb(image)
    upscaled = image_size is not None and min(rgb.size) < image_size
    if image_size is not None:
        rgb = _centre_square(rgb, image_size)
    pixels = np.asarray(rgb).transpose(2, 0, 1)
    return Picture(pixels, bool((pixels == pixels[:1]).all()), upscaled)


def size_of(raw: bytes) -> tuple[int, int]:
    """Width and height in pixels, upright, from the header alone."""
    with Image.open(io.BytesIO(raw), formats=_formats()) as image:
        sideways = image.getexif().get(_ORIENTATION, 1) >= 5
        return (image.height, image.width) if sideways else image.size


@cache
def _formats() -> list[str]:
    Image.preinit()  # registers the common formats, which are then tried first
    Image.init()
    return [kind for kind in Image.ID if kind not in _NOT_PICTURES]


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and image.format not in _SIXTEEN_BIT_IN_I):
        kind = "floating-point" if image.mode == "F" else "32-bit integer"
        raise ValueError(f"{kind} pixels, of which nobody says what is white")
    if image.mode.startswith("I"):
        # Pillow would clip at 255 here; 65535 / 255 = 257 exactly.
        image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _centre_square(image: Image.Image, side: int) -> Image.Image:
    """Resizes the shorter side to `side` and cuts the centre out, computing only the pixels that are kept."""
    short = min(image.size)
    # Whole pixels of the resized image, so that an image of the right size is cut and never resampled.
    margins = [(max(side, round(length * side / short)) - side) // 2 for length in image.size]
    left, top = (margin * short / side for margin in margins)
    box = (left, top, left + short, top + short)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)
