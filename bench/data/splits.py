"""Which folders of somebody's images are for training and which are held out."""

from bench.data.files import Files

_TRAIN = ("train",)
_TEST = ("test", "val", "valid", "validation")


def find_splits(files: Files, where: str) -> tuple[str, str]:
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
