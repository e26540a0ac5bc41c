"""Real images that come with libraries the benchmark needs anyway: no network, the same everywhere."""

import itertools
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bench.data.images import Dataset, in_memory
from bench.seeds import mixed

Shares = tuple[tuple[float, float], ...]
_SIDE = 32
# Every photograph is cut into four bands of columns, so that train and test see its middle and its edge. A part is cut
# out before it is made smaller: resizing never mixes pixels of two splits.
_TRAIN_BANDS = ((0.0, 0.3), (0.5, 0.8))
_TEST_BANDS = ((0.3, 0.5), (0.8, 1.0))
# Of the training bands, rows of their own to validate on: crops cut at random from overlapping ones would share pixels.
_TRAIN_ROWS, _VALIDATION_ROWS, _ALL_ROWS = ((0.0, 0.4), (0.6, 1.0)), ((0.4, 0.6),), ((0.0, 1.0),)
_TRAIN_STRIDE, _VALIDATION_STRIDE, _TEST_STRIDE = 4, 8, 16
_SHRINK = 1.5  # at full size, 32 pixels hold little more than texture
_CONTRAST = 10.0  # grey levels; flatter crops are sky and shadow


def digits() -> Dataset:
    """Handwritten digits of scikit-learn, 1797 grey images of 8 x 8; every fifth is a test image."""
    from sklearn.datasets import load_digits

    rows, _ = load_digits(return_X_y=True)  # levels 0 to 16
    pixels = torch.from_numpy(np.rint(rows * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    held_out = torch.arange(len(pixels)) % 5 == 0
    return in_memory(
        "digits",
        pixels[~held_out],
        pixels[held_out],
        source="embedded",
        origin=f"scikit-learn {version('scikit-learn')}, load_digits; levels 0 to 16 scaled to 0 to 255",
        split="images 0, 5, 10, ... held out",
        resize="none",
    )


def photos() -> Dataset:
    """32 x 32 crops of seven photographs; crops of different splits share no pixel of any photograph."""
    photographs = _photographs()
    validation = _crops(photographs, _TRAIN_BANDS, _VALIDATION_ROWS, _VALIDATION_STRIDE)
    test = _crops(photographs, _TEST_BANDS, _ALL_ROWS, _TEST_STRIDE)
    return in_memory(
        "photos",
        _crops(photographs, _TRAIN_BANDS, _TRAIN_ROWS, _TRAIN_STRIDE),
        test[mixed(len(test))],
        validation[mixed(len(validation))],
        source="embedded",
        origin=f"scikit-image {version('scikit-image')} and scikit-learn {version('scikit-learn')}: "
        + ", ".join(photographs),
        split=f"bands of columns, as shares of the width: train {_TRAIN_BANDS}, test {_TEST_BANDS}",
        validation_split=f"of the training bands the rows, as shares of the height, {_VALIDATION_ROWS}",
        resize=f"each part {_SHRINK} times smaller (bicubic, antialiased), then crops every {_TRAIN_STRIDE} (train), "
        f"{_VALIDATION_STRIDE} (validation) or {_TEST_STRIDE} (test) pixels; crops with a standard deviation below "
        f"{_CONTRAST} grey levels left out",
    )


def _photographs() -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    from skimage import data
    from sklearn.datasets import load_sample_image

    left, _, _ = data.stereo_motorcycle()  # the right eye sees the left one's test pixels
    return {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
        "motorcycle (left)": left,
        "china": load_sample_image("china.jpg"),
        "flower": load_sample_image("flower.jpg"),
    }


def _crops(
    photographs: dict[str, UInt8[np.ndarray, "h w 3"]], bands: Shares, rows: Shares, stride: int
) -> UInt8[Tensor, "n 3 32 32"]:
    found = []
    for photograph, columns, lines in itertools.product(photographs.values(), bands, rows):
        part = _shrunk(photograph, columns, lines)
        windows = np.lib.stride_tricks.sliding_window_view(part, (_SIDE, _SIDE), axis=(0, 1))
        crops = windows[::stride, ::stride].reshape(-1, 3, _SIDE, _SIDE)
        found.append(crops[crops.std(axis=(2, 3)).max(axis=1) >= _CONTRAST])
    return torch.from_numpy(np.concatenate(found))


def _shrunk(
    photograph: UInt8[np.ndarray, "h w 3"], columns: tuple[float, float], rows: tuple[float, float]
) -> UInt8[np.ndarray, "i j 3"]:
    """The part between these shares of the width and of the height, made smaller."""
    height, width, _ = photograph.shape
    (left, right), (top, bottom) = (
        (round(share * width) for share in columns),
        (round(share * height) for share in rows),
    )
    image = Image.fromarray(photograph[top:bottom, left:right])
    size = (int(image.width / _SHRINK), int(image.height / _SHRINK))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
