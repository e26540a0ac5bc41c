"""All settings in a table: for settings.csv, and for the page."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench import stats
from bench.ablation._settings import shown
from bench.ablation._study import SHOWN, TERMS, Study, Table
from bench.metrics.catalogue import METRICS
from bench.pages._metrics import Metric, describe, digits, number


@dataclass(frozen=True)
class Cell:
    text: str
    interval: str
    """Empty where there is none."""
    note: str


@dataclass(frozen=True)
class Row:
    label: str
    families: str
    posterior: str
    is_best: bool
    cells: list[Cell]
    """As `Block.columns`."""
    difference: Cell
    """To the best setting, seed by seed."""
    terms: list[str]
    """As `Block.terms`."""
    runs: str
    """How many ended how."""


@dataclass(frozen=True)
class Block:
    """The settings of one condition, best first."""

    condition: str
    columns: list[Metric]
    terms: list[str]
    rows: list[Row]


def blocks(study: Study) -> list[Block]:
    return [_block(study, condition) for condition in study.conditions]


def settings_csv(study: Study) -> Table:
    """One row per setting: its knobs, mean with interval and spread of every metric, paired difference to the best of
    its condition, and as `last_...` the diagnostics at the end of training."""
    import pandas as pd

    rows = []
    for condition in study.conditions:
        differences = _differences(study, condition)
        for index in study.of_condition(condition):
            setting = study.settings[index]
            row: dict[str, Any] = {
                "setting": setting.label,
                "condition": condition,
                "family": "; ".join(setting.families),
                "estimator": setting.estimator,
                "posterior": setting.posterior,
                **dict(zip(("dataset", "preset"), setting.place, strict=True)),
                **{knob: shown(setting.config.get(knob)) for knob in study.knobs if knob in setting.config},
                **{f"runs_{state}": count for state, count in Counter(run.state for run in setting.runs).items()},
            }
            for one in study.finals[study.finals["setting"] == index].to_dict("records"):
                row |= {one["metric"]: one["estimate"], "seeds": one["n"], "interval": one["method"]}
                row |= {f"{one['metric']}_{what}": one[what] for what in ("low", "high", "sd")}
            difference = differences.get(index, {})
            row |= {
                f"to_best_{what}": difference.get(what) for what in ("estimate", "low", "high", "p_holm", "verdict")
            }
            row |= {f"last_{term.removeprefix('term/')}": value for term, value in last_terms(study, index).items()}
            rows.append(row)
    return pd.DataFrame(rows)


def last_terms(study: Study, index: int) -> dict[str, float]:
    """Diagnostics in the last rows of training, mean over seeds."""
    rows = study.frame[(study.frame["setting"] == index) & study.frame["metric"].isin(list(TERMS))]
    last = rows[rows["step"] == rows.groupby(["run", "metric"])["step"].transform("max")]
    return {str(term): float(value) for term, value in last.groupby("metric")["value"].mean().items()}


def _differences(study: Study, condition: str) -> dict[int, dict[str, Any]]:
    """By setting, against the best one, in the metric that ranks."""
    best = study.best(study.of_condition(condition))
    if best is None:
        return {}
    values = study.scores[condition]
    winner = study.settings[best]
    table = stats.paired_differences(values[values["metric"] == study.metric], (winner.label, winner.posterior))
    index = {(study.settings[i].label, study.settings[i].posterior): i for i in study.of_condition(condition)}
    return {index[row["estimator"], row["posterior"]]: row for row in table.to_dict("records")}


def _block(study: Study, condition: str) -> Block:
    mine = study.of_condition(condition)
    finals = study.finals[study.finals["setting"].isin(mine)]
    columns = [describe(metric) for metric in SHOWN if (finals["metric"] == metric).any()]
    decimals = {column.name: _decimals(finals[finals["metric"] == column.name]) for column in columns}
    terms = {index: last_terms(study, index) for index in mine}
    present = [term for term in TERMS if any(term in found for found in terms.values())]
    differences, best = _differences(study, condition), study.best(mine)
    sign = -1 if study.metric and METRICS[study.metric].better == "higher" else 1
    order = sorted(mine, key=lambda i: sign * study.means.get((i, str(study.metric)), sign * math.inf))
    by_key = {(row["setting"], row["metric"]): row for row in finals.to_dict("records")}
    rows = [
        Row(
            label=study.settings[index].label,
            families="; ".join(study.settings[index].families),
            posterior=study.settings[index].posterior,
            is_best=index == best,
            cells=[_cell(by_key.get((index, column.name)), decimals[column.name]) for column in columns],
            difference=_difference(differences.get(index), index == best),
            terms=[_significant(terms[index].get(term)) for term in present],
            runs=", ".join(
                f"{n} {state}" for state, n in Counter(run.state for run in study.settings[index].runs).items()
            ),
        )
        for index in order
    ]
    return Block(condition, columns, [TERMS[term] for term in present], rows)


def _decimals(rows: Table) -> int:
    halves = ((rows["high"] - rows["low"]) / 2).dropna()
    spread = halves[halves > 0].median() if (halves > 0).any() else rows["sd"][rows["sd"] > 0].median()
    return digits(float(spread) if spread == spread else 0.0, float(rows["estimate"].abs().max()))


def _cell(row: dict[str, Any] | None, decimals: int) -> Cell:
    if row is None:
        return Cell("–", "", "no value")
    note = f"{row['n']} seeds, 95 % interval: {row['method']}" if not math.isnan(row["low"]) else str(row["method"])
    interval = "" if math.isnan(row["low"]) else f"{number(row['low'], decimals)} … {number(row['high'], decimals)}"
    if not interval and row["n"] > 1:
        interval = f"± {number(row['sd'], decimals)}"
        note += "; below it the standard deviation over seeds"
    return Cell(number(row["estimate"], decimals), interval, note)


def _difference(row: dict[str, Any] | None, is_best: bool) -> Cell:
    if is_best:
        return Cell("best", "", "best mean")
    if row is None:
        return Cell("–", "", "no shared seed with the best")
    known = not math.isnan(row["low"])
    decimals = digits((row["high"] - row["low"]) / 2 if known else abs(row["estimate"]) / 10, row["estimate"])
    interval = f"{number(row['low'], decimals)} … {number(row['high'], decimals)}" if known else ""
    p = "" if math.isnan(row["p_holm"]) else f", p = {row['p_holm']:.2g} after Holm"
    return Cell(number(row["estimate"], decimals), interval, f"{row['verdict']}{p}")


def _significant(value: float | None) -> str:
    return (
        "–"
        if value is None or not math.isfinite(value)
        else shown(float(f"{value:.3g}")).replace("-", "\N{MINUS SIGN}")
    )
