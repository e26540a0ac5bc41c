"""The commands that train: `bench run` and `bench ablate`."""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli import options
from bench.cli.options import Training
from bench.sweeps.executors import warm_up
from bench.text import counted

if TYPE_CHECKING:
    from bench.config import Posterior, Split
    from bench.records import Sweep
    from bench.sweeps.budget import Timings
    from bench.sweeps.execute import Job
    from bench.sweeps.plan import Variant
    from estimators import Chosen


@options.training("results/DATASET-PRESET")
def run(
    estimator: options.Estimators,
    given: Training,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would run, and about how long")] = False,
) -> None:
    """Train and measure estimators; leaves a table and figures. The same command again continues."""
    work = prepare_run(estimator, given)
    if dry_run:
        work.foretell()
        return
    work.open()
    run_to_its_end(work)


def run_to_its_end(work: "Work") -> None:
    """Of `bench run`, once its folder is open."""
    _carry_out(work)
    summarise(work.sweep)
    exit_if_any_failed(work.folder)


def prepare_run(estimator: Sequence[str], given: Training, *, quiet: bool = False) -> "Work":
    """All that `bench run` checks before it writes anything. Raises ValueError for what does not fit."""
    work = Work(given, quiet=quiet)
    from bench.sweeps.plan import Variant

    variants = [
        Variant(one.text, posterior, work.overrides, optional=bool(one.group))
        for posterior in work.posteriors
        for one in options.expanded(estimator, work.preset.arguments(posterior))
    ]
    work.load()
    work.plan(variants, work.name)
    return work


@options.training("results/ablate-NAME-DATASET-PRESET", preset="quick")
def ablate(
    name: Annotated[str, typer.Argument(help="as in `bench list ablations`, or any name together with --grid")],
    given: Training,
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
) -> None:
    """Vary the knobs of an estimator or of training, and say on one page which value is best and how much it matters.

    The same command again continues; with other --grid values into the same folder it adds to it.
    """
    work = Work(given)
    from bench import ablation, pages

    texts = [one.text for one in options.expanded(estimator)] if estimator else []
    runs_each = len(work.seeds) * len(work.posteriors)
    found = ablation.find(name, texts, grid or [], runs_each=runs_each, yes=yes)
    work.load()
    plan = ablation.expand(
        found,
        posteriors=work.posteriors,
        preset=work.preset,
        dataset=work.dataset.name,
        shape=work.dataset.shape,
        settings=work.overrides,
        budget=str(work.budget or ""),
    )
    work.plan(plan.variants, f"ablate-{name}-{work.name}", final_split="validation")
    work.open()
    plan.write_record(work.folder)
    for reason, left_out in plan.left_out.items():
        typer.echo(f"without {', '.join(left_out)}: {reason}", err=True)
    _carry_out(work)
    answer, paths = pages.write_study(work.folder, rows=work.rows)
    for line in (*answer, *(f"  {path}" for path in paths)):
        typer.echo(line)
    exit_if_any_failed(work.folder)


@options.training("results/tune-DATASET-PRESET", preset="quick")
def tune(
    estimator: options.Estimators,
    given: Training,
    trials: Annotated[int, typer.Option(min=1, help="of each estimator; the first is the preset as it is")] = 16,
    metric: Annotated[str, typer.Option(help="that the best trial is best by, on validation images")] = "psnr",
) -> None:
    """Search settings for every estimator with the same number of trials; leaves tuned.yaml for --preset.

    The best trial and the preset's own settings run again on fresh seeds, as many as --seeds. The same command again
    continues; with more --trials it goes on from there.
    """
    work = Work(given)
    from bench import figures, pages, tables, tuning
    from bench.records.tuning import SEED, read_tuning

    chosen: list[tuple[Posterior, Chosen]] = [
        (posterior, one)
        for posterior in work.posteriors
        for one in options.expanded(estimator, work.preset.arguments(posterior))
    ]
    work.load()
    tuning.check_metric(metric, work.metrics, work.absent)
    plan = tuning.plan(
        chosen,
        trials,
        metric=metric,
        preset=work.preset,
        dataset=work.dataset.name,
        shape=work.dataset.shape,
        settings=work.overrides,
        budget=str(work.budget or ""),
    )
    seeds, work.seeds = work.seeds, range(SEED, SEED + 1)
    work.plan(plan.variants, f"tune-{work.name}", final_split="validation")
    plan.record(work.folder, work.made.firsts, fresh=given.fresh)  # refused, before anything is said or written
    work.open()
    plan.write_record(work.folder, work.made.firsts, fresh=given.fresh)
    _carry_out(work)
    again = tuning.confirmations(read_tuning(work.folder, work.rows), plan.searches, work.overrides)
    if again:
        work.seeds = range(SEED + 1, SEED + 1 + len(seeds))
        work.plan(again, f"tune-{work.name}", final_split="validation")
        work.open()
        _carry_out(work)
    found = read_tuning(work.folder, work.rows)
    drawn = figures.draw(found, work.folder / "figures")
    for table in tables.of_tuning(found):
        options.show(table.rich())
    for path in (tuning.write(found), pages.write(work.folder), *drawn):
        typer.echo(f"  {path}")
    exit_if_any_failed(work.folder)


class Work:
    """The way of every command that trains, from its options to finished runs: made, `load`, `plan`, `open`,
    `carry_out`.

    Each step raises ValueError, in one line, for what does not fit or is not here; until all is planned and checked
    nothing is written. `quiet`: says nothing on stderr.
    """

    def __init__(self, given: Training, *, quiet: bool = False) -> None:
        if given.executor == "local":
            warm_up()  # of worker processes, which have imports to do while this one does its own
        from bench import data
        from bench.config import Preset, parse_settings
        from bench.sweeps import budget

        self.given, self.quiet = given, quiet
        self.budget = budget.parse(given.budget) if given.budget is not None else None
        # where seconds count, runs do not get into each other's way
        self.place = given.place(core_each=self.budget is None or self.budget.unit != "seconds")
        self.jobs: list[Job] = []
        data.check(given.dataset, given.image_size)
        self.preset = Preset(given.dataset, given.preset)
        self.posteriors = options.posteriors(given.posterior)
        self.seeds = range(given.seeds or self.preset.seeds)
        self.overrides = parse_settings(given.settings or []) | ({"steps": given.steps} if given.steps else {})
        if self.budget:
            self.budget.check(self.overrides)

    def load(self) -> None:
        """What it works with: metrics, device, images."""
        from bench import data
        from bench.metrics import catalogue, weights

        given = self.given
        if given.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise ValueError(
                "--tensorboard needs TensorBoard, which is not installed; type pip install '.[tensorboard]'"
            )
        self.metrics = catalogue.images(options.names(given.metrics) if given.metrics is not None else None)
        self.device: Literal["cpu", "cuda"] = self.place.device(given.device)
        self.absent = weights.absent(self.metrics, self.device, asked=given.metrics is not None)
        self.dataset = data.load(given.dataset, image_size=given.image_size, progress=not self.quiet)
        for line in data.remarks(self.dataset):
            self._say(line)

    @property
    def name(self) -> str:
        """Such as digits-quick."""
        return f"{self.dataset.name.replace(':', '-')}-{self.preset.name}"

    def plan(self, variants: "Sequence[Variant]", name: str, final_split: "Split" = "test") -> None:
        """Check all runs, for the folder results/`name` unless told. By runs whose `final_split` is validation
        something may be chosen."""
        from bench.sweeps import budget
        from bench.sweeps import plan as sweep

        self.folder = self.given.out or Path("results") / name
        self._timings = self._timed() if self.budget and self.budget.unit == "seconds" else None
        self._schedules = budget.Schedules(self.budget, self._timings) if self.budget else None
        self._planned = functools.partial(
            sweep.plan,
            variants,
            self.seeds,
            preset=self.preset,
            device=self.device,
            dataset=self.dataset,
            metrics=self.metrics,
            absent=self.absent,
            final_split=final_split,
            schedules=self._schedules,
        )
        self.made = self._planned()

    def open(self) -> None:
        """Make the folder a place for these runs."""
        from bench import records
        from bench.sweeps import execute
        from bench.sweeps import plan as sweep

        records.open_sweep(self.folder)
        if self._timings and self._timings.keep():
            self.made = self._planned()
        if self._schedules:
            now = {run.digest for run in self.made.runs}
            execute.remove(self.folder, self._schedules.superseded(self.seeds) - now)
        for line in self._without():
            self._say(line)
        self._executor = self.place.executor(self.dataset, self.folder, self.device)
        if how := self.place.words(self.device):
            self._say(how)
        self.jobs = sweep.jobs(self.made, self.folder, self.given.checkpoint_every, self.given.tensorboard)

    def foretell(self) -> None:
        """Say what would run here, and about how long. Writes nothing."""
        from bench.sweeps.forecast import forecast
        from bench.text import duration

        if self.given.executor != "local":
            raise ValueError(f"--dry-run times steps on this machine; leave out --executor {self.given.executor}")
        made, at_a_time = self.made, self.place.at_a_time(self.device)
        threads = self.place.threads_here(self.device)
        splits = (made.dataset.train, made.dataset.validation, made.dataset.test)
        learned, chosen_by, held_out = map(len, splits)
        typer.echo(
            f"{counted(len(made.runs), 'run')} on {made.dataset.name}: {learned} images to learn from, {chosen_by} for "
            f"validation, {held_out} for the test; into {self.folder}"
        )
        for line in self._without():
            typer.echo(line)
        total = 0.0
        for one in forecast(made, threads):
            name = f"{one.estimator}, {one.posterior}"
            if one.skipped:
                typer.echo(f"{name}: skipped: {one.skipped}")
                continue
            total += one.seconds
            each = f"{one.steps} steps of {1e3 * one.seconds_per_step:.3g} ms"
            typer.echo(f"{name}: {counted(one.runs, 'run')} of {each}: {duration(one.seconds)}")
        at = f" with {at_a_time} at a time" if at_a_time > 1 else ""
        typer.echo(f"about {duration(total / at_a_time)} of training{at}, measuring not counted")

    def _without(self) -> list[str]:
        """A line per image metric that cannot be had; config.json has the whole reason."""

        def short(reason: str) -> str:
            return f"{reason.partition(';')[0]}; try bench fetch weights" if "needs" in reason else reason

        return [f"without {metric}: {short(reason)}" for metric, reason in self.absent.items()]

    def _timed(self) -> "Timings":
        from bench.sweeps.budget import Timings

        threads = self.place.threads_here(self.device)
        # what this command has timed before is fresh
        fresh = self.given.fresh and not self.jobs
        return Timings(self.folder, self.dataset, threads, fresh=fresh, say=self._say)

    def carry_out(self) -> None:
        """Do all runs and write the table; a run that fails is recorded. Raises `bench.sweeps.execute.Stuck`."""
        from bench import records
        from bench.sweeps import execute

        execute.queue(self.jobs, fresh=self.given.fresh)
        with self._shown():
            execute.execute(self.jobs, self._executor, retries=self.given.retries, ended=self._say_ended)
        self.rows = records.load(self.folder)
        records.write_table(self.rows, self.folder)

    @functools.cached_property
    def sweep(self) -> "Sweep":
        """What was carried out, read once."""
        from bench import records

        return records.read(self.folder, self.rows)

    def _say(self, line: str) -> None:
        if not self.quiet:
            typer.echo(line, err=True)

    def _say_ended(self, job: "Job") -> None:
        """A line per run, where there is no terminal to show a table on."""
        if not sys.stderr.isatty():
            status = job.folder.status
            reason = f": {status['reason']}" if "reason" in status else ""
            self._say(f"{status['state']:8} {job}{reason}")

    def _shown(self) -> contextlib.AbstractContextManager[None]:
        """The live status of the sweep on a terminal; nothing elsewhere."""
        if self.quiet or not sys.stderr.isatty():
            return contextlib.nullcontext()
        from rich.console import Console

        from bench.sweeps import status

        return status.shown(self.folder, Console(stderr=True))


def _carry_out(work: Work) -> None:
    """Exits in words if it cannot be done now."""
    from bench.sweeps.execute import Stuck

    try:
        work.carry_out()
    except Stuck as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        done = f"{sum(job.folder.finished for job in work.jobs)} of {counted(len(work.jobs), 'run')}"
        typer.echo(f"bench: stopped with {done} done; the same command goes on from here", err=True)
        raise typer.Exit(130) from None


def summarise(sweep: "Sweep") -> None:
    """Print the table, draw the figures."""
    from bench import figures, tables

    options.show(tables.terminal(sweep), width=200)
    drawn = figures.draw(sweep, sweep.path / "figures")
    for path in (sweep.path / "results.parquet", sweep.path / "results.csv", *drawn):
        typer.echo(f"  {path}")


def exit_if_any_failed(folder: Path) -> None:
    """With code 1."""
    if said := failures(folder):
        typer.echo(f"bench: {said}", err=True)
        raise typer.Exit(1)


def failures(folder: Path) -> str:
    """How many runs failed, and where to read why; empty if none did."""
    from bench import records

    failed = sum(state["state"] == "failed" for state in records.states(folder))
    return f"{counted(failed, 'run')} failed; see {folder}/runs/*/traceback.txt" if failed else ""
