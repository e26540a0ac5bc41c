"""The article of an ablation: the answer in sentences, its figures, and every setting in a table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench import stats
from bench.metrics.catalogue import Metric, describe
from bench.pages import _gallery, _terms
from bench.pages._comparison import Shown, between, columns, figure_sections, three
from bench.pages._page import Article, Section
from bench.records.methods import Run
from bench.records.study import TERMS, Condition, Study
from bench.records.sweep import Table
from bench.stats.answers import answers, measured, sensitivity
from bench.stats.bands import TOLERANCE, bands
from bench.tables.model import model
from bench.text import counted, typed, typeset

AS_IN_PRESET = "as in the preset"


def article(study: Study, drawn: Iterable[tuple[Any, bytes]]) -> Article:
    """`drawn` is what `bench.figures.drawings` gives, with the PNG of each."""
    return Article(f"Ablation: {study.name}", study.about, _facts(study), list(_sections(study, drawn)))


def _sections(study: Study, drawn: Iterable[tuple[Any, bytes]]) -> Iterator[Section]:
    yield Section("answer", "Answer", _answer(study), "Which is best, and is that more than luck?")
    yield from figure_sections(drawn)
    tables = [(condition.condition or AS_IN_PRESET, _settings(condition)) for condition in study.conditions]
    yield Section("settings", "Table", {"tables": tables}, "All settings as a table")
    for place, condition in enumerate(study.conditions):
        budget = _gallery.BYTES // len(study.conditions)
        if found := _gallery.gallery(condition, condition.order, study.path / "runs", budget):
            heading = f"Reconstructions, {condition.condition}" if condition.condition else "Reconstructions"
            content = {"comparison": condition, "looks": None, "gallery": found}
            yield Section(f"images{place}", heading, content, kind="gallery")
    several = len(study.conditions) > 1
    found = [condition for condition in study.conditions if condition.left_out]
    left_out = "; ".join(f"{c.condition or AS_IN_PRESET}: {c.left_out}" if several else c.left_out for c in found)
    if problems := _terms.problems(study.path, _named(study), left_out, "setting", study.left_out):
        yield Section("problems", "Failures and skips", problems)
    terms = _terms.of_runs(study.runs, lambda config: {**config, **config.get("arguments", {})})
    yield Section("terms", "Equal terms", terms)


def _named(study: Study) -> Iterator[tuple[str, str, Run]]:
    """All runs with the names of their setting and posterior; of those that never started, of their estimator."""
    several = len(study.conditions) > 1
    started = set()
    for condition in study.conditions:
        under = f"{condition.condition or AS_IN_PRESET}: " if several else ""
        for index, runs in condition.runs.items():
            method = condition.methods[index]
            started |= {run.name for run in runs}
            yield from ((f"{'' if method.is_baseline else under}{method.name}", method.posterior, run) for run in runs)
    yield from ((run.estimator, run.posterior, run) for run in study.runs if run.name not in started)


def _answer(study: Study) -> dict[str, Any]:
    found, metrics = bands(study), measured(study)
    return {
        "noun": study.noun,
        "split": study.conditions[0].split if study.conditions else "",
        "metric": describe(metrics[0]) if metrics else None,
        "answers": answers(study, metrics[0]) if metrics else [],
        "others": [(describe(metric), answers(study, metric)) for metric in metrics[1:]],
        "sensitivity": sensitivity(found, study.noun),
        "bands": found,
        "tolerance": TOLERANCE,
        "several": len(study.conditions) > 1,
        "as_in_preset": AS_IN_PRESET,
    }


def _settings(condition: Condition) -> dict[str, Any]:
    """The table of one condition: that of every comparison, with the difference to the best and the diagnostics."""
    table = model(condition)
    found = columns(table)
    difference = Metric("difference", "to the best", "1", "", "other", "difference to the best setting, seed by seed")
    found.insert(1, (difference, _to_best(condition)))
    for name, title in TERMS.items():
        cells = {i: Shown(three(v[name]), v[name]) for i, v in condition.last_terms.items() if name in v}
        if cells:
            found.append((Metric(name, title, "1", "", "other", "in the last steps of training"), cells))
    return {"model": table, "columns": found, "ranked": condition.metric or ""}


def _to_best(condition: Condition) -> dict[int, Shown]:
    cells, places = {}, describe(str(condition.metric)).places or 0
    for index, row in _differences(condition).items():
        p = f", p = {row['p_holm']:.2g} after Holm" if row["p_holm"] == row["p_holm"] else ""
        small = between(row["low"], row["high"], places) if row["low"] == row["low"] else ""
        cells[index] = Shown(typeset(row["estimate"], places), row["estimate"], small, "", f"{row['verdict']}{p}")
    best = condition.best(str(condition.metric))
    return cells if best is None else {best: Shown("best", 0.0, note="best mean"), **cells}


def _differences(condition: Condition) -> dict[int, Mapping[str, Any]]:
    """By setting, against the best one, in the metric that ranks: rows of `stats.paired_differences`."""
    best = condition.best(str(condition.metric))
    if best is None:
        return {}
    winner, values = condition.methods[best], condition.finals
    table = stats.paired_differences(values[values["metric"] == condition.metric], (winner.name, winner.posterior))
    index = {(method.name, method.posterior): i for i, method in enumerate(condition.methods)}
    return {index[row["estimator"], row["posterior"]]: row for row in table.to_dict("records")}


def settings_table(study: Study) -> Table:
    """One row per setting: its knobs, mean with interval and spread of every metric, paired difference to the best of
    its condition, and as `last_...` the diagnostics at the end of training. A DataFrame, for settings.csv."""
    import pandas as pd

    return pd.DataFrame([row for condition in study.conditions for row in _rows(study, condition)])


def _rows(study: Study, condition: Condition) -> Iterator[dict[str, Any]]:
    table, differences = model(condition), _differences(condition)
    for index, setting in enumerate(condition.settings):
        row: dict[str, Any] = {
            "setting": setting.label,
            "condition": condition.condition,
            "family": "; ".join(setting.families),
            "estimator": setting.estimator,
            "posterior": condition.methods[index].posterior,
            "dataset": condition.dataset,
            "preset": condition.preset,
            **{knob: typed(setting.config[knob]) for knob in study.knobs if knob in setting.config},
            **{f"runs_{state}": n for state, n in Counter(run.state for run in condition.runs[index]).items()},
        }
        ranking = table.cells.get(str(condition.metric), {}).get(index)
        row |= {"seeds": ranking.n, "interval": ranking.method} if ranking else {}
        for metric, cells in table.cells.items():
            if cell := cells.get(index):
                row |= {metric: cell.mean, f"{metric}_low": cell.low, f"{metric}_high": cell.high}
                row[f"{metric}_sd"] = cell.sd
        difference = differences.get(index, {})
        row |= {f"to_best_{what}": difference.get(what) for what in ("estimate", "low", "high", "p_holm", "verdict")}
        last = condition.last_terms.get(index, {})
        yield row | {f"last_{term.removeprefix('term/')}": last[term] for term in TERMS if term in last}


def _facts(study: Study) -> list[str]:
    variants = {(s.label, c.methods[i].posterior) for c in study.conditions for i, s in enumerate(c.settings)}
    facts = list(dict.fromkeys(f"{c.dataset}, preset {c.preset}" for c in study.conditions))
    facts.append(counted(len(variants), "setting"))
    if len(study.conditions) > 1:
        facts.append(counted(len(study.conditions), "condition"))
    facts.append(counted(len({run.seed for run in study.runs})))
    facts.append(_terms.share((run for _, _, run in _named(study)), "done"))
    facts.append(_terms.protocol(study.runs))
    images = [(n, condition.split) for condition in study.conditions for n in condition.images]
    return [*facts, f"{typeset(max(images)[0], 0)} {max(images)[1]} images"] if images else facts
