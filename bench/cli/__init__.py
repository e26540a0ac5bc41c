"""The command line: parses, calls, prints. Heavy imports wait until a command needs them."""

import atexit
import gc
import signal
import sys
from typing import Any

import typer

from bench.cli import machine, protocol, results, training

UsageError: Any = typer.BadParameter.__base__
"""Of click, which typer has or is."""
app = typer.Typer(
    help="Compare gradient estimators for discrete latent variables on equal terms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(
        training.run,
        training.ablate,
        training.tune,
        results.status,
        results.report,
        results.table,
        results.plot,
        results.diff,
    ),
    *(machine.list_, machine.doctor, machine.fetch, machine.speed, machine.gradients),
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(protocol.app, name="protocol")


def _end_quickly() -> None:
    # Triton's bindings take what is not collected for a leak, and say so
    if "triton" not in sys.modules:
        gc.freeze()


def main() -> None:
    """Entry point of `bench`. Mistakes of the user are one line on stderr and exit code 2."""
    # what is imported stays until the end: looking for garbage in it takes a fifth of a second of a short command, and
    # as much again at its end
    gc.set_threshold(100_000)
    atexit.register(_end_quickly)
    # being told to end is as good a reason to keep everything as Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except ValueError as error:
        typer.echo(f"bench: {error}", err=True)
        sys.exit(2)
    except UsageError as error:
        typer.echo(_in_one_line(error), err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _in_one_line(error: Any) -> str:
    """What was typed wrong, and where to read what fits; of a command without any word, its help."""
    message, context = error.format_message(), error.ctx
    if message.startswith("Usage:"):
        return message
    where = context.command_path if context else "bench"
    return f"bench: {' '.join(message.split()).rstrip('.')}; see {where} --help"
