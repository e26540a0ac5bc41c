"""The article of a comparison, a gradient lab among them: who won and how sure that is, and what else its runs left."""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench import stats
from bench.metrics import catalogue
from bench.metrics.catalogue import Metric, describe
from bench.pages import _charts, _gallery, _terms
from bench.pages._page import Article, Look, Section
from bench.records import Comparison, Sweep, planned
from bench.tables.model import Cell, Model, model
from bench.text import MISSING, counted, typed, typeset

CURVES = 40
"""Methods drawn; more lines than this nobody tells apart."""
ERRORS = {"bias_squared": "bias_error", "cosine_to_reference": "cosine_error"}
"""Metrics of the gradient lab with the metric that is their standard error."""


@dataclass(frozen=True)
class Shown:
    """A cell of a table as the page writes it."""

    text: str
    value: float | None = None
    """To sort by."""
    small: str = ""
    """Under the text."""
    mark: str = ""
    """A key of MARKS."""
    note: str = ""


def article(sweep: Sweep, comparison: Comparison, styles: Mapping[str, Look]) -> Article:
    """`styles` are the looks of the page, by `Method.style`."""
    table, looks = model(comparison), [styles[method.style] for method in comparison.methods]
    having = set(comparison.looks["method"])
    measured = [index for index in comparison.order if index in having]
    drawn = {index: looks[index] for index in measured[:CURVES]}
    data = _charts.data(comparison, table, drawn, measured) if measured else None
    shared = {"comparison": comparison, "looks": looks, "data": data, "drawn": list(drawn), "measured": measured}
    title = f"Gradients: {comparison.title}" if len(comparison.gradients) else comparison.title
    return Article(
        title,
        planned.words(sweep.path, sweep.runs),
        _facts(comparison),
        list(_sections(sweep, comparison, table, shared)),
        data,
    )


def _sections(sweep: Sweep, comparison: Comparison, table: Model, shared: dict[str, Any]) -> Iterator[Section]:
    lab, data = len(comparison.gradients) > 0, shared["data"]
    if lab:
        from bench.figures import drawings

        yield Section("gradients", "Gradients", gradients(comparison), "Bias and variance of the gradients")
        yield from figure_sections((one, one.png()) for one in drawings(Sweep(sweep.path, [comparison])))
    else:
        yield Section("verdict", "Verdict", {**shared, **_verdict(comparison, table)}, "Which estimator?")
    if data and data["curves"]["metrics"]:
        yield Section("curves", "Learning curves", {**shared, **_drawn(comparison, shared)})
    budget = _gallery.BYTES // len(sweep.comparisons)
    if found := _gallery.gallery(comparison, comparison.order, sweep.path / "runs", budget):
        yield Section("images", "Reconstructions", {**shared, "gallery": found}, kind="gallery")
    if data and data["codebook"]:
        yield Section("codebook", "Codebook", shared)
    named = ((comparison.methods[index], run) for index, runs in comparison.runs.items() for run in runs)
    problems = ((method.name, method.posterior, run) for method, run in named)
    if found := _terms.problems(sweep.path, problems, comparison.left_out, "estimator", {}):
        yield Section("problems", "Failures and skips", found)
    if not lab or any(run.config for run in comparison.compared):
        yield Section("terms", "Equal terms", _terms.of_comparison(comparison))


def _drawn(comparison: Comparison, shared: dict[str, Any]) -> dict[str, Any]:
    methods = [(index, comparison.methods[index]) for index in sorted(shared["drawn"])]
    return {
        "metrics": [describe(metric) for metric in shared["data"]["curves"]["metrics"]],
        "posteriors": list(dict.fromkeys(method.posterior for _, method in methods)),
        "mid_schedule": stats.mid_schedule(comparison),
        # both posteriors of a name look alike and share a button
        "chips": list({method.name: index for index, method in reversed(methods)}.values())[::-1],
    }


def figure_sections(drawn: Iterable[tuple[Any, bytes]]) -> Iterator[Section]:
    """A section per figure: what `bench.figures.drawings` gives, and its PNG."""
    for one, png in drawn:
        picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        content = {"heading": one.heading, "caption": one.caption, "picture": picture}
        yield Section(f"figure-{one.name}", one.heading, content, kind="figure")


def _verdict(comparison: Comparison, table: Model) -> dict[str, Any]:
    leads = [_lead(comparison, table, metric) for metric in catalogue.ranked() if metric in comparison.means]
    return {
        "leads": leads,
        "costs": _costs(comparison),
        "table": {"model": table, "columns": columns(table), "ranked": leads[0]["metric"].name if leads else ""},
        "final_metrics": table.columns,
    }


def columns(table: Model) -> list[tuple[Metric, Mapping[int, Shown]]]:
    """Each with its cells by method."""
    return [(one, {index: shown(cell) for index, cell in table.cells[one.name].items()}) for one in table.columns]


def shown(cell: Cell) -> Shown:
    """A cell of `bench.tables.model`: its interval is under the mean, or where there is none its standard deviation."""
    spread = f"±{typeset(cell.sd, cell.places)}" if cell.spread and math.isnan(cell.low) else ""
    small = between(cell.low, cell.high, cell.places) if cell.interval else spread
    text = cell.text if cell.metric.short else typeset(cell.mean, cell.places)
    return Shown(text, cell.mean, small, cell.mark, cell.note)


def between(low: float, high: float, places: int) -> str:
    return f"{typeset(low, places)} … {typeset(high, places)}"


def _lead(comparison: Comparison, table: Model, metric: str) -> dict[str, Any]:
    """One line of the list of winners: who leads, by how much on shared seeds, and whether that is more than noise."""
    values = comparison.finals[comparison.finals["metric"] == metric]
    found = stats.lead(values, metric, comparison.dataset, comparison.preset)
    assert found is not None
    scored = [index for index in comparison.ordered_by(metric) if index in comparison.means[metric]]
    gap = found.difference
    tied = table.marked(metric, "tied") if metric in table.cells else []
    return {
        "metric": describe(metric),
        "winner": comparison.label(scored[0]),
        "cell": shown(table.cells[metric][scored[0]]),
        "runner_up": comparison.label(scored[1]) if len(scored) > 1 else MISSING,
        "gap": typeset(gap.estimate, gap.places) if gap else MISSING,
        "gap_interval": between(gap.low, gap.high, gap.places) if gap and gap.known else "",
        "seeds": "" if gap is None else counted(gap.n) if gap.known else gap.method,
        "larger": found.larger_than_noise,
        "tied": [comparison.label(index) for index in tied],
        "scored": len(scored),
        "sentence": found.sentence,
    }


def _costs(comparison: Comparison) -> str:
    """At which costs the verdict holds, and how to have one where it does not."""
    said = stats.costs(comparison)
    wanted = [axis for axis in ("decodes", "seconds") if axis not in comparison.equal_cost]
    budgets = " or ".join(f"{axis}={typed(float(comparison.ends[axis].max()))}" for axis in wanted) if said else ""
    return f"{said} For a verdict at those costs give the runs --budget {budgets}." if budgets else said


def gradients(comparison: Comparison) -> dict[str, Any]:
    """The table of the gradient lab: a row per posterior, step of training, method and number of decodes."""
    rows = comparison.gradients.sort_values(["posterior", "step", "method", "decodes"], ascending=[False, *[True] * 3])
    metrics = [name for name in catalogue.names("gradient") if name in rows and name not in ERRORS.values()]
    return {
        "metrics": [describe(name) for name in metrics],
        "other_goals": comparison.other_goals,
        "rows": [
            {
                "name": comparison.methods[row["method"]].name,
                "key": (row["posterior"], int(row["step"]), int(row["decodes"])),
                "cells": [_measured(row, name) for name in metrics],
            }
            for row in rows.to_dict("records")
        ],
    }


def _measured(row: Mapping[str, float], name: str) -> Shown:
    """Under it its standard error, where there is one."""
    error = three(row.get(ERRORS.get(name, "")))
    return Shown(three(row[name]), row[name], "" if error == MISSING else f"±{error}")


def three(value: float | None) -> str:
    """Three significant digits."""
    known = value is not None and abs(value) < float("inf")
    return typed(float(f"{value:.3g}")).replace("-", "\N{MINUS SIGN}") if known else MISSING


def _facts(comparison: Comparison) -> list[str]:
    methods = [method for method in comparison.methods if not method.is_baseline]
    posteriors = comparison.posteriors
    facts = [counted(len({method.estimator for method in methods}), "estimator")]
    facts.append(
        f"{next(iter(posteriors), 'no')} posterior" if len(posteriors) < 2 else counted(len(posteriors), "posterior")
    )
    if any(method.variant for method in methods):
        facts.append(f"{counted(len(methods), 'method')} by their settings")
    facts.append(_terms.share((run for mine in comparison.runs.values() for run in mine), "done"))
    for words, *keys in (("{} steps of {} images", "steps", "batch_size"), ("{} codes of {}", "length", "vocab")):
        values = {tuple(run.config.get(key) for key in keys) for run in comparison.compared if run.config}
        if len(values) == 1 and all(found := values.pop()):
            facts.append(words.format(*(typeset(n, 0) for n in found)))
    facts.append(_terms.protocol(comparison.compared))
    if comparison.images:
        facts.append(f"{typeset(comparison.images[-1], 0)} {comparison.split} images")
    return facts
