"""Options that several commands share, each declared once, and what they stand for."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from bench.data.catalogue import specs
from bench.sweeps.executors import OPTIONS, Name, Place

if TYPE_CHECKING:
    from rich.console import RenderableType

    import estimators
    from bench.config import Posterior

T = TypeVar("T", int, float)
PosteriorChoice = Literal["factorised", "causal", "both"]

Estimators = Annotated[
    list[str],
    typer.Option(
        "--estimator",
        "-e",
        help="names and groups (see bench list groups), such as core,daps:k=16; may be repeated",
    ),
]
PresetName = Annotated[
    str, typer.Option(help="quick, standard, paper, another that bench list presets names, or a file")
]
PosteriorName = Annotated[PosteriorChoice, typer.Option(help="how q(z|x) factorises over positions")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where to train")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value of any setting; may be repeated")]


def path(text: str) -> Path:
    """What was typed, with `~` spelled out, which a shell leaves alone in quotes and behind `=`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise typer.BadParameter(f"{text} begins with the home of somebody not known here") from None


AsPath: Mapping[str, Any] = {"parser": path, "metavar": "PATH"}
"""How every path is read."""
Folder = Annotated[Path, typer.Argument(help="results/NAME", **AsPath)]

_REQUIRED, _KEYWORD = inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY
_AtLeast1 = functools.partial(typer.Option, min=1)

ImageSize = Annotated[int | None, _AtLeast1(help="resize and crop, for folder:PATH")]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a command that trains is told, whatever it trains: every field is an option."""

    dataset: Annotated[str, typer.Option(help=", ".join(specs()))]
    preset: PresetName = "standard"
    posterior: PosteriorName = "factorised"
    seeds: Annotated[int | None, _AtLeast1(help="seeds 0, 1, ... [default: the preset's]")] = None
    steps: Annotated[int | None, _AtLeast1(help="optimiser steps [default: the preset's]")] = None
    budget: Annotated[
        str | None,
        typer.Option(
            help="decodes=8e6, images=..., steps=... or seconds=... of each run: as many steps as that has room for"
        ),
    ] = None
    image_size: ImageSize = None
    settings: Settings = None
    metrics: Annotated[str | None, typer.Option(help="image metrics to compute, such as psnr,rfid")] = None
    device: Device = "auto"
    out: Path | None = None
    fresh: Annotated[bool, typer.Option("--fresh", help="run again what is finished")] = False
    retries: Annotated[int, typer.Option(min=0, help="times that a failed run is tried again")] = 1
    checkpoint_every: Annotated[
        int | None, _AtLeast1(help="steps between checkpoints [default: at every evaluation]")
    ] = None
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="also write OUT/tensorboard, for tensorboard --logdir")
    ] = False
    executor: Annotated[Name, typer.Option(help="this machine, a Ray cluster, or a Slurm site")] = "local"
    workers: Annotated[int | None, _AtLeast1(help=OPTIONS["workers"].help)] = None
    threads: Annotated[int | None, _AtLeast1(help=OPTIONS["threads"].help)] = None
    runs_per_gpu: Annotated[int | None, _AtLeast1(help=OPTIONS["runs_per_gpu"].help)] = None
    address: Annotated[str | None, typer.Option(help=OPTIONS["address"].help)] = None
    partition: Annotated[str | None, typer.Option(help=OPTIONS["partition"].help)] = None
    gpus: Annotated[int | None, _AtLeast1(help=OPTIONS["gpus"].help)] = None
    time: Annotated[int | None, _AtLeast1(help=OPTIONS["time"].help)] = None
    sbatch: Annotated[list[str] | None, typer.Option(help=OPTIONS["sbatch"].help)] = None

    def place(self, *, core_each: bool) -> Place:
        """Where it trains. Raises ValueError for an option that goes with another executor."""
        return Place(self.executor, **{name: getattr(self, name) for name in OPTIONS}, core_each=core_each)


def training(folder: str, **defaults: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command with a parameter `given: Training`, which becomes an option per field. `folder` says in the
    help where it leaves its results unless told; `defaults` replace those of fields."""
    out = Annotated[Path | None, typer.Option(help=f"folder [default: {folder}]", **AsPath)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command).parameters.values() if one.name != "given"]
        common = []
        for field in fields(Training):
            default = _REQUIRED if field.default is MISSING else defaults.get(field.name, field.default)
            annotation = out if field.name == "out" else field.type
            common.append(inspect.Parameter(field.name, _KEYWORD, default=default, annotation=annotation))
        parameters = [*(one.replace(kind=_KEYWORD) for one in own), *common]

        @functools.wraps(command)
        def called(**values: Any) -> None:
            command(given=Training(**{one.name: values.pop(one.name) for one in common}), **values)

        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorate


def expanded(entries: Sequence[str], preset: "estimators.Preset | None" = None) -> "list[estimators.Chosen]":
    """Every --estimator once, lists split and groups spelled out. `preset`: arguments that replace defaults.

    Raises ValueError if there is none.
    """
    import estimators

    found = estimators.chosen(entries, preset)
    if not found:
        raise ValueError("--estimator is empty; try --estimator core")
    return found


def posteriors(chosen: PosteriorChoice) -> "tuple[Posterior, ...]":
    return ("factorised", "causal") if chosen == "both" else (chosen,)


def numbers(option: str, text: str, kind: type[T]) -> list[T]:
    """A comma-separated list of numbers. Raises ValueError for anything else."""
    try:
        return [kind(piece) for piece in names(text)]
    except ValueError:
        raise ValueError(f"{option} {text} is not a list of numbers; try {option} 1,2,4") from None


def show(what: "RenderableType", width: int = 160) -> None:
    """Print what rich draws, `width` characters wide where there is no terminal that has a width."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else width).print(what, highlight=False)


def names(text: str) -> list[str]:
    """A comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]
