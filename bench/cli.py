"""The command line: parses, calls, prints. Heavy imports wait until a command needs them."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from bench.config import Posterior
    from bench.executors import Executor
    from bench.perform import Job
    from bench.sweep import Sweep

app = typer.Typer(
    help="Compare gradient estimators for discrete latent variables on equal terms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Estimators = Annotated[
    list[str],
    typer.Option("--estimator", "-e", help="all, or a list such as daps:k=16,vq,fsq; may be repeated"),
]
PosteriorChoice = Literal["factorised", "causal", "both"]


def main() -> None:
    """Entry point of `bench`. Mistakes of the user are one line on stderr and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except ValueError as error:
        sys.exit(_complain(str(error)))


def _complain(message: str) -> int:
    typer.echo(f"bench: {message}", err=True)
    return 2


@app.command()
def run(
    estimator: Estimators,
    dataset: Annotated[str, typer.Option(help="digits, photos, mnist, fashion_mnist, cifar10, cifar100, folder:PATH")],
    preset: Annotated[str, typer.Option(help="quick, standard or paper")] = "standard",
    posterior: Annotated[PosteriorChoice, typer.Option(help="how q(z|x) factorises over positions")] = "factorised",
    seeds: Annotated[int | None, typer.Option(min=1, help="seeds 0, 1, ... [default: the preset's]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="optimiser steps [default: the preset's]")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="resize and crop, for folder:PATH")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of any setting; may be repeated")
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="image metrics to compute, such as psnr,rfid")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where to train")] = "auto",
    out: Annotated[Path | None, typer.Option(help="folder [default: results/DATASET-PRESET]")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="run again what is finished")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="runs at a time [default: 1, or --runs-per-gpu on every GPU]")
    ] = None,
    runs_per_gpu: Annotated[int, typer.Option(min=1, help="runs that share one GPU")] = 1,
    retries: Annotated[int, typer.Option(min=0, help="times that a failed run is tried again")] = 1,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, help="steps between checkpoints [default: at every evaluation]")
    ] = None,
) -> None:
    """Train and measure estimators; leaves a table and figures. The same command again continues."""
    import itertools

    import estimators
    from bench import choose, data, records, sweep
    from bench.config import Preset, parse_settings

    texts = _expand(estimator)
    data.check(dataset, image_size)
    chosen_preset = Preset(dataset, preset)
    posteriors = _posteriors(posterior)
    for text in texts:
        estimators.parse(text, chosen_preset.arguments(posteriors[0]))
    overrides = parse_settings(settings or []) | ({"steps": steps} if steps else {})
    chosen_device = choose.device(device)
    names = choose.metric_names(metrics)
    absent = choose.absent_metrics(names, chosen_device, asked=metrics is not None)
    choose.warm_up()
    loaded = data.load(dataset, image_size=image_size, progress=True)
    planned = sweep.plan(
        [sweep.Variant(text, kind, overrides) for kind, text in itertools.product(posteriors, texts)],
        range(seeds or chosen_preset.seeds),
        preset=chosen_preset,
        device=chosen_device,
        dataset=loaded,
        metrics=names,
        absent=absent,
    )
    folder = out or Path("results") / f"{loaded.name.replace(':', '-')}-{preset}"
    records.open_sweep(folder)
    for metric, reason in absent.items():
        typer.echo(f"without {metric}: {reason}", err=True)
    executor = choose.executor(loaded, chosen_device, workers, runs_per_gpu)
    _carry_out(planned, folder, executor, fresh, retries, checkpoint_every)
    failed = _report(folder)
    if failed:
        typer.echo(f"bench: {failed} runs failed; see {folder}/runs/*/traceback.txt", err=True)
        raise typer.Exit(1)


def _carry_out(
    planned: "Sweep", folder: Path, executor: "Executor", fresh: bool, retries: int, checkpoint_every: int | None
) -> None:
    """Do all runs and write the table. Exits in words if that cannot be done now."""
    from bench import records, sweep

    jobs = sweep.jobs(planned, folder, checkpoint_every)
    sweep.queue(jobs, fresh=fresh)
    try:
        with _shown(folder):
            sweep.execute(jobs, executor, retries=retries, ended=_say_ended)
        records.write_table(records.load(folder), folder)
    except sweep.Stuck as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        done = sum(job.folder.finished for job in jobs)
        typer.echo(f"bench: stopped with {done} of {len(jobs)} runs done; the same command goes on from here", err=True)
        raise typer.Exit(130) from None


def _report(folder: Path) -> int:
    """Print the table, draw the figures; returns how many runs failed."""
    from rich.console import Console

    from bench import plots, records, table

    frame, states = records.load(folder), records.states(folder)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table.summary(frame, states, title=f"{folder}: final test metrics, mean ±std over seeds"))
    figures = plots.plot_all(frame, folder / "runs", folder / "figures")
    for path in (folder / "results.parquet", folder / "results.csv", *figures):
        console.print(f"  {path}", highlight=False, soft_wrap=True)
    return sum(state.get("state") == "failed" for state in states)


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

    from bench import status

    with status.shown(folder, Console(stderr=True)):
        yield


@app.command("status")
def status_(
    folder: Annotated[Path, typer.Argument(help="results/NAME")],
    watch: Annotated[bool, typer.Option("--watch", help="until all is done, or Ctrl-C")] = False,
) -> None:
    """Say what is queued, running, done, failed and skipped, and how long it will take."""
    from rich.console import Console

    from bench import records, status

    records.check(folder)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if watch:
        status.watch(folder, console)
    console.print(status.view(folder))


@app.command()
def plot(folder: Annotated[Path, typer.Argument(help="results/NAME")]) -> None:
    """Draw the figures and print the table again, from the records alone."""
    from bench import records

    records.load(folder)
    _report(folder)


@app.command("list")
def list_(what: Annotated[Literal["estimators", "datasets", "presets", "metrics"], typer.Argument()]) -> None:
    """One line each: what it is, its arguments with defaults."""
    from bench import listing

    for line in getattr(listing, what)():
        typer.echo(line)


@app.command()
def doctor() -> None:
    """Device, versions, which datasets and metric weights are here, and where they are looked for."""
    from bench import listing

    for line in listing.doctor():
        typer.echo(line)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="mnist, fashion_mnist, cifar10, cifar100, weights")],
) -> None:
    """Download what a machine without network will need, with checksums."""
    from bench import choose, data, weights

    for name in choose.downloads(names):
        for line in weights.fetch() if name == "weights" else [data.fetch(name)]:
            typer.echo(line)


@app.command()
def speed(
    estimator: Estimators,
    dataset: Annotated[str, typer.Option(help="whose image shape and paper-size network to time")] = "cifar10",
    posterior: Annotated[PosteriorChoice, typer.Option(help="how q(z|x) factorises over positions")] = "both",
    batch_size: Annotated[int, typer.Option(min=1, help="images per step")] = 32,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="what to time")] = "auto",
) -> None:
    """Time a training step against its arithmetic, and the loop around it."""
    import torch
    from rich.console import Console

    from bench import choose, speed

    chosen = choose.device(device)
    shape = choose.image_shape(dataset)
    typer.echo(f"{dataset}, paper preset, batch {batch_size}, {chosen}, {torch.get_num_threads()} threads")
    timings = speed.measure(_expand(estimator), _posteriors(posterior), dataset, shape, batch_size, chosen)
    Console(width=None if sys.stdout.isatty() else 160).print(speed.table(timings))


@app.command()
def gradients(
    estimator: Estimators,
    dataset: Annotated[str, typer.Option(help="whose images; the latent is tiny")] = "digits",
    posterior: Annotated[PosteriorChoice, typer.Option(help="how q(z|x) factorises over positions")] = "both",
    k: Annotated[str, typer.Option("--k", help="samples per image, such as 1,2,4,8 [default: each one's own]")] = "",
    temperature: Annotated[str, typer.Option(help="temperatures, such as 0.5,1 [default: each one's own]")] = "",
    seed: Annotated[int, typer.Option(min=0, help="of network, data and noise")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value of any setting")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="measure on results/NAME/runs/RUN instead")] = None,
    out: Annotated[Path | None, typer.Option(help="folder [default: results/gradients-DATASET]")] = None,
) -> None:
    """Measure bias and variance of gradients: against enumeration, or on the checkpoint of a run."""
    import torch
    from rich.console import Console

    from bench import choose, data, gradient_report, gradients_of_run, records
    from bench import gradients as lab
    from bench.config import parse_settings

    # the networks are tiny, and one thread gives the same numbers on machines of any size
    torch.set_num_threads(1)
    texts, overrides = _expand(estimator), parse_settings(settings or [])
    ks, temperatures = choose.numbers("--k", k, int), choose.numbers("--temperature", temperature, float)
    if checkpoint is not None:
        name, rows = checkpoint.name, list(gradients_of_run.measure(checkpoint, texts, ks, temperatures))
    else:
        loaded = data.load(dataset, progress=True)
        name = loaded.name.replace(":", "-")
        rows = list(lab.measure(texts, _posteriors(posterior), ks, temperatures, loaded, seed, overrides))
    folder = out or Path("results") / f"gradients-{name}"
    records.open_sweep(folder)
    table, paths = gradient_report.report(rows, folder)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for path in paths:
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _expand(chosen: list[str]) -> list[str]:
    """Every --estimator, lists split and `all` spelled out."""
    import estimators

    texts = [text for entry in chosen for text in estimators.split_list(entry)]
    texts = [text for entry in texts for text in (estimators.CURATED if entry == "all" else [entry])]
    if not texts:
        raise ValueError("--estimator is empty; try --estimator all")
    return texts


def _posteriors(chosen: PosteriorChoice) -> "tuple[Posterior, ...]":
    return ("factorised", "causal") if chosen == "both" else (chosen,)


if __name__ == "__main__":
    main()
