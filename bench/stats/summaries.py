"""Tidy tables of estimates with their intervals, from one value per run and metric (`finals`, `at_cost`)."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from typing import get_args

import numpy as np
import pandas as pd

from bench.metrics.catalogue import METRICS, find
from bench.records.sweep import METHOD, SETTING, Table
from bench.stats.intervals import Statistic, fraction_interval, improvement_interval, interval
from bench.stats.scores import Scores, finite, holm, paired_t_test, sign_flip_test, smallest_sign_flip_p
from bench.stats.values import BySeed, Method, Setting, Values, array, differences, paired_values

ALL = "all datasets"
"""What the column `dataset` says in rows over all datasets of a preset."""
ALPHA = 0.05
"""Level of the tests, of all comparisons of a metric together."""

_WHERE = (*SETTING, *METHOD, "metric")
INTERVAL_COLUMNS = ("estimate", "low", "high", "n", "method")


def _lines(scores: Values) -> Iterator[tuple[Setting, list[Setting], Method, str]]:
    """Dataset (or ALL) and preset, the settings in it, method and metric: each setting alone, then all of a preset if
    they are several."""
    groups = [(setting, [setting]) for setting in scores.settings]
    for preset in sorted({preset for _, preset in scores.settings}):
        same = [setting for setting in scores.settings if setting[1] == preset]
        groups += [((ALL, preset), same)] if len(same) > 1 else []
    for place, settings in groups:
        for method, metric in itertools.product(scores.methods(settings), scores.metrics):
            yield place, settings, method, metric


def _where(place: Setting, method: Method, metric: str) -> dict[str, object]:
    return {**dict(zip(_WHERE, (*place, *method, metric), strict=True)), "unit": METRICS[metric].unit}


SUMMARY_COLUMNS = (*_WHERE, "unit", "statistic", *INTERVAL_COLUMNS, "sd", "diverged", "unfinished")


def summary(values: Table) -> Table:
    """Mean and interquartile mean of every method and metric, with 95 % intervals over seeds: SUMMARY_COLUMNS.

    `statistic` is "mean" or "iqm"; `estimate`, `low`, `high` and `sd` (over seeds) are in `unit`. `n` seeds have a
    value; `diverged` and `unfinished` runs have none. `method` names how the interval was made, or why there is none.
    Rows of dataset ALL average the datasets of a preset (`n`: of the dataset with the fewest seeds), for methods that
    have a value on each of them. Raises ValueError for a table with many values per run.
    """
    scores = Values(values)
    rows = []
    for place, settings, method, metric in _lines(scores):
        strata = [array(values) for values in scores.strata(settings, method, metric)]
        left_out = {how: scores.ended(settings, method, metric, how) for how in ("diverged", "unfinished")}
        alone = place[0] != ALL
        # a method whose runs all diverged still has its line
        if all(map(len, strata)) or (alone and any(left_out.values())):
            sd = np.std(strata[0], ddof=1) if alone and len(strata[0]) > 1 else np.nan
            shared = {**_where(place, method, metric), **left_out, "sd": sd}
            for statistic in get_args(Statistic):
                rows.append({**shared, "statistic": statistic, **asdict(interval(strata, statistic))})
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


DIFFERENCE_COLUMNS = (
    *(*SETTING, *METHOD, "reference_estimator", "reference_posterior", "metric", "unit", *INTERVAL_COLUMNS),
    *("p", "p_holm", "comparisons", "p_sign_flip", "p_sign_flip_smallest"),
    *("improvement", "improvement_low", "improvement_high", "improvement_method", "equal", "verdict"),
)


def paired_differences(values: Table, reference: Method) -> Table:
    """Every method against the reference, seed by seed: DIFFERENCE_COLUMNS.

    `estimate` is the mean over the n shared seeds of a value less that of the reference, in `unit`, with its 95 %
    interval. `p` is that of the paired t test (`paired_t_test`), `p_holm` the same after Holm's correction for all
    `comparisons` of the metric (those of single datasets are one family, those over all datasets another);
    `p_sign_flip` assumes no distribution and cannot be less than `p_sign_flip_smallest`. `improvement` is the
    probability that a run of the method is better than one of the reference, whichever way is better; higher, where
    neither is. `equal`: on every shared seed. `verdict`: "better" or "worse" (p_holm under 0.05; "higher" or "lower"
    where neither end is better), "not separable", "equal", "no shared seed", or "2 seeds: no interval".

    Raises ValueError for a reference that has no runs, and for a table with many values per run.
    """
    scores = Values(values)
    known = scores.methods(scores.settings)
    if reference not in known:
        listed = "; ".join(", ".join(method) for method in known) or "there are none"
        raise ValueError(f"no runs of {', '.join(reference)} to compare with; try one of: {listed}")
    rows = []
    for place, settings, method, metric in _lines(scores):
        mine, theirs = (scores.strata(settings, one, metric) for one in (method, reference))
        if method != reference and all(map(len, (*mine, *theirs))):
            pairs = [paired_values(x, y) for x, y in zip(mine, theirs, strict=True)]
            rows.append({**_where(place, method, metric), **_difference(pairs, METRICS[metric].better)})
    table = _judged(rows, DIFFERENCE_COLUMNS, "not separable")
    table["reference_estimator"], table["reference_posterior"] = reference
    return table


def _difference(pairs: list[tuple[Scores, Scores]], better: str) -> dict[str, object]:
    """`pairs` of a method's values and the reference's, per dataset."""
    gaps = [differences(x, y) for x, y in pairs]
    mine, theirs = zip(*pairs, strict=True)
    improvement = improvement_interval(theirs, mine) if better == "lower" else improvement_interval(mine, theirs)
    return {
        **_tested(gaps),
        "p_sign_flip": sign_flip_test(gaps),
        "p_sign_flip_smallest": smallest_sign_flip_p(sum(map(len, gaps))),
        **improvement.columns("improvement"),
        "improvement_method": improvement.method,
    }


def _tested(gaps: list[Scores]) -> dict[str, object]:
    """Paired differences per dataset: their mean, its interval and test, and whether all are zero."""
    found = interval(gaps)
    p = paired_t_test(gaps) if found.known else np.nan
    return {**asdict(found), "p": p, "equal": any(map(len, gaps)) and not any(gap.any() for gap in gaps)}


def _judged(rows: list[dict], columns: tuple[str, ...], insignificant: str) -> Table:
    """With p_holm and comparisons from p, by metric and apart for rows of ALL, and verdict from all."""
    table = pd.DataFrame(rows, columns=columns)
    for _, family in table.groupby(["metric", table["dataset"] == ALL]):
        table.loc[family.index, "p_holm"] = holm(family["p"])
        table.loc[family.index, "comparisons"] = int(family["p"].notna().sum())
    return table.assign(verdict=[_verdict(row, insignificant) for row in table.to_dict("records")])


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


MOVED_COLUMNS = (
    *(*_WHERE, "unit", "before", "after", "n_before", "n_after", *INTERVAL_COLUMNS),
    *("p", "p_holm", "comparisons", "equal", "verdict"),
)


def moved(before: Table, after: Table) -> Table:
    """What changed from one sweep to another, seed by seed, per dataset, preset, method and metric: MOVED_COLUMNS.

    Both are tables of values (`finals`, `at_cost`). `before` and `after` are means over the n shared seeds; where there
    is none, over their own (`n_before` and `n_after` of them; NaN where a sweep has none). `estimate` is the mean of
    after - before, in `unit`, with its 95 % interval. `p_holm` corrects the paired t test for all `comparisons` of the
    metric. `equal`: on every shared seed. `verdict`: "better" or "worse" ("higher" or "lower" where neither end of the
    metric is better), "within seed noise", "equal", "only before", "only after", "no shared seed", or "2 seeds: no
    interval". Raises ValueError for a table with many values per run.
    """
    old, new = Values(before), Values(after)
    rows = []
    for setting in sorted({*old.settings, *new.settings}):
        for method in sorted({*old.methods([setting]), *new.methods([setting])}):
            for metric in METRICS:
                key = setting, method, metric
                if len(old(*key)) or len(new(*key)):
                    rows.append({**_where(setting, method, metric), **_change(old(*key), new(*key))})
    table = _judged(rows, MOVED_COLUMNS, "within seed noise")
    table.loc[table["n_before"] == 0, "verdict"] = "only after"
    table.loc[table["n_after"] == 0, "verdict"] = "only before"
    return table


def _change(old: BySeed, new: BySeed) -> dict[str, object]:
    earlier, later = paired_values(old, new)
    gaps = differences(later, earlier)
    means = (interval([x]).estimate for x in ((earlier, later) if len(gaps) else (array(old), array(new))))
    columns = ("before", "after", "n_before", "n_after")
    return {**dict(zip(columns, (*means, len(old), len(new)), strict=True)), **_tested([gaps])}


PROFILE_COLUMNS = (*_WHERE, "unit", "threshold", *INTERVAL_COLUMNS)


def performance_profiles(values: Table, metric: str, thresholds: object = None) -> Table:
    """Fraction of runs that are better than each threshold, with Wilson's 95 % band point by point: PROFILE_COLUMNS.

    `n` runs; one that diverged is better than no threshold. Better is higher or lower, whichever the metric has, and
    higher where neither is.
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
    for place, settings, method, _ in _lines(scores):
        reached = np.concatenate([array(values) for values in scores.strata(settings, method, metric)])
        n = len(reached) + scores.ended(settings, method, metric, "diverged")
        for level in levels:
            band = fraction_interval(int((sign * reached > sign * level).sum()), n)
            rows.append({**_where(place, method, metric), "threshold": level, **asdict(band)})
    return pd.DataFrame(rows, columns=PROFILE_COLUMNS)
