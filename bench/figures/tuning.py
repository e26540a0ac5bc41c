"""The figure of a search for settings: how much luck tuning needs."""

import math

from matplotlib.lines import Line2D

from bench.figures.sheet import HOLLOW, Drawing, sentences
from bench.figures.styles import styles, told_apart
from bench.figures.themes import Theme
from bench.metrics.catalogue import describe
from bench.records.tuning import Tuning
from bench.stats.tuning import rows
from bench.text import shortened, span, unlike

HEIGHT = 2.6
"""Inches."""


def expected_best(subject: tuple[Tuning, Theme]) -> Drawing | None:
    """A line per estimator over the number of trials; a ring where the default lies."""
    tuning, theme = subject
    found = [one for one in rows(tuning) if any(not math.isnan(value) for value in one.expected.values())]
    if not found:
        return None
    metric = describe(tuning.metric)
    names = list(dict.fromkeys(one.search.estimator for one in found))
    looks = styles(names) if theme.stands_alone else told_apart({name: name for name in names})
    labels = dict(zip(names, unlike(shortened(name, theme.longest_name) for name in names), strict=True))
    figure = theme.sheet(theme.narrow, HEIGHT)
    ax = figure.subplots()
    for one in found:
        look, hollow = looks[one.search.estimator], tuning.several and one.search.posterior == HOLLOW
        marked = {**theme.line(look), **theme.marker(look, hollow)}
        ax.plot(list(one.expected), list(one.expected.values()), **marked, gid=tuning.label(one.search))
    counts = sorted({n for one in found for n in one.expected})
    ax.set_xscale("log", base=2)
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.minorticks_off()
    ax.set_xlabel("trials")
    ax.set_ylabel(f"expected best {metric.with_arrow}")
    handles = [Line2D([], [], **theme.marked_line(looks[name]), label=labels[name]) for name in names]
    theme.add_legend(figure, handles)
    trials = span(len(one.search.trials) for one in found)
    caption = sentences(
        f"Expected best {metric.title} of n trials, drawn without replacement from the {trials} of each estimator; a "
        "trial without a value counts as the worst of all.",
        f"Validation images of {tuning.comparison.title}, one seed per trial.",
        "Filled: factorised posterior; hollow: causal." if tuning.several else "",
    )
    return Drawing(figure, caption, f"{tuning.comparison.title}, {trials} trials each")
