"""The benchmark around the estimators and models, from Python as from the command line:

    import bench

    folder = bench.run(estimator="daps:k=16,vq", dataset="digits", preset="quick", seeds=3)
    frame = bench.load(folder)  # one row per run, step, split, readout and metric
    bench.report(folder)
    bench.compare("results/before", folder)

Nothing heavy is imported before it is needed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare", "load", "report", "run"]


def run(
    estimator: str | Iterable[str],
    dataset: str,
    *,
    preset: str = "standard",
    posterior: Literal["factorised", "causal", "both"] = "factorised",
    seeds: int | None = None,
    metrics: str | None = None,
    image_size: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    workers: int | None = None,
    budget: str | None = None,
    fresh: bool = False,
    out: str | Path | None = None,
    **settings: object,
) -> Path:
    """`bench run` without a terminal: train and measure estimators, leave the table and the figures in the folder that
    is returned, results/DATASET-PRESET unless `out` names one. The same call again continues.

    `estimator` is a name such as "daps:k=16", a group such as "core", or several; `seeds` how many (None: as preset);
    `metrics` such as "psnr,rfid"; `image_size` in pixels, of a dataset folder:PATH; `workers` runs at a time;
    `budget` of each run, such as "decodes=8e6", which its steps then follow from;
    `settings` are those of --set: `steps=2000, lr=1e-3`. Runs that diverge or fail are recorded, see `load`; a failure
    is also a warning. Raises ValueError, before anything is written, for what does not fit, and RuntimeError if it
    cannot go on now, as when the disk is full. In a script call it under `if __name__ == "__main__":`, since runs are
    processes of their own.
    """
    import warnings

    from bench import figures
    from bench.cli import options, training
    from bench.sweeps.execute import Stuck

    given = options.Training(
        dataset=dataset,
        preset=preset,
        posterior=posterior,
        seeds=seeds,
        metrics=metrics,
        image_size=image_size,
        device=device,
        workers=workers,
        budget=budget,
        fresh=fresh,
        out=None if out is None else Path(out),
        settings=[f"{key}={value}" for key, value in settings.items()],
    )
    work = training.prepare_run([estimator] if isinstance(estimator, str) else list(estimator), given, quiet=True)
    work.open()
    try:
        work.carry_out()
    except Stuck as error:
        raise RuntimeError(str(error)) from None
    figures.draw(work.sweep, work.folder / "figures")
    if said := training.failures(work.folder):
        warnings.warn(said, stacklevel=2)
    return work.folder


def load(folder: str | Path) -> "pd.DataFrame":
    """The tidy table of a sweep: one row per (run, step, split, readout, metric), with what it had cost by then.

    Raises ValueError if `folder` is not one that `run` made.
    """
    from bench import records

    return records.load(folder)


def report(folder: str | Path) -> Path:
    """Write one self-contained HTML page about a sweep; returns its path. Raises ValueError as `load` does."""
    from bench import pages

    return pages.write(Path(folder))


def compare(before: str | Path, after: str | Path) -> "pd.DataFrame":
    """What changed between two sweeps, seed by seed: a row per dataset, preset, method and metric with both means,
    the difference, its 95 % interval and a verdict; see `bench.stats.moved`.

    Raises ValueError if one is no sweep, or has no finished run.
    """
    from bench import records
    from bench.tables import diff

    return diff.moved(records.read(before), records.read(after))
