"""Every kind of image file, against pixels worked out by hand."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from bench.data.decode import decode, size_of, suffixes

RNG = np.random.default_rng(0)


def packed(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(raw: bytes, image_size: int | None = None) -> np.ndarray:
    return decode(raw, image_size).pixels


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_rgb_comes_through_untouched():
    array = noise(5, 7)
    picture = decode(packed(Image.fromarray(array), "PNG"), None)
    assert np.array_equal(picture.pixels, array.transpose(2, 0, 1))
    assert not picture.grey
    assert not picture.upscaled


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.array([[0, 80], [160, 255]], np.uint8)),
        Image.fromarray(np.array([[0, 80], [160, 255]], np.uint8)).convert("RGB"),
        Image.fromarray(np.array([[0, 80], [160, 255]], np.uint8)).convert("P"),
        Image.merge("LA", [Image.fromarray(np.array([[0, 80], [160, 255]], np.uint8)), Image.new("L", (2, 2), 255)]),
    ],
    ids=lambda image: image.mode,
)
def test_grey_is_grey_however_it_is_stored(image):
    picture = decode(packed(image, "PNG"), None)
    assert picture.grey
    assert picture.pixels[0].tolist() == [[0, 80], [160, 255]]


def test_one_bit_images_are_black_and_white():
    image = Image.fromarray(np.array([[True, False]]))
    assert image.mode == "1"
    assert pixels(packed(image, "PNG"))[0].tolist() == [[255, 0]]


def test_transparency_lies_over_white():
    image = Image.new("RGBA", (3, 1))
    for x, colour in enumerate([(255, 0, 0, 255), (0, 0, 255, 0), (0, 0, 0, 51)]):
        image.putpixel((x, 0), colour)
    # opaque red; nothing, so white; a fifth of black over white
    assert pixels(packed(image, "PNG"))[:, 0].T.tolist() == [[255, 0, 0], [255, 255, 255], [204, 204, 204]]


def test_a_transparent_palette_colour_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels(packed(image, "PNG", transparency=1))
    assert found[:, 0].T.tolist() == [[10, 20, 30], [255, 255, 255]]


def test_grey_with_transparency_lies_over_white():
    image = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 51)])
    assert pixels(packed(image, "PNG")).flatten().tolist() == [204] * 3


LEVELS = np.array([[0, 128, 129, 257 * 100, 65535 - 129, 65535]], np.uint16)
EIGHT_BIT = [[0, 0, 1, 100, 254, 255]]  # nearest of 0, 257, 514, ... 65535


@pytest.mark.parametrize(
    "raw",
    [
        packed(Image.fromarray(LEVELS), "PNG"),
        packed(Image.fromarray(LEVELS), "TIFF"),
        packed(Image.fromarray(LEVELS.astype(">u2")), "TIFF"),
        b"P5 6 1 65535\n" + LEVELS.astype(">u2").tobytes(),
    ],
    ids=["png", "tiff", "big-endian tiff", "pgm"],
)
def test_sixteen_bits_are_scaled_and_not_clipped(raw):
    picture = decode(raw, None)
    assert picture.pixels[0].tolist() == EIGHT_BIT
    assert picture.grey


def test_sixteen_bit_colour_is_scaled():
    colours = np.array([[[0, 257 * 100, 65535]]], np.uint16)
    assert pixels(b"P6 1 1 65535\n" + colours.astype(">u2").tobytes()).flatten().tolist() == [0, 100, 255]


def test_cmyk_becomes_rgb():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = pixels(packed(red, "JPEG", quality=100)).mean(axis=(1, 2))
    np.testing.assert_allclose(found, [255, 0, 0], atol=4)


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_a_camera_held_sideways_is_turned_upright(orientation, turned):
    array = noise(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = packed(Image.fromarray(array), "PNG", exif=exif)
    upright = np.rot90(array, turned)
    assert np.array_equal(pixels(raw), upright.transpose(2, 0, 1))
    assert size_of(raw) == (upright.shape[1], upright.shape[0])


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    raw = packed(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(raw)[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("array", "said"), [(np.ones((2, 2), np.float32), "floating-point"), (np.ones((2, 2), np.int32), "32-bit integer")]
)
def test_numbers_without_an_agreed_white_are_refused(array, said):
    with pytest.raises(ValueError, match=said):
        decode(packed(Image.fromarray(array), "TIFF"), None)


def test_files_that_are_no_pictures_are_not_taken_for_images():
    assert {".jpg", ".jpeg", ".png", ".tif", ".webp", ".gif", ".bmp", ".pgm"} <= suffixes()
    assert not {".pdf", ".h5", ".mpg", ".eps", ".ps", ".txt", ".npy", ""} & suffixes()


def test_an_image_of_the_right_size_is_not_resampled():
    array = noise(8, 8)
    assert np.array_equal(pixels(packed(Image.fromarray(array), "PNG"), 8), array.transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(8, 9), (8, 12), (11, 8), (8, 15)])
def test_an_image_of_the_right_height_or_width_is_only_cut(height, width):
    array = noise(height, width)
    top, left = (height - 8) // 2, (width - 8) // 2
    expected = array[top : top + 8, left : left + 8].transpose(2, 0, 1)
    assert np.array_equal(pixels(packed(Image.fromarray(array), "PNG"), 8), expected)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (90, 60), (17, 51), (4, 8)])
def test_resizing_is_that_of_resize_then_centre_crop(height, width):
    image = Image.fromarray(noise(height, width))
    scale = 16 / min(image.size)
    whole = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (whole.width - 16) // 2, (whole.height - 16) // 2
    expected = np.asarray(whole.crop((left, top, left + 16, top + 16))).transpose(2, 0, 1).astype(int)
    found = pixels(packed(image, "PNG"), 16).astype(int)
    assert found.shape == (3, 16, 16)
    assert abs(found - expected).max() <= 1


def test_making_smaller_averages_instead_of_picking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert abs(pixels(packed(Image.fromarray(stripes), "PNG"), 8)[:, 1:-1, 1:-1].astype(int) - 127.5).max() < 10


def test_making_larger_is_noted():
    assert decode(packed(Image.fromarray(noise(4, 8)), "PNG"), 5).upscaled
    assert not decode(packed(Image.fromarray(noise(5, 8)), "PNG"), 5).upscaled


def test_a_very_thin_image_does_not_fill_memory():
    picture = decode(packed(Image.new("L", (20_000, 1), 9), "PNG"), 256)
    assert picture.pixels.shape == (3, 256, 256)
    assert (picture.pixels == 9).all()
