"""A directory or a .zip, looked at the same way: names below it, with `/` between them, and their bytes."""

import os
import threading
import zipfile
import zlib
from pathlib import Path


def open_files(path: Path) -> "Files":
    """`path` as Files. Raises ValueError if it is missing, no directory and no .zip, or cannot be read."""
    try:
        if path.is_dir():
            return Directory(path)
        return Zip(path)
    except FileNotFoundError:
        raise ValueError(
            f"nothing at {str(path)!r}: folder:PATH takes a directory or a .zip with train/ and test/ in it"
        ) from None
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(
            f"{str(path)!r} is no .zip that can be opened ({error}): copy it again, or unpack it and give the directory"
        ) from None
    except OSError as error:
        raise ValueError(f"cannot read {str(path)!r}: {error.strerror}") from None


def _visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


class Directory:
    """What `Files` says, of a directory; links are followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folders(self, under: str) -> list[str]:
        _, below, _ = next(os.walk(self._root / under, onerror=_refuse))
        return sorted(name for name in below if _visible(name))

    def files(self, under: str) -> list[str]:
        found: list[str] = []
        seen: set[tuple[int, int]] = set()
        for folder, below, names in os.walk(self._root / under, followlinks=True, onerror=_refuse):
            status = Path(folder).stat()
            if (identity := (status.st_dev, status.st_ino)) in seen:
                below.clear()  # a link back to where we have been
                continue
            seen.add(identity)
            below[:] = sorted(name for name in below if _visible(name))
            inside = Path(folder).relative_to(self._root)
            found += [(inside / name).as_posix() for name in names if _visible(name)]
        return sorted(found)

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()


def _refuse(error: OSError) -> None:
    raise ValueError(f"cannot read {str(error.filename)!r}: {error.strerror}")


class Zip:
    """What `Files` says, of a .zip."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(path)
        # One handle and a lock: a handle per thread would parse and hold the whole index once per thread.
        self._lock = threading.Lock()
        entries = self._zip.infolist()
        if any(entry.flag_bits & 0x1 for entry in entries):
            raise ValueError(f"{str(path)!r} has a password: unpack it and give the directory")
        # Some tools write backslashes, some begin every name with "./".
        named = {entry.filename.replace("\\", "/").removeprefix("./"): entry for entry in entries}
        self._entries = {name: entry for name, entry in sorted(named.items()) if _visible(name)}

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        """Open files do not travel to another process; their path does."""
        return Zip, (self._path.absolute(),)

    def folders(self, under: str) -> list[str]:
        inside = (name.removeprefix(under) for name in self._entries if name.startswith(under))
        return sorted({rest.split("/", 1)[0] for rest in inside if "/" in rest})

    def files(self, under: str) -> list[str]:
        return [name for name in self._entries if name.startswith(under) and not name.endswith("/")]

    def read(self, name: str) -> bytes:
        try:
            with self._lock:
                return self._zip.read(self._entries[name])
        except (zlib.error, EOFError) as error:
            raise zipfile.BadZipFile(str(error)) from error


Files = Directory | Zip
"""`folders(under)` are the names directly below, `files(under)` those of every file at any depth, as `read` takes them,
both sorted; hidden entries and `__MACOSX` are never listed. A folder name given to a method ends in `/` or is empty.
`read(name)`, safe in threads, gives the bytes; raises OSError or zipfile.BadZipFile."""
