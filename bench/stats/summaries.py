"""Tidy tables of estimates with their intervals, from one value per run and metric (`finals`, `at_cost`)."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from typing import get_args

import numpy as np

from bench.metrics.catalogue import METRICS, find
from bench.records.sweep import METHOD, SETTING, Table
from bench.stats.intervals import Statistic, fraction_interval, improvement_interval, interval
from bench.stats.scores import Scores, finite, holm, paired_t_test, sign_flip_test, smallest_sign_flip_p
from bench.stats.values import (
    Method,
    Setting,
    Values,
    array,
    differences,
    paired_values,
)

ALL = "all datasets"
"""What the column `dataset` says in rows over all datasets of a preset."""
ALPHA = 0.05
"""Level of the tests, of all comparisons of a metric together."""

INTERVAL_COLUMNS = ("estimate", "low", "high", "n", "method")


def _groups(scores: Values) -> Iterator[tuple[str, str, list[Setting]]]:
    """Dataset (or ALL), preset, and the settings in it: each alone, then all of a preset if they are several."""
    yield from ((dataset, preset, [(dataset, preset)]) for dataset, preset in scores.settings)
    for preset in sorted({preset for _, preset in scores.settings}):
        same = [setting for setting in scores.settings if setting[1] == preset]
        if len(same) > 1:
            yield ALL, preset, same


def _where(dataset: str, preset: str, method: Method, metric: str) -> dict[str, object]:
    keys = (*SETTING, *METHOD, "metric")
    return {**dict(zip(keys, (dataset, preset, *method, metric), strict=True)), "unit": METRICS[metric].unit}


def _table(rows: list[dict], columns: tuple[str, ...]) -> Table:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns))


SUMMARY_COLUMNS = (
    *SETTING,
    *METHOD,
    *("metric", "unit", "statistic"),
    *INTERVAL_COLUMNS,
    *("sd", "diverged", "unfinished"),
)


def summary(values: Table) -> Table:
    """Mean and interquartile mean of every method and metric, with 95 % intervals over seeds: SUMMARY_COLUMNS.

    `statistic` is "mean" or "iqm"; `estimate`, `low`, `high` and `sd` (over seeds) are in `unit`. `n` seeds have a
    value; `diverged` and `unfinished` runs have none. `method` names how the interval was made, or why there is none.
    Rows of dataset ALL average the datasets of a preset (`n`: of the dataset with the fewest seeds), for methods that
    have a value on each of them. Raises ValueError for a table with many values per run.
    """
    scores = Values(values)
    rows = []
    for dataset, preset, settings in _groups(scores):
        for method, metric in itertools.product(scores.methods(settings), scores.metrics):
            strata = [array(values) for values in scores.strata(settings, method, metric)]
            left_out = {how: scores.ended(settings, method, metric, how) for how in ("diverged", "unfinished")}
            # a method whose runs all diverged still has its line
            if all(map(len, strata)) or (dataset != ALL and any(left_out.values())):
                shared = {**_where(dataset, preset, method, metric), **left_out}
                shared["sd"] = np.std(strata[0], ddof=1) if dataset != ALL and len(strata[0]) > 1 else np.nan
                for statistic in get_args(Statistic):
                    rows.append({**shared, "statistic": statistic, **asdict(interval(strata, statistic))})
    return _table(rows, SUMMARY_COLUMNS)


DIFFERENCE_COLUMNS = (
    *SETTING,
    *METHOD,
    *("reference_estimator", "reference_posterior", "metric", "unit"),
    *INTERVAL_COLUMNS,
    *("p", "p_holm", "comparisons", "p_sign_flip", "p_sign_flip_smallest"),
    *("improvement", "improvement_low", "improvement_high", "improvement_method"),
    *("equal", "verdict"),
)


def paired_differences(values: Table, reference: Method) -> Table:
    """Every method against the reference, seed by seed: DIFFERENCE_COLUMNS.

    `estimate` is the mean over the n shared seeds of a value less that of the reference, in `unit`, with its 95 %
    interval. `p` is that of the paired t test (`paired_t_test`), `p_holm` the same after Holm's correction for all
    `comparisons` of the metric (those of single datasets are one family, those over all datasets another);
    `p_sign_flip` assumes no distribution and cannot be less than `p_sign_flip_smallest`. `improvement` is the
    probability that a run of the method is better than one of the reference, whichever way is better. `equal`: on
    every shared seed. `verdict`: "better" or "worse" (p_holm under 0.05), "not separable", "equal", "no shared seed",
    or "2 seeds: no interval".

    Raises ValueError for a reference that has no runs, and for a table with many values per run.
    """
    scores = Values(values)
    known = scores.methods(scores.settings)
    if reference not in known:
        listed = "; ".join(", ".join(method) for method in known) or "there are none"
        raise ValueError(f"no runs of {', '.join(reference)} to compare with; try one of: {listed}")
    rows = []
    for dataset, preset, settings in _groups(scores):
        for method, metric in itertools.product(scores.methods(settings), scores.metrics):
            mine, theirs = (scores.strata(settings, one, metric) for one in (method, reference))
            if method != reference and all(map(len, (*mine, *theirs))):
                pairs = [paired_values(x, y) for x, y in zip(mine, theirs, strict=True)]
                rows.append({**_where(dataset, preset, method, metric), **_difference(pairs, METRICS[metric].better)})
    table = _table(rows, DIFFERENCE_COLUMNS)
    table["reference_estimator"], table["reference_posterior"] = reference
    judge(table, ["metric", table["dataset"] == ALL], "not separable")
    return table


def _difference(pairs: list[tuple[Scores, Scores]], better: str) -> dict[str, object]:
    """`pairs` of a method's values and the reference's, per dataset."""
    gaps = [differences(x, y) for x, y in pairs]
    found = interval(gaps)
    mine, theirs = zip(*pairs, strict=True)
    improvement = improvement_interval(theirs, mine) if better == "lower" else improvement_interval(mine, theirs)
    return {
        **asdict(found),
        "p": paired_t_test(gaps) if found.known else np.nan,
        "p_sign_flip": sign_flip_test(gaps),
        "p_sign_flip_smallest": smallest_sign_flip_p(sum(map(len, gaps))),
        "improvement": improvement.estimate,
        "improvement_low": improvement.low,
        "improvement_high": improvement.high,
        "improvement_method": improvement.method,
        "equal": not any(gap.any() for gap in gaps),
    }


def judge(table: Table, family: list, insignificant: str) -> None:
    """Fill p_holm and comparisons from p, each group of `family` on its own, and verdict from all."""
    for _, rows in table.groupby(family):
        table.loc[rows.index, "p_holm"] = holm(rows["p"])
        table.loc[rows.index, "comparisons"] = int(rows["p"].notna().sum())
    table["verdict"] = [_verdict(row, insignificant) for row in table.to_dict("records")]


def _verdict(row: dict, insignificant: str) -> str:
    if not row["n"]:
        return "no shared seed"
    if row["equal"]:
        return "equal"
    if np.isnan(row["p_holm"]):
        return row["method"]
    if row["p_holm"] >= ALPHA:
        return insignificant
    return METRICS[row["metric"]].judged(row["estimate"])


PROFILE_COLUMNS = (*SETTING, *METHOD, "metric", "unit", "threshold", *INTERVAL_COLUMNS)


def performance_profiles(values: Table, metric: str, thresholds: object = None) -> Table:
    """Fraction of runs that are better than each threshold, with Wilson's 95 % band point by point: PROFILE_COLUMNS.

    `n` runs; one that diverged is better than no threshold. Better is higher or lower, whichever the metric has.
    Thresholds are in its unit; by default 101 from the lowest value in the table to the highest. Rows of dataset ALL
    count the runs of all datasets of a preset alike. Raises ValueError for an unknown metric.
    """
    sign = find(metric).sign
    chosen = values[values["metric"] == metric]
    scores = Values(chosen)
    known = finite(chosen["value"])
    if thresholds is None:
        thresholds = np.linspace(known.min(), known.max(), 101) if known.size else []
    levels = np.asarray(thresholds, dtype=float)
    rows = []
    for dataset, preset, settings in _groups(scores):
        for method in scores.methods(settings):
            reached = np.concatenate([array(values) for values in scores.strata(settings, method, metric)])
            n = len(reached) + scores.ended(settings, method, metric, "diverged")
            for level in levels:
                band = fraction_interval(int((sign * reached > sign * level).sum()), n)
                rows.append({**_where(dataset, preset, method, metric), "threshold": level, **asdict(band)})
    return _table(rows, PROFILE_COLUMNS)
