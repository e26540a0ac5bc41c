"""Sweeps of one evaluation, whose scores are given."""

from pathlib import Path

from bench import records
from bench.records.folder import RunFolder
from bench.text import slug


def sweep(folder: Path, scores: dict[str, list[float]], *, dataset="digits", suffix="", **settings) -> Path:
    """One run per estimator and seed, whose PSNR is given; `settings` go to every config."""
    records.open_sweep(folder)
    for estimator, values in scores.items():
        for seed, value in enumerate(values):
            run = RunFolder(folder, slug(f"{estimator}-{seed}{suffix}"))
            columns = {"posterior": "factorised", "dataset": dataset, "preset": "quick", "device": "cpu"}
            identity = {"run": run.run, "estimator": estimator, "seed": seed, **columns}
            provenance = {"git": "abc", "versions": {"torch": "2"}, "hardware": {"cpu": "x"}}
            config = {key: value for key, value in identity.items() if key != "run"}
            run.start(identity, {**config, "lr": 1e-3, "arguments": {"k": 8}, **settings}, provenance)
            where = {"step": 10, "images": 1, "decodes": 1, "seconds": 1.0, "split": "test", "readout": "sample"}
            rows = {"psnr": value, "elbo": float("nan")}
            run.append({**where, "metric": name, "value": number, "n": 9} for name, number in rows.items())
            run.finish("done")
    return folder


def near(middle: float, spread: float = 0.01) -> list[float]:
    return [middle + spread * gap for gap in (-1.0, 0.3, 1.0, -0.2, 0.1)]
