"""Figures: one function each that makes its data once, drawn under two themes, `screen` and `paper`.

FIGURES lists them; `draw` writes all that there is data for, `drawings` hands them out one by one. Importing this
imports no matplotlib.
"""

import importlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from bench.machine.files import write_atomically
from bench.text import slug, unlike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.figures.sheet import ConditionSheet, Drawing, Sheet
    from bench.figures.themes import Theme
    from bench.records.study import Study
    from bench.records.sweep import Sweep
    from bench.records.tuning import Tuning

    Source = Sweep | Study

Subject = Literal["comparison", "study", "gradients", "tuning"]
OF: tuple[Subject, ...] = get_args(Subject)
ThemeName = Literal["screen", "paper"]
BOTH: tuple[ThemeName, ...] = ("screen", "paper")


@dataclass(frozen=True)
class Kind:
    """A figure that can be drawn."""

    name: str
    """Of its files."""
    heading: str
    of: Subject
    module: str
    """Of this room; the function there is called as the figure is. It takes a Sheet, or of a study those of all its
    conditions, or of a search for settings itself and its theme, and returns a Drawing, or None where there is no
    data."""
    themes: tuple[ThemeName, ...] = BOTH

    @property
    def build(self) -> "Callable[..., Drawing | None]":
        return getattr(importlib.import_module(f"bench.figures.{self.module}"), self.name)


FIGURES = (
    Kind("final", "Final values", "comparison", "dots"),
    Kind("curves", "Learning curves", "comparison", "curves"),
    Kind("curves_elbo", "Learning curves of the ELBO", "comparison", "curves", ("screen",)),
    Kind("rate_distortion", "Quality against rate", "comparison", "tradeoffs"),
    Kind("pareto", "Quality against training time", "comparison", "tradeoffs"),
    Kind("codebook", "Codebook use", "comparison", "dots"),
    Kind("reconstructions", "Test images and their reconstructions", "comparison", "pictures"),
    Kind("knobs", "Against each knob", "study", "study"),
    Kind("sensitivity", "How much the choice matters", "study", "study"),
    Kind("conditions", "Under every condition", "study", "study"),
    Kind("training", "During training", "study", "curves"),
    Kind("training_by_knob", "During training, by knob", "study", "curves"),
    Kind("frontier", "Quality for its cost", "study", "tradeoffs"),
    Kind("settings", "All settings", "study", "dots"),
    Kind("expected_best", "Expected best of so many trials", "tuning", "tuning"),
    Kind("bias_variance", "Bias and variance of gradients", "gradients", "tradeoffs"),
    Kind("error_against_decodes", "Error of gradients against their cost", "gradients", "tradeoffs"),
)
"""In the order in which they are shown."""


@dataclass(frozen=True)
class Drawn:
    """One figure; saved or embedded by what its theme says."""

    name: str
    """With dataset and preset, if the sweep has several: unlike all others."""
    heading: str
    caption: str
    figure: "Figure"
    theme: "Theme"

    def png(self) -> bytes:
        return self.theme.save(self.figure, "png")


def drawings(source: "Source", theme: ThemeName = "screen", of: Collection[str] = OF) -> Iterator[Drawn]:
    """Every figure `of` these that there is data for: of a sweep by comparison, of an ablation its own. None while no
    run has finished."""
    from bench.figures.themes import THEMES

    chosen = THEMES[theme]
    for suffix, what, subject in _subjects(source, chosen):
        for kind in FIGURES if what in of else ():
            if kind.of == what and theme in kind.themes and subject:
                with chosen.applied():
                    drawing = kind.build(subject)
                    if drawing and chosen.stands_alone:
                        chosen.entitle(drawing.figure, f"{kind.heading}: {drawing.about}")
                if drawing:
                    yield Drawn(kind.name + suffix, kind.heading, drawing.caption, drawing.figure, chosen)


def draw(source: "Source", out: Path, theme: ThemeName = "screen") -> list[Path]:
    """Draw into folder `out` what there is data for, and return the paths; none while no run has finished.

    `screen`: PNG at 200 dpi. `paper`: as PDF (vectors, TrueType fonts) and as PNG at 300 dpi, of exactly the width that
    captions.txt states. Sweeps of several datasets or presets have a set of each, with their names. Figures of the same
    names for which there is no data any more are removed. The same records give the same bytes. Raises ValueError if
    `out` cannot be written.
    """
    from bench.figures.themes import THEMES

    paths, captions = [], []
    try:
        for one in drawings(source, theme):
            out.mkdir(parents=True, exist_ok=True)
            for kind in one.theme.kinds:
                paths.append(out / f"{one.name}.{kind}")
                write_atomically(paths[-1], one.theme.save(one.figure, kind), durable=False)
            captions.append(_entry(one))
        if captions and not THEMES[theme].stands_alone:
            paths.append(out / "captions.txt")
            write_atomically(paths[-1], "\n\n".join([THEMES[theme].advice, *captions, ""]).encode(), durable=False)
        for path in sorted(_names(source, theme, out) - set(paths)):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{out} cannot be written ({error.strerror}); free the place or change its rights") from None
    return paths


def _entry(one: Drawn) -> str:
    width, height = one.figure.get_size_inches()
    columns = "one column" if width == one.theme.narrow else "two columns"
    return f"{one.name} ({columns}: {width:.2f} in wide, {height:.2f} in high)\n{one.caption}"


def _subjects(
    source: "Source", theme: "Theme"
) -> "list[tuple[str, str, Sheet | list[ConditionSheet] | tuple[Tuning, Theme]]]":
    """What builders take, after the end of its figures' names (dataset and preset, if there are several; all
    different), and what figures are of it."""
    from bench.figures.sheet import ConditionSheet, Sheet
    from bench.records.study import Study
    from bench.records.tuning import Tuning

    runs = source.path / "runs"
    if isinstance(source, Study):
        sheets = [ConditionSheet(one, theme, runs, source) for one in source.conditions if one.metric]
        return [("", "study", sheets)]
    mine = source.comparisons
    places = unlike("_" + slug(f"{one.dataset}-{one.preset}") for one in mine) if len(mine) > 1 else [""] * len(mine)
    kinds = ["gradients" if len(one.gradients) else "comparison" for one in mine]
    sheets = (Sheet(one, theme, runs) for one in mine)
    searched = [("", "tuning", (source, theme))] if isinstance(source, Tuning) else []
    return [*zip(places, kinds, sheets, strict=True), *searched]


def _names(source: "Source", theme: ThemeName, out: Path) -> set[Path]:
    """Of all figures that such a source can have, of one comparison alone too."""
    from bench.figures.themes import THEMES

    subjects = _subjects(source, THEMES[theme])
    study = any(of == "study" for _, of, _ in subjects)
    mine = [kind.name for kind in FIGURES if (kind.of == "study") == study]
    ends = {"", *(end for end, _, _ in subjects)}
    return {out / f"{name}{end}.{kind}" for name in mine for end in ends for kind in THEMES[theme].kinds}
