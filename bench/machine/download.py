"""Gets one file over HTTP, whole or not at all."""

import hashlib
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from bench.machine.progress import progress_bar

_CHUNK = 1 << 20


def download(urls: Iterable[str], target: Path, checksum: str, *, progress: bool, timeout: float = 30.0) -> None:
    """Writes `target` from the first of `urls` that delivers the file with this `checksum`, such as "sha256:9f86...".

    Gives up on one after `timeout` seconds without a byte. Raises ValueError saying what went wrong with each of them;
    then there is no `target`.
    """
    problems = []
    for url in urls:
        try:
            problem = _attempt(url, target, checksum, progress, timeout)
        except (OSError, HTTPException) as error:
            problem = _in_words(error)
        if problem is None:
            return
        target.unlink(missing_ok=True)
        problems.append(f"{urlsplit(url).netloc}: {problem}")
    raise ValueError("; ".join(problems))


def _attempt(url: str, target: Path, checksum: str, progress: bool, timeout: float) -> str | None:
    """What is wrong with the file that came, or None."""
    algorithm, _, wanted = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)  # the checksum its publisher gives
    received = 0
    request = Request(url, headers={"User-Agent": "discrete-latents-bench"})
    with urlopen(request, timeout=timeout) as response, target.open("wb") as file:
        length = response.headers["Content-Length"]
        promised = int(length) if length else None
        with progress_bar(target.name, promised, wanted=progress, in_bytes=True) as advance:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                advance(len(chunk))
    if promised is not None and received < promised:
        return f"the connection ended after {received} of {promised} bytes"
    if digest.hexdigest() != wanted:
        return f"the {received} bytes that came have a wrong checksum ({algorithm} {digest.hexdigest()}, not {wanted})"
    return None


def _in_words(error: OSError | HTTPException) -> str:
    """`Connection refused` rather than `<urlopen error [Errno 111] Connection refused>`."""
    if isinstance(error, HTTPError):
        return str(error)
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause or type(error).__name__)
