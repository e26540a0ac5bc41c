"""Sweeps for the tests of figures, and what can be read off a figure."""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from helpers.synthetic_sweep import add_run, new_sweep
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from scipy import stats as scipy_stats

from bench import records
from bench.figures.sheet import Drawing, Sheet
from bench.figures.themes import THEMES
from bench.metrics import catalogue
from estimators import CORE

ESTIMATORS = tuple(name for name in CORE if name != "daps_local" and ":k=" not in name)
QUANTIZERS = ("vq", "vq:codebook=ema", "fsq")
LUCK = (0.0, 0.3, -0.2, 0.1)
STEPS = (0, 50, 100)


def run_name(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def one_run(estimator, posterior, seed, *, steps=(0, 100, 200, 300, 400), positions=16, preset="quick"):
    """Rows of one run: curves that rise at a rate and to a level of the estimator's own, with noise."""
    rng = np.random.default_rng([seed, *f"{estimator} {posterior}".encode()])
    level = np.random.default_rng([*f"{estimator} {posterior}".encode()]).uniform(0.5, 1)
    pace = 0.02 * (1 + len(estimator) % 4)
    common = {
        "run": run_name(estimator, posterior, seed, preset),
        "estimator": estimator,
        "posterior": posterior,
        "dataset": "digits",
        "preset": preset,
        "seed": seed,
        "device": "cpu",
    }
    rows = []

    def add(step, split, readout, metric, value):
        cost = {"images": 32 * step, "decodes": 256 * step, "seconds": pace * step * (1 + 0.05 * seed)}
        what = {"split": split, "readout": readout, "metric": metric, "value": float(value), "n": 360}
        rows.append(common | {"step": step} | cost | what)

    for step in steps:
        progress = level * (1 - np.exp(-3 * step / max(*steps, 1))) + rng.normal(0, 0.01)
        elbo = np.nan if estimator in QUANTIZERS else -60 + 45 * progress - (400 if step == 0 else 0)
        values = {
            "psnr": 9 + 9 * progress,
            "ssim": 0.9 * progress,
            "lpips": 0.6 - 0.4 * progress,
            "rfid": 220 - 150 * progress,
            "elbo": elbo,
            "usage": 0.2 + 0.7 * progress,
            "perplexity": 4 + 40 * progress,
        }
        for metric, value in values.items():
            shown = catalogue.readout(metric)
            add(step, "test", shown, metric, value)
            # A readout that must not reach a figure: it would be seen at once.
            add(step, "test", "mode" if shown == "sample" else "sample", metric, value + 1000)
        add(step, "train", "", "grad_norm", 1.0)
    for position in range(positions):
        add(steps[-1], "test", "mode", f"usage/{position}", level * rng.uniform(0.3, 0.9))
    add(steps[-1], "train", "", "ms_per_step", 12.0)
    return rows


def baseline_rows():
    rows = one_run("baseline:mean", "none", 0, steps=(0,), positions=0)
    fixed = {"psnr": 9.5, "ssim": 0.2, "lpips": 0.55, "rfid": 200.0}
    return [row | {"value": fixed[row["metric"]]} for row in rows if row["metric"] in fixed]


def table_of(estimators=ESTIMATORS, posteriors=("factorised", "causal"), seeds=(0, 1, 2), **kwargs) -> pd.DataFrame:
    rows = baseline_rows()
    for estimator in estimators:
        for posterior in posteriors:
            if posterior == "factorised" or estimator not in QUANTIZERS:
                for seed in seeds:
                    rows += one_run(estimator, posterior, seed, **kwargs)
    return pd.DataFrame(rows)


def diverge(frame: pd.DataFrame, runs: pd.Series, step: int) -> pd.DataFrame:
    """The same table if those runs had met a non-finite loss right after `step`."""
    lost = frame[runs & (frame["step"] <= step)]
    rows = lost.drop_duplicates("run").assign(split="train", readout="", metric="diverged", value=step + 1)
    return pd.concat([frame[~runs], lost, rows])


def values_at(frame: pd.DataFrame, metric: str, step: int) -> pd.DataFrame:
    """The rows that a figure may show, picked by hand."""
    of_runs = (frame["estimator"] != "baseline:mean") & (frame["readout"] == catalogue.readout(metric))
    return frame[of_runs & (frame["metric"] == metric) & (frame["step"] == step)].dropna(subset="value")


def usual(path: Path, *, seeds: int = 4, baseline: float = 15.0) -> Path:
    """Two estimators with both posteriors, one with its own posterior and rate, and one run of it diverged."""
    sweep = new_sweep(path)
    for seed, luck in enumerate(LUCK[:seeds]):
        shared = {"ssim": 0.8 + 0.01 * luck, "usage": 0.5 + 0.1 * luck, "perplexity": 30 + luck, "rfid": 90 - luck}
        for posterior, lower in (("factorised", 0.0), ("causal", 1.0)):
            mine = {**shared, "elbo": -40 + luck, "bits": 18.0 + lower}
            add_run(sweep, "daps:k=16", posterior, seed, psnr=19 - lower + luck, metrics=mine, decodes_per_image=16)
            add_run(
                sweep, "gumbel_softmax", posterior, seed, psnr=18 - 2 * lower - luck, metrics=mine, steps=(0, 40, 80)
            )
        fixed = {**shared, "bits": 24.0}
        state = "diverged" if seed == 3 else "done"
        add_run(sweep, "vq", "factorised", seed, psnr=20 + 2 * luck, metrics=fixed, state=state)
    add_run(sweep, "baseline:mean", "none", psnr=baseline, steps=[0], positions=0, config={})
    return sweep


def crowded(path: Path) -> Path:
    """25 estimators with long and odd names, both posteriors."""
    sweep = new_sweep(path)
    for place, posterior in itertools.product(range(25), ("factorised", "causal")):
        name = f"plugin_{place}:temperature=0.{place},a_rather_long_argument=true,tau=${place}_%"
        level = 18 + 0.1 * place - (posterior == "causal")
        more = {"elbo": -1e6 - place, "bits": 10 + place / 7, "rfid": 100 - place, "usage": place / 30}
        steps = (0, 50, 100 + place)
        add_run(sweep, name, posterior, psnr=level, metrics=more, decodes_per_image=1 + place, steps=steps)
    return sweep


def lonely(path: Path) -> Path:
    """One seed of two estimators, PSNR alone."""
    sweep = new_sweep(path)
    for name, psnr in (("daps", 20.0), ("fsq", 19.0)):
        add_run(sweep, name, psnr=psnr)
    return sweep


def sheet_of(source: Path | pd.DataFrame, theme: str = "paper", runs: Path = Path()) -> Sheet:
    """Of the only dataset and preset."""
    table = isinstance(source, pd.DataFrame)
    sweep = replace(records.of_table(source), path=runs) if table else records.read(source)
    [comparison] = sweep.comparisons
    return Sheet(comparison, THEMES[theme], sweep.path / "runs")


def made(build: Callable[[Sheet], Drawing | None], sheet: Sheet) -> Drawing:
    with sheet.theme.applied():
        drawing = build(sheet)
    assert drawing is not None
    return drawing


def panel(figure: Figure, words: str):
    [ax] = [ax for ax in figure.axes if words in ax.get_xlabel()]
    return ax


def lines(ax, gid: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == gid]


def dots(ax, gid: str) -> np.ndarray:
    found = [np.ma.filled(c.get_offsets(), np.nan) for c in ax.collections if c.get_gid() == gid]
    return np.concatenate(found) if found else np.zeros((0, 2))


def bands(ax) -> list:
    return [path for c in ax.collections if c.get_gid() == "interval" for path in c.get_paths()]


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def row_names(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def t_interval(values) -> tuple[float, float]:
    return scipy_stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values))


def printed(figure: Figure) -> list[Text]:
    """Texts that are printed: matplotlib keeps ticks past the ends of an axis."""
    figure.draw_without_rendering()
    ticks = {}
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                ticks |= dict.fromkeys((tick.label1, tick.label2), low <= tick.get_loc() <= high)
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text for text in texts if ticks.get(text, True)]


def whole(figure: Figure) -> list[tuple[str, Bbox]]:
    """The texts with their boxes, all within the figure."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in printed(figure)]
    assert boxes
    for text, box in boxes:
        assert box.x0 >= -0.5, text
        assert box.y0 >= -0.5, text
        assert box.x1 <= figure.bbox.x1 + 0.5, text
        assert box.y1 <= figure.bbox.y1 + 0.5, text
    return boxes


def overlapping(boxes: list[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    return [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)]
