"""Sweeps without training, for what reads them."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bench.metrics import catalogue
from bench.records import open_sweep
from bench.records.folder import RunFolder, State

STEPS = (0, 50, 100)
HARDWARE = {"cpu": "A processor", "cores": 2, "threads": 1}
COMMAND = ["/home/me/.venv/bin/bench", "run", "--estimator", "daps,vq", "--dataset", "digits"]
SIDE, IMAGES = 8, 12
VALIDATION = 0.004
"""How much better all is on validation images: a view of the wrong split prints another number."""


def new_sweep(path: Path) -> Path:
    open_sweep(path)
    return path


def originals(side: int = SIDE, width: int | None = None) -> np.ndarray:
    """Test images, the same for every run: [n, h, w, 3]."""
    return np.random.default_rng(0).integers(0, 256, (IMAGES, side, width or side, 3), dtype=np.uint8)


def add_run(
    sweep: Path,
    estimator: str = "daps",
    posterior: str = "factorised",
    seed: int = 0,
    *,
    state: State = "done",
    status: Mapping[str, object] | None = None,
    psnr: float | None = 20.0,
    metrics: Mapping[str, float] | None = None,
    curves: Mapping[str, float] | None = None,
    steps: Iterable[int] = STEPS,
    n: int = 360,
    decodes_per_image: int = 1,
    parameters: float = 1000.0,
    positions: int = 4,
    usage: float = 0.5,
    config: Mapping[str, object] | None = None,
    dataset: str = "digits",
    preset: str = "quick",
    provenance: Mapping[str, object] | None = None,
    samples: np.ndarray | None = None,
    error: int = 10,
    traceback: str | None = None,
    validation: float = VALIDATION,
) -> Path:
    """The folder of one run. `psnr` rises to its value over `steps`; `samples` are originals, reconstructed with an
    `error` in grey levels; `metrics` are further values at the last step, those of `curves` are reached on a line.
    On validation images, which curves are of, all is better by `validation`; the last step is on test images too."""
    settings = {
        **{"steps": 100, "batch_size": 32, "lr": 0.01, "beta": 0.3, "length": positions, "vocab": 64},
        **(config or {}),
    }
    name = "-".join(str(part) for part in (hash_of(estimator, posterior, dataset, preset, settings), seed))
    folder = RunFolder(sweep, name)
    identity = {"run": name, "estimator": estimator, "posterior": posterior, "dataset": dataset, "preset": preset}
    identity |= {"seed": seed, "device": "cpu"}
    recorded = {
        "versions": {"python": "3.11.7", "torch": "2.9.0"},
        "git": "0123456789abcdef0123456789abcdef01234567",
        "hardware": HARDWARE,
        "command": COMMAND,
        "dataset": {"source": "embedded", "shape": [1, SIDE, SIDE]},
        "metrics": {"psnr": {"definition": "10 log10(255^2 / mse)"}},
        "absent": {"rfid": "rfid needs weights that are missing"},
        **(provenance or {}),
    }
    folder.queue(identity)
    if state == "queued":
        return folder.path
    folder.start(identity, {"estimator": estimator, "posterior": posterior, "seed": seed, **settings}, recorded)
    if state != "skipped":
        steps = list(steps)
        folder.append(
            _rows(
                steps, psnr, metrics or {}, curves or {}, n, decodes_per_image, parameters, positions, usage, validation
            )
        )
        if state == "diverged":
            folder.append(
                [{**_cost(steps[-1], 1), "split": "train", "readout": "", "metric": "diverged", "value": 7.0, "n": 32}]
            )
    if state == "done":
        write_samples(folder.path, originals() if samples is None else samples, error)
    if traceback is not None:
        (folder.path / "traceback.txt").write_text(traceback)
    if state != "running":
        folder.finish(state, **(status or {}))
    return folder.path


def usual_sweep(path: Path) -> Path:
    """Four seeds: vq ahead of fsq only by luck, and of daps clearly; one skip; the mean image."""
    sweep = new_sweep(path)
    for seed, luck in enumerate((0.0, 0.3, -0.2, 0.1)):
        add_run(sweep, "vq", seed=seed, psnr=22 + luck, metrics={"ssim": 0.9, "usage": 0.5}, parameters=1010)
        add_run(sweep, "fsq", seed=seed, psnr=21.9 - 2 * luck, metrics={"ssim": 0.8}, parameters=990)
        only = {"ssim": 0.7, "elbo": -40.0 - seed}
        add_run(sweep, "daps:k=16", seed=seed, psnr=18 + luck, metrics=only, decodes_per_image=16)
    add_run(sweep, "vq", "causal", state="skipped", status={"reason": "vq emits vectors"})
    add_run(sweep, "baseline:mean", "none", psnr=11.5, steps=[0], positions=0, config={})
    return sweep


def hash_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def write_samples(folder: Path, images: np.ndarray, error: int) -> None:
    """samples.png: originals over reconstructions that are off by `error` in every pixel of the first channel."""
    off = images.astype(int)
    off[..., 0] += np.where(off[..., 0] + error > 255, -error, error)
    rows = [np.concatenate(list(strip), axis=1) for strip in (images, off.astype(np.uint8))]
    Image.fromarray(np.concatenate(rows)).save(folder / "samples.png")


def _cost(step: int, decodes_per_image: int) -> dict[str, float]:
    return {"step": step, "images": 32 * step, "decodes": 32 * step * decodes_per_image, "seconds": 0.01 * step}


def _rows(
    steps: list[int],
    psnr: float | None,
    metrics: Mapping[str, float],
    curves: Mapping[str, float],
    n: int,
    decodes_per_image: int,
    parameters: float,
    positions: int,
    usage: float,
    validation: float,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []

    def add(split: str, step: int, found: Mapping[str, float], better: float = 0.0) -> None:
        where = {**_cost(step, decodes_per_image), "split": split, "n": n}
        for name, value in found.items():
            rows.append({**where, "readout": catalogue.readout(name), "metric": name, "value": value + better})

    for place, step in enumerate(steps):
        risen = {} if psnr is None else {"psnr": psnr - (len(steps) - 1 - place)}
        risen |= {name: (place + 1) / len(steps) * value for name, value in curves.items()}
        add("validation", step, risen, validation)
        if place == len(steps) - 1:
            add("test", step, {**risen, **metrics})
    by_position = {"usage": usage, "perplexity": 64 * usage}
    for position in range(positions):
        add("test", steps[-1], {f"{name}/{position}": value for name, value in by_position.items()})
    costs = {"ms_per_step": 10.0, "peak_memory": 500.0, "parameters": parameters, "parameters_estimator": 0.0}
    train = {**_cost(steps[-1], decodes_per_image), "split": "train", "readout": "", "n": 1}
    return rows + [{**train, "metric": name, "value": value} for name, value in costs.items()]
