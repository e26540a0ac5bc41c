"""Options that several commands share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from bench.config import Posterior

PosteriorChoice = Literal["factorised", "causal", "both"]

Estimators = Annotated[
    list[str],
    typer.Option("--estimator", "-e", help="all, or a list such as daps:k=16,vq,fsq; may be repeated"),
]
Dataset = Annotated[str, typer.Option(help="digits, photos, mnist, fashion_mnist, cifar10, cifar100, folder:PATH")]
PresetName = Annotated[str, typer.Option(help="quick, standard, paper, or another that bench list presets names")]
PosteriorName = Annotated[PosteriorChoice, typer.Option(help="how q(z|x) factorises over positions")]
Seeds = Annotated[int | None, typer.Option(min=1, help="seeds 0, 1, ... [default: the preset's]")]
Steps = Annotated[int | None, typer.Option(min=1, help="optimiser steps [default: the preset's]")]
ImageSize = Annotated[int | None, typer.Option(min=1, help="resize and crop, for folder:PATH")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value of any setting; may be repeated")]
Metrics = Annotated[str | None, typer.Option(help="image metrics to compute, such as psnr,rfid")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="where to train")]
Fresh = Annotated[bool, typer.Option("--fresh", help="run again what is finished")]
Retries = Annotated[int, typer.Option(min=0, help="times that a failed run is tried again")]
CheckpointEvery = Annotated[
    int | None, typer.Option(min=1, help="steps between checkpoints [default: at every evaluation]")
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="also write OUT/tensorboard, for tensorboard --logdir")
]
Executor = Annotated[
    Literal["local", "ray", "slurm"], typer.Option(help="this machine, a Ray cluster, or a Slurm site")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="runs at a time [default: run: 1, ablate: one per core, on GPUs --runs-per-gpu each]"),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="cores per run [default: those here divided by --workers; elsewhere 1]")
]
RunsPerGPU = Annotated[int | None, typer.Option(min=1, help="runs that share one GPU [default: 1]")]
Address = Annotated[
    str | None, typer.Option(help="ray: HOST:PORT of the cluster [default: the one here, or a new one]")
]
Partition = Annotated[str | None, typer.Option(help="slurm: where to queue")]
GPUs = Annotated[int | None, typer.Option(min=1, help="slurm: GPUs per run [default: 1 with --device cuda]")]
Minutes = Annotated[
    int | None, typer.Option(min=1, help="slurm: minutes after which a run queues again [default: 240]")
]
Sbatch = Annotated[
    list[str] | None, typer.Option(help="slurm: any option of sbatch, such as account=me; may be repeated")
]
Folder = Annotated[Path, typer.Argument(help="results/NAME")]


def expanded(chosen: list[str]) -> list[str]:
    """Every --estimator, lists split and `all` spelled out. Raises ValueError if there is none."""
    import estimators

    texts = [text for entry in chosen for text in estimators.split_list(entry)]
    texts = [text for entry in texts for text in (estimators.CURATED if entry == "all" else [entry])]
    if not texts:
        raise ValueError("--estimator is empty; try --estimator all")
    return texts


def posteriors(chosen: PosteriorChoice) -> "tuple[Posterior, ...]":
    return ("factorised", "causal") if chosen == "both" else (chosen,)
