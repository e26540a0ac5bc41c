"""Ablations without training: planned and recorded as real ones are, with made-up measurements."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench import ablation, records
from bench.config import Posterior, Preset, RunConfig, resolve
from bench.records.folder import RUN_COLUMNS, RunFolder, State
from bench.sweeps.plan import Variant
from bench.training.run import baseline_columns

SHAPE = (1, 8, 8)
LOGGED = 4
Score = Callable[[RunConfig], float]
"""PSNR of a setting, before seed noise."""


PRESET = Preset("digits", "quick")
"""With rules that stay what they are when somebody tunes the shipped ones."""
PRESET.rules = [{"estimator": "daps", "arguments": {"eta": 1.0, "eta_lr": 0.01}}]


def digits_plan(
    name: str,
    *grids: str,
    estimators: Sequence[str] = (),
    posteriors: Sequence[Posterior] = ("factorised",),
    settings: Mapping[str, object] | None = None,
) -> ablation.Plan:
    """Of `bench ablate NAME --dataset digits --preset quick`."""
    return ablation.expand(
        ablation.find(name, estimators, grids),
        posteriors=posteriors,
        preset=PRESET,
        dataset="digits",
        shape=SHAPE,
        settings=settings or {},
    )


def config_of(variant: Variant, seed: int = 0) -> RunConfig:
    return resolve(
        estimator=variant.estimator,
        posterior=variant.posterior,
        preset=PRESET,
        seed=seed,
        device="cpu",
        dataset="digits",
        fingerprint="f",
        shape=SHAPE,
        metrics=("psnr",),
        overrides=variant.overrides,
    )


def add_run(folder: Path, config: RunConfig, psnr: float, *, state: State = "done", reason: str = "") -> None:
    """A run that ended so, with curves that lead to its PSNR."""
    run = RunFolder(folder, config.digest)
    columns = {column: getattr(config, column) for column in RUN_COLUMNS if column != "run"}
    run.queue({"run": config.digest, **columns})
    provenance = {"command": ["bench", "ablate", "step_size", "--dataset", "digits"], "git": "0123abc"}
    run.start({"run": config.digest, **columns}, config.model_dump(mode="json"), provenance)
    k = int(config.arguments.get("k", 1))  # type: ignore[call-overload]
    rng = np.random.default_rng([config.seed, int(config.digest, 16) % 2**32])
    cost: dict[str, float] = {}
    for place in range(1, LOGGED + 1):
        step = config.steps * place // LOGGED
        cost = {"step": step, "images": step * config.batch_size, "decodes": step * config.batch_size * k}
        cost["seconds"] = 0.001 * step * (1 + k) + 0.1
        terms = {
            "term/eta": 0.0 if "greedy" in config.estimator else 2.0**place,
            "term/ess": 0.5,
            "term/ess_p10": 0.3,
            "term/ess_p90": 0.7,
            "realised_kl": 0.01 / place,
            "term/max_weight": 0.4,
            "term/entropy": 5.0 - place / 2,
        }
        train = {**cost, "split": "train", "readout": "", "n": 64}
        if config.estimator.startswith("daps"):
            run.append({**train, "metric": metric, "value": value} for metric, value in terms.items())
        value = psnr - 2 * (1 - place / LOGGED)
        tests = {"psnr": value, "elbo": -60 + value + rng.normal(0, 0.1), "bits": 10 + math.log(1 + k)}
        test = {**cost, "split": "validation", "readout": "sample", "n": 360}
        run.append({**test, "metric": metric, "value": value} for metric, value in tests.items())
    if state == "diverged":
        run.append([{**cost, "split": "train", "readout": "", "metric": "diverged", "value": cost["step"], "n": 64}])
    run.append([{**cost, "split": "train", "readout": "", "metric": "ms_per_step", "value": 1.0 + k, "n": 64}])
    run.finish(state, **({"reason": reason} if reason else {}))


def make(folder: Path, plan: ablation.Plan, score: Score, *, seeds: int = 2, noise: float = 0.05) -> Path:
    """The folder that the plan would leave, with PSNRs of `score` plus noise that differs between runs."""
    records.open_sweep(folder)
    plan.write_record(folder)
    for variant in plan.variants:
        for seed in range(seeds):
            config = config_of(variant, seed)
            rng = np.random.default_rng([seed, int(config.digest, 16) % 2**32])
            add_run(folder, config, score(config) + noise * rng.normal())
    mean_image = baseline_columns(config_of(plan.variants[0]))
    run = RunFolder(folder, str(mean_image["run"]))
    run.queue(mean_image)
    run.start(mean_image, {}, {})
    cost = {"step": 0, "images": 0, "decodes": 0, "seconds": 0.0, "split": "validation", "readout": "sample"}
    run.append([{**cost, "metric": "psnr", "value": 11.45, "n": 360}])
    run.finish("done")
    return folder


def step_size_score(config: RunConfig) -> float:
    """PSNR: ess is best at 0.5, ess_solve and kl a little behind, eta has its optimum at 1, greedy fails."""
    a = config.arguments
    if a["step_size"] in ("ess", "ess_solve"):
        return {"ess": 17.0, "ess_solve": 16.95}[a["step_size"]] - 4 * abs((a["ess_target"] or 0.33) - 0.5)
    if a["step_size"] == "fixed":
        return 16.9 - 0.3 * math.log10(a["eta"]) ** 2
    if a["step_size"] == "greedy":
        return 12.0
    return 16.8
