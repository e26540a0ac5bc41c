"""Real images that come with libraries the benchmark needs anyway: no network, the same everywhere."""

from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bench.data.images import Dataset, in_memory
from bench.seeds import mixed

_SIDE = 32
# Every photograph is cut into four bands of columns, so that both splits see its middle and its edge. A band is cut
# out before it is made smaller: resizing never mixes pixels of the two splits.
_TRAIN_BANDS = ((0.0, 0.3), (0.5, 0.8))
_TEST_BANDS = ((0.3, 0.5), (0.8, 1.0))
_TRAIN_STRIDE, _TEST_STRIDE = 4, 16
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
    """32 x 32 crops of seven photographs; training and test crops share no pixel of any photograph."""
    photographs = _photographs()
    test = _crops(photographs, _TEST_BANDS, _TEST_STRIDE)
    return in_memory(
        "photos",
        _crops(photographs, _TRAIN_BANDS, _TRAIN_STRIDE),
        test[mixed(len(test))],
        source="embedded",
        origin=f"scikit-image {version('scikit-image')} and scikit-learn {version('scikit-learn')}: "
        + ", ".join(photographs),
        split=f"bands of columns, as shares of the width: train {_TRAIN_BANDS}, test {_TEST_BANDS}",
        resize=f"each band {_SHRINK} times smaller (bicubic, antialiased), then crops every {_TRAIN_STRIDE} (train) "
        f"or {_TEST_STRIDE} (test) pixels; crops with a standard deviation below {_CONTRAST} grey levels left out",
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
    photographs: dict[str, UInt8[np.ndarray, "h w 3"]], bands: tuple[tuple[float, float], ...], stride: int
) -> UInt8[Tensor, "n 3 32 32"]:
    found = []
    for photograph in photographs.values():
        for start, stop in bands:
            band = _shrunk(photograph, start, stop)
            windows = np.lib.stride_tricks.sliding_window_view(band, (_SIDE, _SIDE), axis=(0, 1))
            crops = windows[::stride, ::stride].reshape(-1, 3, _SIDE, _SIDE)
            found.append(crops[crops.std(axis=(2, 3)).max(axis=1) >= _CONTRAST])
    return torch.from_numpy(np.concatenate(found))


def _shrunk(photograph: UInt8[np.ndarray, "h w 3"], start: float, stop: float) -> UInt8[np.ndarray, "i j 3"]:
    """The columns from share `start` to share `stop` of the width, made smaller."""
    width = photograph.shape[1]
    image = Image.fromarray(photograph[:, round(start * width) : round(stop * width)])
    size = (int(image.width / _SHRINK), int(image.height / _SHRINK))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
