"""What the gradient lab leaves: a table, and figures of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table as RichTable

from bench import figures, records

Table = Any
"""A pd.DataFrame, whose columns type checkers cannot know."""


def report(rows: Iterable[dict[str, object]], folder: Path) -> tuple[RichTable, list[Path]]:
    """Write the rows of `gradients.measure` or `gradients_of_run.measure` into a folder opened with
    `records.open_sweep`; returns the table to print and the files that were written."""
    frame = pd.DataFrame(list(rows), columns=list(records.COLUMNS))
    records.write_table(frame, folder)
    drawn = figures.draw(records.of_table(frame), folder / "figures")
    return _summary(frame), [folder / "results.parquet", folder / "results.csv", *drawn]


def _summary(frame: Table) -> RichTable:
    """One line per posterior, step and estimator, and one per estimator that was left out, with its reason."""
    metrics = [metric for metric in dict.fromkeys(frame["metric"]) if metric != "skipped"]
    table = RichTable("posterior", "step", "estimator", "decodes", *metrics)
    for column in table.columns[3:]:
        column.justify = "right"
    measured = frame[frame["metric"] != "skipped"]
    for (posterior, step, estimator), group in measured.groupby(["posterior", "step", "estimator"], sort=False):
        values = dict(zip(group["metric"], group["value"], strict=True))
        cells = [f"{values[metric]:.4g}" if metric in values else "" for metric in metrics]
        table.add_row(posterior, str(step), estimator, str(group["decodes"].max()), *cells)
    left_out = frame[frame["metric"] == "skipped"].drop_duplicates(["estimator", "posterior", "readout"])
    reasons = [f"without {row.estimator} ({row.posterior}): {row.readout}" for row in left_out.itertuples()]
    table.caption, table.caption_justify = "\n".join(reasons) or None, "left"
    return table
