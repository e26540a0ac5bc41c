"""`bench report`: a sweep as one self-contained HTML page."""

from pathlib import Path


def write(sweep: Path, out: Path | None = None) -> Path:
    """Write the report of the sweep in folder `sweep` to `out`, or to report.html in that folder; returns its path.

    The page loads nothing from anywhere. Raises ValueError if `sweep` is not a folder that `bench run` made, or the
    file cannot be written.
    """
    from bench.machine.files import write_atomically
    from bench.pages._page import page
    from bench.pages._sweep import read

    out = out or sweep / "report.html"
    content = page(read(sweep))
    try:
        write_atomically(out, content.encode())
    except OSError as error:
        raise ValueError(f"{out} cannot be written ({error.strerror}); try another file, with --out") from None
    return out
