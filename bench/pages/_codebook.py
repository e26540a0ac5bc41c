"""How much of the vocabulary every latent position uses, per method."""

import math
from typing import Any

from bench.pages._curves import significant
from bench.pages._sweep import Setting

MEASURES = ("usage", "perplexity")
COLUMNS = 64
"""Of the map. More positions than this share columns."""
ROWS = 60
"""Methods in the map."""


def codebook(setting: Setting, shown: list[int]) -> dict[str, Any] | None:
    """Mean over seeds at the last evaluation, per method and position; None where nothing was measured.

    `values` holds, by measure and method, a value per column of the map; a column stands for `per_column` positions.
    """
    rows = _last(setting, shown)
    if rows.empty:
        return None
    positions = int(rows["position"].max()) + 1
    per_column = math.ceil(positions / COLUMNS)
    rows = rows.assign(column=rows["position"] // per_column)
    values = {}
    for measure, mine in rows.groupby("measure"):
        table = mine.pivot_table("value", "method", "column", aggfunc="mean")
        values[measure] = {int(method): significant(cells) for method, cells in table.iterrows()}
    shown = [method for method in shown if any(method in mine for mine in values.values())][:ROWS]
    return {
        "positions": positions,
        "per_column": per_column,
        "methods": shown,
        "vocab": _vocab(setting),
        "values": {
            measure: {m: values[measure][m] for m in shown if m in values[measure]}
            for measure in MEASURES
            if measure in values
        },
    }


def _last(setting: Setting, shown: list[int]) -> Any:
    """Rows named usage/0, usage/1, ... of the last evaluation, with columns `measure` and `position`."""
    frame = setting.frame
    names = {}
    for name in frame["metric"].unique():
        measure, _, position = name.partition("/")
        if measure in MEASURES and position.isdecimal():
            names[name] = (measure, int(position))
    chosen = frame["metric"].isin(names) & (frame["split"] == "test") & (frame["readout"] == "sample")
    rows = frame[chosen & frame["method"].isin(shown) & frame["run"].isin(setting.counted)].dropna(subset="value")
    rows = rows[rows["step"] == rows.groupby("run")["step"].transform("max")]
    measures = rows["metric"].map({name: measure for name, (measure, _) in names.items()})
    return rows.assign(measure=measures, position=rows["metric"].map({name: p for name, (_, p) in names.items()}))


def _vocab(setting: Setting) -> int | None:
    """The largest vocabulary, where perplexity ends."""
    sizes = [run.config.get("vocab") for run in setting.compared]
    return max((size for size in sizes if isinstance(size, int)), default=None)
