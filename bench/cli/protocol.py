"""`bench protocol`: a comparison written down before it runs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from bench.cli.options import AsPath, Device, PosteriorChoice, Training

if TYPE_CHECKING:
    from bench.cli.training import Work

app = typer.Typer(no_args_is_help=True, help="Write a comparison down before it runs.", rich_markup_mode=None)
KEYS = ("dataset", "preset", "posterior", "seeds", "steps", "budget", "image_size", "settings", "metrics", "device")
"""What of `bench run`'s options decides numbers."""
TEXTS = ("question", "decides")
"""What else a plan says, for its readers: what it is to answer, and by which metric."""

Spec = Annotated[
    Path, typer.Argument(help="a YAML file with estimator, dataset, and more of `bench run`'s options", **AsPath)
]


@app.command()
def freeze(spec: Spec) -> None:
    """Write SPEC.frozen.json: every run that follows from SPEC, and their hash. Says so if it is there unchanged."""
    from bench.sweeps import frozen

    content, work = _planned(spec)
    found = frozen.freeze(spec, frozen.content(content, work.made.runs))
    typer.echo(f"{found['hash']}, frozen on {found['frozen']}: {len(found['runs'])} runs of {spec}")
    typer.echo(f"  {frozen.beside(spec)}")
    typer.echo(f"Now type bench protocol run {spec}")


@app.command()
def run(
    spec: Spec,
    out: Annotated[Path | None, typer.Option(help="folder [default: results/NAME of the file]", **AsPath)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="runs at a time")] = None,
) -> None:
    """Do what was frozen, and nothing else; its page says so. The same command again continues."""
    from bench.cli.training import run_to_its_end
    from bench.sweeps import frozen

    content, work = _planned(spec, out=out or Path("results") / spec.stem, workers=workers)
    found = frozen.check(spec, frozen.content(content, work.made.runs))
    work.open()
    frozen.adopt(work.folder, found, work.jobs)
    run_to_its_end(work)


def _planned(path: Path, **others: Any) -> "tuple[dict[str, Any], Work]":
    """A specification as it is written, and the runs that follow. Raises ValueError for one that does not fit."""
    from bench.cli.training import prepare_run

    content = _read(path)
    given = Training(**{key: _as_typed(key, value) for key, value in content.items() if key in KEYS})
    if given.budget and given.budget.strip().startswith("seconds"):
        raise ValueError(f"{path}: budget: {given.budget} differs between machines; try decodes=, images= or steps=")
    estimators = content["estimator"]
    entries = [str(one) for one in estimators] if isinstance(estimators, list) else [str(estimators)]
    return content, prepare_run(entries, replace(given, **others))


def _read(path: Path) -> dict[str, Any]:
    import yaml

    from bench.text import nearest

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no keys; it needs at least estimator: and dataset:")
    content = {key: value for key, value in content.items() if value is not None}
    valid = ("estimator", *KEYS, *TEXTS)
    for key in content:
        if key not in valid:
            raise ValueError(f"{path}: no key {key!r}; {nearest(str(key), valid)}")
    for key in ("estimator", "dataset"):
        if not content.get(key):
            raise ValueError(f"{path}: {key} is missing; write {key}: {'core' if key == 'estimator' else 'digits'}")
    _check(path, content)
    return content


def _check(path: Path, content: Mapping[str, Any]) -> None:
    """Values where typer would have checked options, and what plans have besides."""
    for key in ("seeds", "steps", "image_size"):
        value = content.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"{path}: {key}: {value!r} is no whole number above 0; write {key}: 3")
    for key, choices in (("posterior", get_args(PosteriorChoice)), ("device", get_args(get_args(Device)[0]))):
        if key in content and content[key] not in choices:
            raise ValueError(f"{path}: {key}: {content[key]!r}; write {', '.join(choices[:-1])} or {choices[-1]}")
    for key in TEXTS:
        if not isinstance(content.get(key, ""), str):
            raise ValueError(f"{path}: {key}: {content[key]} is no text; put it in quotes")
    settings = content.get("settings", {})
    if not isinstance(settings, dict) and not (isinstance(settings, list) and all("=" in str(one) for one in settings)):
        raise ValueError(f"{path}: settings: {settings}; write settings: {{lr: 1e-3}}")
    if "decides" in content:
        from bench.metrics import catalogue

        metric = catalogue.find(content["decides"])
        if not metric.better:
            raise ValueError(f"{path}: decides: more {metric.name} is neither better nor worse; write decides: psnr")
        measured = str(content.get("metrics", metric.name))
        if metric.kind == "image" and metric.name not in measured:
            raise ValueError(f"{path}: decides: {metric.name} is not among metrics: {measured}")


def _as_typed(key: str, value: Any) -> Any:
    """A value of YAML as the option takes it."""
    if key == "settings":
        return [f"{name}={setting}" for name, setting in value.items()] if isinstance(value, dict) else list(value)
    if key == "metrics" and isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) if key in ("dataset", "preset", "budget", "metrics") else value
