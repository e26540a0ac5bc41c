"""Tables of made-up runs, for the tests of statistics."""

import itertools

import numpy as np
import pandas as pd

from bench.records import COLUMNS

A, B, C = ("a", "factorised"), ("b", "factorised"), ("c", "causal")
FAR_APART = 0.01 * np.array([0.0, 1.0, -1.0, 2.0, 0.5, -0.5, 1.5, -1.5, 0.2, -0.2, 0.7, -0.7])
"""Of seeds, in dB: noise that is small against a difference of 1."""


def run(method, seed, finals, *, dataset="digits", preset="quick", steps=(0, 100), curve=None, decodes=1, name=None):
    """Rows of one run: `finals` by metric are reached on a straight line from 0, or on `curve`, fractions of them."""
    fractions = curve or [step / steps[-1] for step in steps]
    assert len(fractions) == len(steps)
    identity = {
        "run": name or f"{dataset}-{preset}-{'-'.join(method)}-{seed}",
        **{"estimator": method[0], "posterior": method[1], "dataset": dataset, "preset": preset},
        **{"seed": seed, "device": "cpu"},
    }
    rows = []
    for (step, fraction), (metric, value) in itertools.product(zip(steps, fractions, strict=True), finals.items()):
        cost = {"step": step, "images": 10 * step, "decodes": 10 * step * decodes, "seconds": 0.5 * step}
        measured = {**identity, **cost, "metric": metric, "n": 360, "value": fraction * value}
        rows.append({**measured, "split": "test", "readout": "sample"})
        rows.append({**measured, "split": "test", "readout": "mode", "value": -99.0})
        rows.append({**measured, "split": "train", "readout": "sample", "value": -99.0})
    return rows


def table(*rows):
    return pd.DataFrame(list(itertools.chain(*rows)), columns=list(COLUMNS))


def several(method, values, metric="psnr", **kwargs):
    """A run per value, seeds from 0."""
    return list(itertools.chain(*(run(method, seed, {metric: value}, **kwargs) for seed, value in enumerate(values))))


def diverged(method, seed, **kwargs):
    rows = run(method, seed, {"psnr": 3.0}, **kwargs)
    last = {**rows[-1], "split": "train", "readout": "", "metric": "diverged", "value": 40.0}
    return [*rows, last]


def only(frame, **wanted):
    """The one row that has these entries."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]
