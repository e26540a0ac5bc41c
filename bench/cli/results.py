"""The commands that look at what runs have left."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli import options


def status(
    folder: options.Folder,
    watch: Annotated[bool, typer.Option("--watch", help="until all is done, or Ctrl-C")] = False,
) -> None:
    """Say what is queued, running, done, failed and skipped, and how long it will take."""
    from rich.console import Console

    from bench import records
    from bench.sweeps import status

    records.check(folder)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if watch:
        status.watch(folder, console)
    console.print(status.view(folder))


def plot(
    folder: options.Folder,
    style: Annotated[
        Literal["screen", "paper"], typer.Option(help="paper: PDF at column width, into figures/paper")
    ] = "screen",
) -> None:
    """Draw the figures again, from the records alone: with the table, or for a paper."""
    from bench import figures, records
    from bench.cli.training import summarise

    sweep = records.read(folder)
    if style == "screen":
        summarise(sweep)
        return
    paths = figures.draw(sweep, folder / "figures" / "paper", "paper")
    for path in paths:
        typer.echo(f"  {path}")
    if not paths:
        typer.echo(f"bench: no figures: no run in {folder} has finished; see bench status {folder}", err=True)


def report(
    folder: options.Folder,
    out: Annotated[Path | None, typer.Option(help="file [default: report.html in it]", **options.AsPath)] = None,
) -> None:
    """Write one self-contained HTML page: who won and how sure that is, curves, reconstructions, failures."""
    from bench import pages

    typer.echo(pages.write(folder, out))


def table(
    folder: options.Folder,
    format: Annotated[Literal["markdown", "latex", "csv"], typer.Option(help="for what")] = "markdown",
    metrics: Annotated[str, typer.Option(help="columns, such as psnr,bits [default: the most telling]")] = "",
) -> None:
    """Print the final metrics as a table for a paper, intervals and best values marked."""
    from bench import records, tables

    typer.echo(tables.write(records.read(folder), tuple(options.names(metrics)), format), nl=False)


def diff(
    before: Annotated[Path, typer.Argument(help="results/A", **options.AsPath)],
    after: Annotated[Path, typer.Argument(help="results/B", **options.AsPath)],
) -> None:
    """Say what changed between two sweeps: settings, and the metrics that moved by more than the seeds do."""
    from bench import records
    from bench.tables import diff

    options.show(diff.view(records.read(before), records.read(after)))
