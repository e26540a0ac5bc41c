"""`bench report` and the end of `bench ablate`: a folder of runs as one self-contained HTML page, report.html.

A comparison, an ablation, a search for settings and a gradient lab are the same page with other sections. It loads
nothing from anywhere.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the page of `folder` to `out`, or to report.html in that folder; returns its path.

    An ablation's page comes with its figures and settings.csv, as from `write_study`, once a run of it has ended.
    Raises ValueError if `folder` is not one that `bench run` made, or the file cannot be written.
    """
    from bench import records
    from bench.pages import _comparison, _page, _terms
    from bench.records.study import ENDED, FILE
    from bench.records.tuning import Tuning

    if (folder / FILE).is_file() and any(state["state"] in ENDED for state in records.states(folder)):
        return write_study(folder, out)[1][0]
    sweep = records.read(folder)
    styles = _page.looks(method.style for one in sweep.comparisons for method in one.methods)
    articles = [_comparison.article(sweep, one, styles) for one in sweep.comparisons]
    if isinstance(sweep, Tuning):
        from bench.figures import drawings
        from bench.pages import _tuning

        articles.insert(0, _tuning.article(sweep, ((one, one.png()) for one in drawings(sweep, of=("tuning",)))))
    how = _terms.how(folder, sweep.runs, sweep.unreadable)
    return _save(_page.render(folder, articles, how, styles.values()), out or folder / "report.html")


def write_study(
    folder: Path, out: Path | None = None, rows: "pd.DataFrame | None" = None
) -> tuple[list[str], list[Path]]:
    """Draw `folder` as an ablation: figures/*.png, settings.csv, and the page with all of it. Returns the answer in
    sentences, and the paths: the page, the table, the figures. `rows`: as for `bench.records.read`.

    Raises ValueError if `folder` is not one that `bench run` or `bench ablate` made, nothing in it has ended, or the
    files cannot be written.
    """
    from bench.figures import FIGURES, drawings
    from bench.pages import _page, _study, _terms
    from bench.records.study import read_study
    from bench.stats.answers import headline

    study = read_study(folder, rows)
    drawn = [(one, one.png()) for one in drawings(study)]
    table = _study.settings_table(study).to_csv(index=False)
    page = _page.render(folder, [_study.article(study, drawn)], _terms.how(folder, study.runs, ()), ())
    for kind in FIGURES:
        if kind.of == "study" and kind.name not in {one.name for one, _ in drawn}:
            (folder / "figures" / f"{kind.name}.png").unlink(missing_ok=True)
    figures = [(folder / "figures" / f"{one.name}.png", png) for one, png in drawn]
    paths = [_save(page, out or folder / "report.html"), _save(table, folder / "settings.csv")]
    return headline(study), [*paths, *(_save(png, path) for path, png in figures)]


def _save(content: str | bytes, path: Path) -> Path:
    from bench.machine.files import write_atomically

    try:
        if isinstance(content, bytes):
            path.parent.mkdir(exist_ok=True)
        write_atomically(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}); try another file, with --out") from None
    return path
