"""The commands that say what there is, fetch what is missing, and measure the machine and the estimators."""

import functools
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli import options
from bench.data.catalogue import downloads


def list_(
    what: Annotated[
        Literal["estimators", "groups", "spaces", "datasets", "presets", "metrics", "ablations"], typer.Argument()
    ],
) -> None:
    """One line each: what it is, its arguments with defaults."""
    from bench.cli import listing

    for line in getattr(listing, what)():
        typer.echo(line)


def doctor() -> None:
    """Device, versions, which datasets and metric weights are here, and where they are looked for."""
    from bench.cli import listing

    for line in listing.doctor():
        typer.echo(line)


def fetch(names: Annotated[list[str], typer.Argument(help=", ".join([*downloads(), "weights"]))]) -> None:
    """Download what a machine without network will need, with checksums."""
    from bench import data
    from bench.metrics import weights
    from bench.text import nearest

    valid = [*downloads(), "weights"]
    wanted = [name for text in names for name in options.names(text)]
    for name in wanted:
        if name not in valid:
            raise ValueError(f"nothing to fetch is called {name!r}; {nearest(name, valid)}")
    for name in wanted:
        for line in weights.fetch() if name == "weights" else [data.fetch(name)]:
            typer.echo(line)


def speed(
    estimator: options.Estimators = ["core"],  # noqa: B006
    dataset: Annotated[
        str, typer.Option(help="whose paper-size networks to time, such as cifar10,imagenet256")
    ] = "cifar10",
    posterior: options.PosteriorName = "both",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="images per step [default: a few on the CPU, the preset's on a GPU]")
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="what the networks multiply in")
    ] = "float32",
    write: Annotated[
        Path | None, typer.Option(help="also write FOLDER/speed.md and speed.json", **options.AsPath)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="say what got slower than results/reference/speed.md")] = False,
) -> None:
    """Time a training step against its arithmetic, and the loop around it."""
    import shlex

    import torch

    from bench import speed
    from bench.machine import devices

    chosen = devices.choose(device)
    estimators, posteriors = options.expanded(estimator), options.posteriors(posterior)
    sizes = [speed.size(name) for name in options.names(dataset)]
    reference = speed.load(speed.REFERENCE, chosen) if check else None
    say = functools.partial(typer.echo, err=True)
    timings = []
    for size in sizes:
        for timing in speed.measure(estimators, posteriors, size, batch_size, chosen, precision, say):
            timings.append(timing)
            say(f"{size.name} {timing.estimator} {timing.posterior}: {timing.ratio:.2f} times its floor")
    typer.echo(f"{chosen}, {torch.get_num_threads()} threads")
    options.show(speed.table(timings).rich(), width=200)
    if write is not None:
        for path in speed.write(write, timings, chosen, shlex.join(["bench", *sys.argv[1:]])):
            typer.echo(f"  {path}")
    if reference is not None:
        changes = list(speed.compare(reference, timings))
        slower = [change for change in changes if change.slower]
        for change in slower:
            typer.echo(f"slower: {change}")
        typer.echo(f"{len(slower)} of {len(changes)} ratios are more than {speed.SLOWER} times the reference's")
        raise typer.Exit(1 if slower else 0)


def gradients(
    estimator: options.Estimators,
    dataset: Annotated[str, typer.Option(help="whose images; the latent is tiny")] = "digits",
    posterior: options.PosteriorName = "both",
    k: Annotated[str, typer.Option("--k", help="samples per image, such as 1,2,4,8 [default: each one's own]")] = "",
    temperature: Annotated[str, typer.Option(help="temperatures, such as 0.5,1 [default: each one's own]")] = "",
    seed: Annotated[int, typer.Option(min=0, help="of network, data and noise")] = 0,
    image_size: options.ImageSize = None,
    settings: options.Settings = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="measure on results/NAME/runs/RUN instead", **options.AsPath)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder [default: results/gradients-DATASET]", **options.AsPath)
    ] = None,
) -> None:
    """Measure bias and variance of gradients: against enumeration, or on the checkpoint of a run."""
    import torch

    from bench import data, records
    from bench.cli.training import exit_if_any_failed, summarise
    from bench.config import parse_settings
    from bench.gradients import checkpoint as gradients_of_run
    from bench.gradients import lab

    # the networks are tiny, and one thread gives the same numbers on machines of any size
    torch.set_num_threads(1)
    texts, overrides = [one.text for one in options.expanded(estimator)], parse_settings(settings or [])
    ks, temperatures = options.numbers("--k", k, int), options.numbers("--temperature", temperature, float)

    say = functools.partial(typer.echo, err=True)
    if checkpoint is not None:
        folder = out or Path("results") / f"gradients-{checkpoint.name}"
        gradients_of_run.measure(folder, checkpoint, texts, ks, temperatures, say)
    else:
        loaded = data.load(dataset, image_size=image_size, progress=True)
        folder = out or Path("results") / f"gradients-{loaded.name.replace(':', '-')}"
        lab.measure(folder, texts, options.posteriors(posterior), ks, temperatures, loaded, seed, overrides, say)
    rows = records.load(folder)
    records.write_table(rows, folder)
    summarise(records.read(folder, rows))
    exit_if_any_failed(folder)
