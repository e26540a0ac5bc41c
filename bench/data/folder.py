"""`folder:PATH`: your own images, a directory or a .zip with train/ and test/ in it."""

import warnings
from collections import Counter
from pathlib import Path, PurePosixPath

from bench.data.decode import suffixes
from bench.data.files import Files, open_files
from bench.data.images import Dataset, describe
from bench.data.survey import Split, Survey
from bench.machine.progress import progress_bar
from bench.seeds import mixed

_TOLERATED = 0.01  # share of a split that may be unreadable
_NAMED = 10  # unreadable files named in a message
_TRAIN = ("train",)
_TEST = ("test", "val", "valid", "validation")


def load_folder(path: str, *, image_size: int | None, progress: bool) -> Dataset:
    """The images below `path`, every one decoded once to find those that cannot be.

    Raises ValueError on anything that is not two splits of readable images of one size; warns of the unreadable
    ones if they are few enough to leave out.
    """
    root = _absolute(path)
    where, files = repr(str(root)), open_files(root)
    folders = _find_splits(files, where)
    splits = [_split(files, label, folder, where) for label, folder in zip(("train", "test"), folders, strict=True)]
    survey = Survey(files, splits, image_size)
    with progress_bar("looking at images", sum(len(s.names) for s in splits), wanted=progress) as advance:
        for split in splits:
            survey.look(split, advance)
            _judge(split, where)
    train, test = splits
    return describe(
        f"folder:{root.stem if root.suffix.lower() == '.zip' and root.is_file() else root.name}",
        survey.images(train),
        survey.images(test),
        survey.fingerprint,
        source="folder",
        path=str(root),
        split=f"{train.folder} to learn from, {test.folder} held out in a fixed mixed order",
        image_size=image_size,
        resize="shorter side to image_size, bicubic, antialiased; centre square" if image_size else "none",
        smaller_than_image_size=survey.upscaled,
        unreadable={s.label: {"count": len(s.unreadable), "first": list(s.unreadable)[:_NAMED]} for s in splits},
        not_images={s.label: _other_files(files, s.folder) for s in splits},
    )


def _absolute(path: str) -> Path:
    try:
        root = Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path!r} begins with the home of somebody not known here; give the whole path") from None
    # A link keeps its name, which is the dataset's; `..` has no name to keep.
    return root.resolve() if ".." in root.parts else root.absolute()


def _find_splits(files: Files, where: str) -> tuple[str, str]:
    """Names, ending in `/`, of the training and the test folder, at the top or below one wrapping folder.

    `where` names the whole in messages. Raises ValueError if either is missing or cannot be told.
    """
    inside = ""
    names = files.folders(inside)
    if len(names) == 1 and names[0].lower() not in _TRAIN + _TEST:
        inside = f"{names[0]}/"
        names = files.folders(inside)
    train, test = _first(names, _TRAIN, where), _first(names, _TEST, where)
    if train and test:
        return f"{inside}{train}/", f"{inside}{test}/"

    found = ", ".join(repr(name + "/") for name in names[:8]) or "no folder"
    missing = "test/ (or val/)" if train else "train/" if test else "train/ and test/"
    raise ValueError(
        f"{where} has no {missing}; found {found}{' ...' if names[8:] else ''}: put the images to learn from into "
        "train/ and the held-out ones into test/"
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
    if label == "test":
        # Folders are often sorted by class, and whoever measures on part of the split takes the first images.
        names = [names[i] for i in mixed(len(names))]
    return Split(label, folder, names)


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
