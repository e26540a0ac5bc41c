"""A sweep's folder as an ablation: its settings, what they are called, and the numbers of their runs."""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import records, stats
from bench.ablation._settings import Setting, named
from bench.machine.files import read_json
from bench.metrics.catalogue import METRICS
from bench.pages._sweep import Run, read
from bench.records.folder import BASELINE
from bench.records.study import FILE, setting_key

Table = Any
"""A pd.DataFrame. Without stubs a type checker takes its columns for bare arrays and objects."""

QUALITY = ("psnr", "ssim", "lpips", "rfid", "elbo")
"""The first that was measured ranks the settings."""
SHOWN = (*QUALITY, "bits", "usage", "ms_per_step")
TERMS = {
    "term/eta": "η [nats]",
    "term/ess": "ESS / K",
    "realised_kl": "KL(new ‖ old) of a step [nats]",
    "term/max_weight": "largest weight",
    "term/entropy": "entropy of q [nats]",
}
"""Diagnostics of training, with what they are called."""
ESS_QUANTILES = ("term/ess_p10", "term/ess_p90")
ENDED = ("done", "diverged")


@dataclass(frozen=True)
class Study:
    path: Path
    name: str
    about: str
    settings: list[Setting]
    knobs: list[str]
    """What varies within a condition and an estimator."""
    noun: str
    """What a family is: rule, estimator, case."""
    left_out: Mapping[str, Sequence[str]]
    """Settings that were impossible, by the reason."""
    runs: list[Run]
    """Without the baseline; also those that never started, and belong to no setting."""
    frame: Table
    """Rows of the runs that ended, columns as in `bench.records`, with the label as the estimator, and `setting`, an
    index into `settings`."""
    mean_image: float
    """PSNR of the mean training image in dB; NaN if it was not measured."""

    @functools.cached_property
    def metric(self) -> str | None:
        """That ranks."""
        return next((metric for metric in QUALITY if (self.finals["metric"] == metric).any()), None)

    @functools.cached_property
    def conditions(self) -> list[str]:
        return list(dict.fromkeys(setting.condition for setting in self.settings))

    @functools.cached_property
    def families(self) -> list[str]:
        return list(dict.fromkeys(family for setting in self.settings for family in setting.families))

    def numeric(self, knob: str) -> bool:
        values = [value for setting in self.settings if (value := setting.config.get(knob)) is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)

    def of_condition(self, condition: str) -> list[int]:
        return [index for index, setting in enumerate(self.settings) if setting.condition == condition]

    @functools.cached_property
    def _rows(self) -> dict[tuple[int, str], Table]:
        return {(int(index), str(name)): rows for (index, name), rows in self.frame.groupby(["setting", "metric"])}

    def rows(self, index: int, name: str) -> Table:
        """Of a setting and a metric."""
        return self._rows.get((index, name), self.frame.iloc[:0])

    @functools.cached_property
    def scores(self) -> dict[str, Table]:
        """`stats.finals` of each condition, with `setting`."""
        found = {}
        for condition in self.conditions:
            mine = self.of_condition(condition)
            rows = self.frame[self.frame["setting"].isin(mine)]
            index = {(self.settings[i].label, self.settings[i].posterior): i for i in mine}
            values = stats.finals(rows)
            values = values[values["metric"].isin(SHOWN)]
            keys = zip(values["estimator"], values["posterior"], strict=True)
            found[condition] = values.assign(setting=[index[key] for key in keys])
        return found

    @functools.cached_property
    def finals(self) -> Table:
        """Mean and interval over seeds, a row per setting and metric: `setting`, `metric`, `estimate`, `low`, `high`,
        `n`, `sd`, `diverged`, ... as in `stats.summary`. Without those that have no value."""
        import pandas as pd

        tables = []
        for values in self.scores.values():
            index = values.drop_duplicates(["estimator", "posterior"]).set_index(["estimator", "posterior"])["setting"]
            summary = stats.summary(values)
            summary = summary[(summary["statistic"] == "mean") & summary["estimate"].notna()]
            tables.append(summary.join(index, on=["estimator", "posterior"]))
        return pd.concat(tables, ignore_index=True)

    @functools.cached_property
    def means(self) -> dict[tuple[int, str], float]:
        """By setting and metric."""
        keys = zip(self.finals["setting"], self.finals["metric"], strict=True)
        return dict(zip(keys, self.finals["estimate"], strict=True))

    def best(self, indices: Iterable[int]) -> int | None:
        """The setting with the best mean in the metric that ranks."""
        if self.metric is None:
            return None
        sign = -1 if METRICS[self.metric].better == "lower" else 1
        scored = [index for index in indices if (index, self.metric) in self.means]
        return max(scored, key=lambda index: sign * self.means[index, str(self.metric)], default=None)


def study(folder: Path) -> Study:
    """Raises ValueError if `folder` is not one that `bench run` or `bench ablate` made, or nothing in it has ended."""
    sweep = read(folder)
    record = read_json(folder / FILE)
    runs = [run for run in sweep.runs if run.estimator != BASELINE]
    started = [run for run in runs if "arguments" in run.config]
    if not any(run.state in ENDED for run in started):
        raise ValueError(f"no run in {folder} has come to its end yet; the command that made it goes on from there")
    grouped: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in started:
        grouped[*run.setting, setting_key(run.config)].append(run)
    origins = record.get("settings", {})
    # in the order of the ablation, which put its rules and their values into one
    order = {key: place for place, key in enumerate(origins)}
    keys = sorted(grouped, key=lambda key: (order.get(key[-1], len(order)), natural(grouped[key][0].estimator), key))
    settings, names = named([(grouped[key], origins.get(key[-1], [])) for key in keys])
    index = {run.name: place for place, setting in enumerate(settings) for run in setting.runs}
    ended = {run.name for run in started if run.state in ENDED}
    frame = records.load(folder, metric=[*SHOWN, *TERMS, *ESS_QUANTILES, "diverged"])
    text = dict.fromkeys(("run", "estimator", "posterior", "dataset", "preset", "split", "metric"), str)
    frame = frame.astype(text)
    mean_image = frame[(frame["estimator"] == BASELINE) & (frame["split"] == "test") & (frame["metric"] == "psnr")]
    frame = frame[frame["run"].isin(ended)]
    frame = frame.assign(setting=frame["run"].map(index).astype(int))
    frame = frame.assign(estimator=[settings[place].label for place in frame["setting"]])
    return Study(
        path=folder,
        name=str(record.get("name") or folder.resolve().name),
        about=str(record.get("about", "")),
        settings=settings,
        knobs=names.knobs,
        noun=str(record.get("noun") or names.noun),
        left_out=record.get("left_out", {}),
        runs=runs,
        frame=frame,
        mean_image=float(mean_image["value"].iloc[-1]) if len(mean_image) else np.nan,
    )


def natural(text: str) -> list[tuple[int, float, str]]:
    """Key for sorting texts with numbers in them by size."""
    pieces = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", text)
    return [(1, float(piece), "") if place % 2 else (0, 0.0, piece) for place, piece in enumerate(pieces)]
