"""The article of a search for settings: default beside tuned, what so many trials are expected to find, what was
searched, and every trial."""

from collections.abc import Iterable, Iterator
from typing import Any

from bench.metrics.catalogue import Metric, describe
from bench.pages import _terms
from bench.pages._comparison import figure_sections
from bench.pages._page import Article, Section
from bench.records.tuning import Search, Tuning
from bench.stats.tuning import Tuned, rows
from bench.tables.tuning import PLACES, of_tuning
from bench.text import counted, number, span

ABOUT = (
    "Trials are the preset's own settings and points of a scrambled Sobol sequence in the space of each estimator. "
    "The best on validation images was chosen with one seed; what it gained is measured on other seeds and the same "
    "validation images. No test image was read."
)


def article(tuning: Tuning, drawn: Iterable[tuple[Any, bytes]]) -> Article:
    """`drawn` is what `bench.figures.drawings` gives of the search, with the PNG of each."""
    return Article(f"Tuning: {tuning.comparison.title}", ABOUT, _facts(tuning), list(_sections(tuning, drawn)))


def _sections(tuning: Tuning, drawn: Iterable[tuple[Any, bytes]]) -> Iterator[Section]:
    gains, expected = of_tuning(tuning)
    yield Section("tuned", "Default and tuned", {"grid": gains}, "What did tuning gain?", kind="grid")
    yield from figure_sections(drawn)
    yield Section("expected", "Luck", {"grid": expected}, "What would fewer trials have found?", kind="grid")
    yield Section("trials", "Trials", _trials(tuning, rows(tuning)), "All trials, and the spaces they are from")
    named = [(f"{tuning.label(s)}, trial {t.number}", s.posterior, t.run) for s in tuning.searches for t in s.trials]
    ended = [(name, posterior, run) for name, posterior, run in named if run is not None]
    lost = sum(run.state != "done" for _, _, run in ended)
    left_out = f"{counted(lost, 'trial')} without a value" if lost else ""
    if problems := _terms.problems(tuning.path, ended, left_out, "trial", {}):
        yield Section("lost", "Lost trials", problems, kind="problems")


def _trials(tuning: Tuning, found: list[Tuned]) -> dict[str, Any]:
    info = describe(tuning.metric)
    places = PLACES if info.places is None else info.places
    return {"metric": info, "searches": [_shown(tuning, one.search, info, places) for one in found]}


def _shown(tuning: Tuning, search: Search, info: Metric, places: int) -> dict[str, Any]:
    trials = sorted(search.trials, key=lambda t: (t.value != t.value, -info.sign * t.value, t.number))
    return {
        "name": tuning.label(search),
        "space": [f"{key}: {words}" for key, words in search.space.items()],
        "trials": [
            {
                "number": trial.number,
                "words": trial.words,
                "text": number(trial.value, places),
                "value": trial.value if trial.value == trial.value else None,
                "state": trial.run.state if trial.run else "queued",
            }
            for trial in trials
        ],
    }


def _facts(tuning: Tuning) -> list[str]:
    counts = [len(search.trials) for search in tuning.searches if search.best is not None]
    unequal = "NOT equal: " if len(set(counts)) > 1 else ""
    facts = [
        f"{unequal}{span(counts) or 'no'} trials each",
        counted(len(tuning.searches), "search").replace("searchs", "searches"),
    ]
    return [*facts, f"budget {tuning.record['budget']}"] if tuning.record.get("budget") else facts
