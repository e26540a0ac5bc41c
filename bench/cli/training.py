"""The commands that train: `bench run` and `bench ablate`."""

import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli import options

if TYPE_CHECKING:
    from bench.data import Dataset
    from bench.sweeps.execute import Executor
    from bench.sweeps.executors import Place
    from bench.sweeps.plan import Sweep
    from bench.training.run import Job


def run(
    estimator: options.Estimators,
    dataset: options.Dataset,
    preset: options.PresetName = "standard",
    posterior: options.PosteriorName = "factorised",
    seeds: options.Seeds = None,
    steps: options.Steps = None,
    image_size: options.ImageSize = None,
    settings: options.Settings = None,
    metrics: options.Metrics = None,
    device: options.Device = "auto",
    out: Annotated[Path | None, typer.Option(help="folder [default: results/DATASET-PRESET]")] = None,
    fresh: options.Fresh = False,
    retries: options.Retries = 1,
    checkpoint_every: options.CheckpointEvery = None,
    tensorboard: options.TensorBoard = False,
    executor: options.Executor = "local",
    workers: options.Workers = None,
    threads: options.Threads = None,
    runs_per_gpu: options.RunsPerGPU = None,
    address: options.Address = None,
    partition: options.Partition = None,
    gpus: options.GPUs = None,
    time: options.Minutes = None,
    sbatch: options.Sbatch = None,
) -> None:
    """Train and measure estimators; leaves a table and figures. The same command again continues."""
    _begin_imports(executor)
    import estimators
    from bench import data
    from bench.config import Preset, parse_settings
    from bench.sweeps import plan as sweep
    from bench.sweeps.executors import Place

    place = Place(executor, threads, workers, runs_per_gpu, address, partition, gpus, time, sbatch)
    texts, posteriors = options.expanded(estimator), options.posteriors(posterior)
    data.check(dataset, image_size)
    chosen = Preset(dataset, preset)
    for text in texts:
        estimators.parse(text, chosen.arguments(posteriors[0]))
    overrides = parse_settings(settings or []) | ({"steps": steps} if steps else {})
    equipment = _equip(place, dataset, image_size, metrics, device, tensorboard)
    planned = sweep.plan(
        [sweep.Variant(text, kind, overrides) for kind, text in itertools.product(posteriors, texts)],
        range(seeds or chosen.seeds),
        preset=chosen,
        device=equipment.device,
        dataset=equipment.dataset,
        metrics=equipment.metrics,
        absent=equipment.absent,
    )
    folder = out or Path("results") / f"{equipment.dataset.name.replace(':', '-')}-{preset}"
    executor_ = _open(folder, place, equipment)
    _carry_out(planned, folder, executor_, fresh, retries, checkpoint_every, tensorboard)
    summarise(folder)
    exit_if_any_failed(folder)


def ablate(
    name: Annotated[str, typer.Argument(help="as in `bench list ablations`, or any name together with --grid")],
    dataset: options.Dataset,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="key=VALUES of an argument or a setting, such as k=2,4,8 or lr=log:0.1x:10x:5 (x: times the preset's) "
            "or eta=linear:1:9:5; several make a product"
        ),
    ] = None,
    estimator: Annotated[
        list[str] | None, typer.Option("--estimator", "-e", help="instead of the ablation's; may be repeated")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="also more than 2000 runs")] = False,
    preset: options.PresetName = "quick",
    posterior: options.PosteriorName = "factorised",
    seeds: options.Seeds = None,
    steps: options.Steps = None,
    image_size: options.ImageSize = None,
    settings: options.Settings = None,
    metrics: options.Metrics = None,
    device: options.Device = "auto",
    out: Annotated[Path | None, typer.Option(help="folder [default: results/ablate-NAME-DATASET-PRESET]")] = None,
    fresh: options.Fresh = False,
    retries: options.Retries = 1,
    checkpoint_every: options.CheckpointEvery = None,
    tensorboard: options.TensorBoard = False,
    executor: options.Executor = "local",
    workers: options.Workers = None,
    threads: options.Threads = None,
    runs_per_gpu: options.RunsPerGPU = None,
    address: options.Address = None,
    partition: options.Partition = None,
    gpus: options.GPUs = None,
    time: options.Minutes = None,
    sbatch: options.Sbatch = None,
) -> None:
    """Vary the knobs of an estimator or of training, and say on one page which value is best and how much it matters.

    The same command again continues; with other --grid values into the same folder it adds to it.
    """
    _begin_imports(executor)
    from bench import ablation, data
    from bench.config import Preset, parse_settings
    from bench.sweeps import plan as sweep
    from bench.sweeps.executors import Place

    place = Place(executor, threads, workers, runs_per_gpu, address, partition, gpus, time, sbatch, many_runs=True)
    posteriors = options.posteriors(posterior)
    data.check(dataset, image_size)
    chosen = Preset(dataset, preset)
    count = seeds or chosen.seeds
    texts = options.expanded(estimator) if estimator else []
    found = ablation.find(name, texts, grid or [], runs_each=count * len(posteriors), yes=yes)
    overrides = parse_settings(settings or []) | ({"steps": steps} if steps else {})
    equipment = _equip(place, dataset, image_size, metrics, device, tensorboard)
    loaded = equipment.dataset
    plan = ablation.expand(
        found, posteriors=posteriors, preset=chosen, dataset=loaded.name, shape=loaded.shape, settings=overrides
    )
    planned = sweep.plan(
        plan.variants,
        range(count),
        preset=chosen,
        device=equipment.device,
        dataset=loaded,
        metrics=equipment.metrics,
        absent=equipment.absent,
    )
    folder = out or Path("results") / f"ablate-{name}-{loaded.name.replace(':', '-')}-{preset}"
    executor_ = _open(folder, place, equipment)
    plan.write_record(folder)
    for reason, left_out in plan.left_out.items():
        typer.echo(f"without {', '.join(left_out)}: {reason}", err=True)
    _carry_out(planned, folder, executor_, fresh, retries, checkpoint_every, tensorboard)
    answer, paths = ablation.write_page(folder)
    for line in (*answer, *(f"  {path}" for path in paths)):
        typer.echo(line)
    exit_if_any_failed(folder)


def _begin_imports(executor: str) -> None:
    """Of the worker processes, while this one has its own to do."""
    from bench.sweeps.executors import warm_up

    if executor == "local":
        warm_up()


@dataclass(frozen=True)
class _Equipment:
    """What a sweep works with."""

    dataset: "Dataset"
    device: Literal["cpu", "cuda"]
    metrics: tuple[str, ...]
    absent: Mapping[str, str]


def _equip(
    place: "Place", dataset: str, image_size: int | None, metrics: str | None, device: options.Device, tensorboard: bool
) -> _Equipment:
    """Raises ValueError for what is not here."""
    from bench import data
    from bench.cli import choose

    if tensorboard:
        choose.check_tensorboard()
    names = choose.metric_names(metrics)
    found = place.device(device)
    absent = choose.absent_metrics(names, found, asked=metrics is not None)
    return _Equipment(data.load(dataset, image_size=image_size, progress=True), found, names, absent)


def _open(folder: Path, place: "Place", equipment: _Equipment) -> "Executor":
    from bench import records

    records.open_sweep(folder)
    for metric, reason in equipment.absent.items():
        typer.echo(f"without {metric}: {reason}", err=True)
    return place.executor(equipment.dataset, folder, equipment.device)


def _carry_out(
    planned: "Sweep",
    folder: Path,
    executor: "Executor",
    fresh: bool,
    retries: int,
    checkpoint_every: int | None,
    tensorboard: bool,
) -> None:
    """Do all runs and write the table. Exits in words if that cannot be done now."""
    from bench import records
    from bench.sweeps import execute
    from bench.sweeps import plan as sweep

    jobs = sweep.jobs(planned, folder, checkpoint_every, tensorboard)
    execute.queue(jobs, fresh=fresh)
    try:
        with _shown(folder):
            execute.execute(jobs, executor, retries=retries, ended=_say_ended)
        records.write_table(records.load(folder), folder)
    except execute.Stuck as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        done = sum(job.folder.finished for job in jobs)
        typer.echo(f"bench: stopped with {done} of {len(jobs)} runs done; the same command goes on from here", err=True)
        raise typer.Exit(130) from None


def _say_ended(job: "Job") -> None:
    """A line per run, where there is no terminal to show a table on."""
    if not sys.stderr.isatty():
        status = job.folder.status
        reason = f": {status['reason']}" if "reason" in status else ""
        typer.echo(f"{status['state']:8} {job}{reason}", err=True)


@contextmanager
def _shown(folder: Path) -> Iterator[None]:
    """The live status of the sweep on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    from bench.sweeps import status

    with status.shown(folder, Console(stderr=True)):
        yield


def summarise(folder: Path) -> int:
    """Print the table, draw the figures; returns how many runs failed."""
    from rich.console import Console

    from bench import records, tables
    from bench.figures import plots

    sweep = records.read(folder)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(tables.terminal(sweep), highlight=False)
    figures = plots.plot_all(records.load(folder), folder / "runs", folder / "figures")
    for path in (folder / "results.parquet", folder / "results.csv", *figures):
        console.print(f"  {path}", highlight=False, soft_wrap=True, markup=False)
    return sum(run.state == "failed" for run in sweep.runs)


def exit_if_any_failed(folder: Path) -> None:
    from bench import records

    failed = sum(state["state"] == "failed" for state in records.states(folder))
    if failed:
        typer.echo(f"bench: {failed} runs failed; see {folder}/runs/*/traceback.txt", err=True)
        raise typer.Exit(1)
