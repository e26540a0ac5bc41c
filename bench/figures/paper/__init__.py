"""`bench plot --style paper`: the figures of a sweep at the width of a paper's columns, and what their captions say."""

from pathlib import Path


def draw(sweep: Path, out: Path | None = None) -> list[Path]:
    """Draw the sweep in folder `sweep` into `out`, or figures/paper in that folder; returns the paths.

    Every figure as PDF (vectors, TrueType fonts) and as PNG at 300 dpi, both of exactly the width that captions.txt
    states. `final`, `curves`, `rate_distortion`, `pareto`, `codebook` and `reconstructions`, those that there is data
    for; a sweep of several datasets or presets has a set of each, with their names. The same records give the same
    bytes. Empty while no run has finished. Raises ValueError if `sweep` is not a folder that `bench run` made, or `out`
    cannot be written.
    """
    from bench.figures.paper._draw import draw_all

    out = out or sweep / "figures" / "paper"
    try:
        return draw_all(sweep, out)
    except OSError as error:
        raise ValueError(f"{out} cannot be written ({error.strerror}); free the place or change its rights") from None
