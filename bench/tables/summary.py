"""The summary that a sweep ends with: one line per estimator and posterior."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from bench.metrics.catalogue import METRICS
from bench.records.folder import BASELINE

if TYPE_CHECKING:
    import pandas as pd

SHOWN = {
    "psnr": ".2f",
    "ssim": ".3f",
    "lpips": ".3f",
    "rfid": ".1f",
    "elbo": ".1f",
    "bits": ".1f",
    "usage": ".2f",
    "ms_per_step": ".1f",
}
"""Metrics of the summary, with their number formats."""

Kind = tuple[str, str]
"""Estimator and posterior."""


def final_values(frame: "pd.DataFrame") -> dict[Kind, dict[str, list[float]]]:
    """Every run's last value of each metric, one list entry per seed: test rows of the `sample` readout, and costs."""
    measured = (frame["split"] == "test") & (frame["readout"] == "sample")
    chosen = frame[measured | frame["metric"].eq("ms_per_step")]
    last = chosen[chosen["step"] == chosen.groupby("run")["step"].transform("max")]
    found: dict[Kind, dict[str, list[float]]] = {}
    for row in last.sort_values("seed").itertuples():
        kind = found.setdefault((str(row.estimator), str(row.posterior)), {})
        kind.setdefault(str(row.metric), []).append(float(str(row.value)))
    return found


def summary(frame: "pd.DataFrame", states: Sequence[dict], title: str) -> Table:
    """Mean and standard deviation over seeds, best PSNR first; runs that did not end well say so.

    `states` is what `records.states` gives.
    """
    values = final_values(frame)
    shown = [metric for metric in SHOWN if any(metric in metrics for metrics in values.values())]
    table = Table(title=title, title_justify="left")
    table.add_column("estimator", no_wrap=True)
    table.add_column("posterior")
    for metric in shown:
        unit = METRICS[metric].unit
        table.add_column(metric if unit == "1" else f"{metric}\n{unit}", justify="right")
    table.add_column("runs")
    endings: dict[Kind, list[dict]] = {}
    for state in states:
        endings.setdefault((state["estimator"], state["posterior"]), []).append(state)

    def worst_last(kind: Kind) -> tuple[float, Kind]:
        known = [value for value in values.get(kind, {}).get("psnr", []) if not math.isnan(value)]
        return (-statistics.mean(known) if known else math.inf, kind)

    for kind in sorted(endings, key=worst_last):
        cells = [_cell(values.get(kind, {}).get(metric, []), SHOWN[metric]) for metric in shown]
        table.add_row(*kind, *cells, _ending(endings[kind]), style="dim" if kind[0] == BASELINE else None)
    return table


def _cell(values: list[float], form: str) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    spread = f" ±{statistics.stdev(known):{form}}" if len(known) > 1 else ""
    return f"{statistics.mean(known):{form}}{spread}"


def _ending(states: Sequence[dict]) -> str:
    counts = Counter(state.get("state", "not started") for state in states)
    words = []
    for state, count in counts.items():
        steps = [str(one["step"]) for one in states if one.get("state") == state and "step" in one]
        words.append(f"{count} {state}{' at step ' + ', '.join(steps) if steps else ''}")
    return ", ".join(words)
