"""`folder:PATH`: your own images, a directory or a .zip, with train/ and test/ in it, perhaps val/ too, or with none of
these. Every file is decoded once, to keep the pixels or to know what to leave out."""

import hashlib
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import UnidentifiedImageError

from bench.data.decode import Picture, decode, size_of, suffixes
from bench.data.files import Files, open_files
from bench.data.images import (
    CPU,
    CUT,
    FLAT,
    Dataset,
    Images,
    Resident,
    Streamed,
    cut,
    describe,
    map_ahead,
    mark,
    repeated,
)
from bench.machine.devices import free_memory
from bench.machine.progress import progress_bar
from bench.seeds import mixed

LABELS = ("train", "validation", "test")
_TOLERATED = 0.01  # share of a split that may be unreadable
_NAMED = 10  # unreadable files named in a message
_TRAIN = ("train",)
_TEST = ("test",)
_SPLIT_LIKE = ("train", "test", "val", "dev", "eval", "held", "hold")
_VALIDATION = ("val", "valid", "validation")
_BATCH = 32  # images looked at together, read two batches ahead: few, for they may be large
_SAMPLE = 2000  # images whose size is read for a message


@dataclass
class Split:
    """The image files below `folder` (its name ends in `/`): all, those that decode, and why the others do not."""

    label: str
    folder: str
    names: list[str]
    readable: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    pixels: UInt8[np.ndarray, "n 3 h w"] | None = None
    """Of those that decode, in front; None if they are not kept."""
    marks: list[bytes] = field(default_factory=list)
    """Of those that decode: the same for the same pixels."""


def load_folder(path: str, *, image_size: int | None, progress: bool) -> Dataset:
    """The images below `path`, every one decoded once to find those that cannot be.

    Raises ValueError on anything that is not splits of readable images of one size; warns of the unreadable ones if
    they are few enough to leave out.
    """
    root = _absolute(path)
    where, files = repr(str(root)), open_files(root)
    folders = _find_splits(files, where)
    given = [
        _split(files, label, folder, where) for label, folder in zip(LABELS, folders, strict=True) if folder is not None
    ]
    survey = Survey(files, given, image_size)
    with progress_bar("looking at images", sum(len(s.names) for s in given), wanted=progress) as advance:
        for split in given:
            survey.look(split, advance)
            _judge(split, where)
    train, *others = given
    test = others.pop() if others else None
    is_flat = test is None
    if test is None:
        train, test = _cut(train, "test", where)
    train, validation = (train, *others) if others else _cut(train, "validation", where)
    splits = train, validation, test
    return describe(
        f"folder:{root.stem if root.suffix.lower() == '.zip' and root.is_file() else root.name}",
        list(map(survey.images, splits)),
        survey.fingerprint,
        source="folder",
        path=str(root),
        split=FLAT if is_flat else f"{train.folder} to learn from, {test.folder} held out in a fixed mixed order",
        validation_split=CUT if validation.folder == train.folder else f"{validation.folder} in a fixed mixed order",
        **repeated(*(split.marks for split in splits)),
        image_size=image_size,
        resize="shorter side to image_size, bicubic, antialiased; centre square" if image_size else "none",
        smaller_than_image_size=survey.upscaled,
        unreadable={s.label: {"count": len(s.unreadable), "first": list(s.unreadable)[:_NAMED]} for s in given},
        not_images={s.label: _other_files(files, s.folder) for s in given},
    )


def _absolute(path: str) -> Path:
    try:
        root = Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path!r} begins with the home of somebody not known here; give the whole path") from None
    # A link keeps its name, which is the dataset's; `..` has no name to keep.
    return root.resolve() if ".." in root.parts else root.absolute()


def _find_splits(files: Files, where: str) -> tuple[str, str | None, str | None]:
    """Names, ending in `/`, of the folders for training, validation and test, at the top or below one wrapping folder.
    Where there is one held-out folder, it is for the test; where there are images and none of the three, all of them
    are for training so far.

    `where` names the whole in messages. Raises ValueError if one is missing or cannot be told.
    """
    inside = ""
    names = files.folders(inside)
    if len(names) == 1 and names[0].lower() not in _TRAIN + _TEST + _VALIDATION:
        inside = f"{names[0]}/"
        names = files.folders(inside)
    train, validation, test = (_first(names, wanted, where) for wanted in (_TRAIN, _VALIDATION, _TEST))
    if train and test and validation:
        return f"{inside}{train}/", f"{inside}{validation}/", f"{inside}{test}/"
    if train and (held_out := test or validation):
        return f"{inside}{train}/", None, f"{inside}{held_out}/"
    # whoever calls a folder testing/ has a split in mind
    meant = [name for name in names if name.lower().startswith(_SPLIT_LIKE)]
    if not meant and any(map(_is_image, files.files(inside))):
        return inside, None, None

    found = ", ".join(repr(name + "/") for name in names[:8]) or "no folder"
    missing = "test/ (or val/)" if train else "train/" if test or validation else "train/ and test/"
    raise ValueError(
        f"{where} has no {missing}; found {found}{' ...' if names[8:] else ''}: put the images to learn from into "
        "train/ and the held-out ones into test/, or all of them into the folder itself"
    )


def _first(names: list[str], wanted: tuple[str, ...], where: str) -> str | None:
    for alias in wanted:
        match [name for name in names if name.lower() == alias]:
            case [name]:
                return name
            case [one, other, *_]:
                raise ValueError(f"{where} has both {one}/ and {other}/: rename or merge them")
    return None


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in suffixes()


def _other_files(files: Files, folder: str) -> dict[str, int]:
    """How many files there are of each kind that is no image, most common first."""
    others = Counter(PurePosixPath(name).suffix for name in files.files(folder) if not _is_image(name))
    return dict(others.most_common(_NAMED))


def _split(files: Files, label: str, folder: str, where: str) -> Split:
    names = [name for name in files.files(folder) if _is_image(name)]
    if not names:
        others = _other_files(files, folder)
        found = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in others.items()) or "nothing"
        raise ValueError(
            f"no images in {folder} of {where}, found {found}: put .png, .jpg, .webp, .tif or anything else "
            "Pillow reads there"
        )
    if label != "train":
        # Folders are often sorted by class, and whoever measures on part of the split takes the first images.
        names = [names[i] for i in mixed(len(names))]
    return Split(label, folder, names)


def _cut(split: Split, label: str, where: str) -> tuple[Split, Split]:
    """What was read of one folder, in two: to learn from, and to hold out under this label."""
    try:
        parts = cut(len(split.readable))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    learned, held_out = (
        Split(
            label,
            split.folder,
            split.names,
            [split.readable[i] for i in part],
            pixels=None if split.pixels is None else split.pixels[part],
            marks=[split.marks[i] for i in part],
        )
        for label, part in zip((split.label, label), parts, strict=True)
    )
    return learned, held_out


def _judge(split: Split, where: str) -> None:
    bad, total = len(split.unreadable), len(split.names)
    if not bad:
        return
    named = ", ".join(f"{name!r} ({reason})" for name, reason in list(split.unreadable.items())[:_NAMED])
    more = f" and {bad - _NAMED} more" if bad > _NAMED else ""
    if bad > _TOLERATED * total:
        raise ValueError(
            f"{bad} of {total} images in {split.folder} of {where} cannot be read, at most {_TOLERATED:.0%} may "
            f"be: {named}{more}: replace or remove them"
        )
    warnings.warn(f"left out {bad} of {total} images in {split.folder} of {where}: {named}{more}", stacklevel=3)


class Survey:
    """Looks at one split after the other; keeps the pixels if all of them take at most a third of the free memory, for
    they are copied once when validation is cut from train.

    `channels` is 1 if every image so far is grey, else 3; `upscaled` counts images smaller than `image_size`.
    """

    def __init__(self, files: Files, splits: Sequence[Split], image_size: int | None) -> None:
        self.channels = 1
        self.upscaled = 0
        self._files = files
        self._names = [name for split in splits for name in split.names]
        self._image_size = image_size
        self._digest = hashlib.sha256(f"image_size={image_size}\n".encode())
        self._first: str | None = None
        self._shape = (3, 0, 0)
        self._fits = False

    @property
    def fingerprint(self) -> str:
        """Of names and file contents, so that a directory and a .zip of it have the same."""
        return self._digest.hexdigest()[:16]

    def look(self, split: Split, advance: Callable[[int], None]) -> None:
        """Fills in what the split lacks. Raises ValueError if images differ in size and there is no `image_size` to
        bring them to."""
        batches = [split.names[i : i + _BATCH] for i in range(0, len(split.names), _BATCH)]
        look = partial(_look, self._files, self._image_size)
        for batch, looks in zip(batches, map_ahead(look, batches), strict=True):
            for name, (checksum, picture) in zip(batch, looks, strict=True):
                line = f"{split.label}/{name.removeprefix(split.folder)} {checksum:08x}\n"
                self._digest.update(line.encode(errors="surrogateescape"))
                if isinstance(picture, str):
                    split.unreadable[name] = picture
                else:
                    self._keep(split, name, picture)
            advance(len(batch))

    def _keep(self, split: Split, name: str, picture: Picture) -> None:
        if self._first is None:
            self._first, self._shape = name, picture.pixels.shape
            self._fits = len(self._names) * picture.pixels.size <= free_memory(CPU) // 3
        if picture.pixels.shape != self._shape:
            raise ValueError(self._sizes(self._first, name))
        if self._fits and split.pixels is None:
            split.pixels = np.empty((len(split.names), *self._shape), np.uint8)
        if split.pixels is not None:
            split.pixels[len(split.readable)] = picture.pixels
        split.readable.append(name)
        split.marks.append(mark(picture.pixels))
        self.upscaled += picture.upscaled
        if not picture.grey:
            self.channels = 3

    def images(self, split: Split) -> Images:
        """The readable images of a split that has been looked at."""
        if split.pixels is None:
            _, h, w = self._shape
            read = partial(_read_again, self._files, self._image_size, self.channels)
            return Streamed((self.channels, h, w), split.readable, read)
        pixels = split.pixels[: len(split.readable), : self.channels]
        return Resident(torch.from_numpy(np.ascontiguousarray(pixels)))

    def _sizes(self, *known: str) -> str:
        sample = {*self._names[:: -(-len(self._names) // _SAMPLE)], *known}
        counts: Counter[tuple[int, int]] = Counter()
        for name in sample:
            try:
                counts[size_of(self._files.read(name))] += 1
            except Exception:  # unreadable files have no size
                continue
        sizes = [f"{w}x{h} ({n})" for (w, h), n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        shorter = min(min(size) for size in counts)
        return (
            f"images of {len(sizes)} sizes among {len(sample)} looked at: {', '.join(sizes[:6])}"
            f"{' ...' if sizes[6:] else ''}: give --image-size N to resize and crop them to squares of N pixels "
            f"(the shortest side is {shorter})"
        )


def _look(files: Files, image_size: int | None, name: str) -> tuple[int, Picture | str]:
    """Checksum of the file, and the image or the reason that there is none."""
    checksum = 0
    try:
        raw = files.read(name)
        checksum = zlib.crc32(raw)
        return checksum, decode(raw, image_size)
    except Exception as error:  # damaged files make Pillow raise nearly anything
        return checksum, _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"  # Pillow's own words hold an address in memory
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _read_again(files: Files, image_size: int | None, channels: int, name: str) -> UInt8[np.ndarray, "c h w"]:
    _, picture = _look(files, image_size, name)
    if isinstance(picture, str):
        raise ValueError(f"{name!r} was an image when the run began and is none now ({picture}); was it changed?")
    return picture.pixels[:channels]
