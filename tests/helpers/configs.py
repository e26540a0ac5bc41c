"""Runs that tests make: resolved from presets, and small enough to train in a moment."""

from bench import data
from bench.build import PixelStatistics
from bench.config import Preset, RunConfig, resolve
from estimators import CORE, available

SHAPE = (3, 32, 32)
DIGITS = data.load("digits")
PIXELS = PixelStatistics(*data.pixel_statistics(DIGITS.train))
SMALL = {"steps": 9, "eval_every": 4, "log_every": 3, "batch_size": 16, "eval_images": 40}
SPECS = sorted({*CORE, *available()})
TINY = ["--preset", "quick", "--steps", "6", "--set", "eval_every=3", "--set", "log_every=2", "--set", "batch_size=16"]
"""On the command line."""


def config(estimator: str = "daps", *, family: str = "cifar10", preset: str = "quick", **changes) -> RunConfig:
    overrides = changes.pop("overrides", {})
    given = {
        "posterior": "factorised",
        "seed": 0,
        "device": "cpu",
        "dataset": family,
        "fingerprint": "f",
        "shape": SHAPE,
        "metrics": ("psnr",),
    }
    return resolve(estimator=estimator, preset=Preset(family, preset), overrides=overrides, **{**given, **changes})


def tiny(spec: str, posterior: str = "factorised", **changes) -> RunConfig:
    """Of digits, a few steps."""
    vocab = {"vocab": 4} if spec.startswith(("carms", "exact")) else {}
    overrides = {**SMALL, **vocab, **changes}
    return config(spec, family="digits", posterior=posterior, shape=DIGITS.shape, overrides=overrides)
