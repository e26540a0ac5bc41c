"""Two sweeps of the same methods: which metrics moved by more than seed noise."""

from dataclasses import asdict

import numpy as np

from bench.metrics.catalogue import METRICS
from bench.records.sweep import METHOD, SETTING, Table
from bench.stats.intervals import interval
from bench.stats.scores import paired_t_test
from bench.stats.summaries import INTERVAL_COLUMNS, judge
from bench.stats.values import BySeed, Values, array, differences, paired_values

MOVED_COLUMNS = (
    *SETTING,
    *METHOD,
    *("metric", "unit", "before", "after", "n_before", "n_after"),
    *INTERVAL_COLUMNS,
    *("p", "p_holm", "comparisons", "equal", "verdict"),
)


def moved(before: Table, after: Table) -> Table:
    """What changed from one sweep to another, seed by seed, per dataset, preset, method and metric: MOVED_COLUMNS.

    Both are tables of values (`finals`, `at_cost`). `before` and `after` are means over their own seeds (`n_before`,
    `n_after` of them; NaN where a sweep has none); `estimate` is the mean over the n shared seeds of after - before, in
    `unit`, with its 95 % interval. `p_holm` corrects the paired t test for all `comparisons` of the metric. `equal`: on
    every shared seed. `verdict`: "better", "worse", "within seed noise", "equal", "only before", "only after",
    "no shared seed", or "2 seeds: no interval". Raises ValueError for a table with many values per run.
    """
    old, new = Values(before), Values(after)
    rows = []
    for setting in sorted({*old.settings, *new.settings}):
        for method in sorted({*old.methods([setting]), *new.methods([setting])}):
            for metric in METRICS:
                key = setting, method, metric
                if len(old(*key)) or len(new(*key)):
                    where = dict(zip((*SETTING, *METHOD, "metric"), (*setting, *method, metric), strict=True))
                    rows.append({**where, "unit": METRICS[metric].unit, **_change(old(*key), new(*key))})
    table = _table(rows)
    judge(table, ["metric"], "within seed noise")
    table.loc[table["n_before"] == 0, "verdict"] = "only after"
    table.loc[table["n_after"] == 0, "verdict"] = "only before"
    return table


def _table(rows: list[dict]) -> Table:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(MOVED_COLUMNS))


def _change(old: BySeed, new: BySeed) -> dict[str, object]:
    earlier, later = paired_values(old, new)
    gaps = differences(later, earlier)
    found = interval([gaps])
    return {
        **{"before": interval([array(old)]).estimate, "after": interval([array(new)]).estimate},
        **{"n_before": len(old), "n_after": len(new)},
        **asdict(found),
        "p": paired_t_test([gaps]) if found.known else np.nan,
        "equal": len(gaps) > 0 and not gaps.any(),
    }
