"""The page of an ablation: figures, words and tables in one file that loads nothing."""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.ablation import _figures_choice, _figures_cost, _figures_final, _figures_training
from bench.ablation._bands import TOLERANCE, bands
from bench.ablation._settings import shown
from bench.ablation._study import Study, study
from bench.ablation._table import blocks, settings_csv
from bench.ablation._words import answers, headline, measured, sensitivity
from bench.figures.styles import RC
from bench.machine.files import write_atomically
from bench.pages import _template
from bench.pages._how import commands, commits
from bench.pages._metrics import describe, number
from bench.pages._sweep import Run

PROBLEMS = 100
"""Lines of runs that did not end well."""


@dataclass(frozen=True)
class Drawing:
    name: str
    build: Callable[[Study], Figure | None]
    heading: str
    caption: str


DRAWINGS = (
    Drawing(
        "knobs",
        _figures_final.against_knobs,
        "Against each knob",
        "Final test metrics. Line: mean over seeds; small: one seed each; bar: 95 % interval, from three seeds on. "
        "Dotted: settings without a knob. An arrow at the edge is a value beyond it.",
    ),
    Drawing(
        "sensitivity",
        _figures_choice.sensitivity,
        "How much the choice matters",
        "Left: the values tried, green where the mean PSNR is within 0.5 dB of the best of all settings. Right: every "
        "setting by what it loses against the best; the bar is the median.",
    ),
    Drawing(
        "conditions",
        _figures_choice.conditions,
        "Under every condition",
        "Mean PSNR below the best of the same condition. Conditions are not compared with each other.",
    ),
    Drawing(
        "training",
        _figures_training.of_families,
        "During training",
        "Mean over seeds. ESS / K: effective sample size of an image's weights as a fraction of its samples, mean over "
        "images. KL: how far one update moved the encoder on its own minibatch, per image.",
    ),
    Drawing(
        "training_by_knob",
        _figures_training.of_knobs,
        "During training, by knob",
        "Mean over seeds. The band around ESS / K holds the images from the 10th to the 90th percentile.",
    ),
    Drawing(
        "frontier",
        _figures_cost.frontier,
        "Quality for its cost",
        "Every setting at the end of its training; no setting is better and cheaper than those on the grey line. "
        "Seconds are of a machine that may have done other things.",
    ),
    Drawing(
        "settings",
        _figures_final.all_settings,
        "All settings",
        "Mean over seeds, small: one seed each; bar: 95 % interval, from three seeds on. An arrow at the edge is a "
        "value beyond it.",
    ),
)


def write_page(folder: Path) -> tuple[list[str], list[Path]]:
    """Draw the ablation in `folder`, which `bench ablate` or `bench run` made: figures/*.png, settings.csv and
    ablation.html with all of it. Returns the answer in sentences, and the paths, the page first.

    Raises ValueError if the folder is no sweep, or nothing in it has ended.
    """
    found = study(folder)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    drawn: list[tuple[Drawing, Path]] = []
    # the defaults first, so that a user's own matplotlibrc changes nothing
    with matplotlib.style.context(["default", RC]):
        for drawing in DRAWINGS:
            path = figures / f"{drawing.name}.png"
            if figure := drawing.build(found):
                figure.savefig(path, dpi=200)
                drawn.append((drawing, path))
            else:
                path.unlink(missing_ok=True)
    table, page = folder / "settings.csv", folder / "ablation.html"
    write_atomically(table, settings_csv(found).to_csv(index=False).encode())
    write_atomically(page, _page(found, drawn).encode())
    return headline(found), [page, table, *(path for _, path in drawn)]


def _page(found: Study, drawn: list[tuple[Drawing, Path]]) -> str:
    tolerated = bands(found)
    metrics = measured(found)
    content = {
        "study": found,
        "summary": _summary(found),
        "answers": answers(found, metrics[0]) if metrics else [],
        "others": [(describe(metric), answers(found, metric)) for metric in metrics[1:]],
        "ranked_by": describe(metrics[0]) if metrics else None,
        "sensitivity": sensitivity(tolerated, found.noun),
        "bands": tolerated,
        "tolerance": TOLERANCE,
        "figures": [(drawing, _embedded(path)) for drawing, path in drawn],
        "blocks": blocks(found),
        "several_posteriors": len({setting.posterior for setting in found.settings}) > 1,
        "problems": _problems(found)[:PROBLEMS],
        "undone": sum(run.state != "done" for run in found.runs),
        "commands": commands(found.runs),
        "commits": commits(found.runs),
        "shared": _shared(found),
        "style": Markup(_template.file("bench.pages", "page.css") + _template.file("bench.ablation", "ablation.css")),
    }
    return _template.environment("bench.ablation").get_template("ablation.html.j2").render(content)


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _summary(found: Study) -> list[str]:
    """Short facts for under the title."""
    done = sum(run.state == "done" for run in found.runs)
    seeds = {run.seed for run in found.runs}
    facts = [", ".join(dict.fromkeys(", preset ".join(setting.place) for setting in found.settings))]
    facts.append(f"{number(len({(s.label, s.posterior) for s in found.settings}), 0)} settings")
    if len(found.conditions) > 1:
        facts.append(f"{len(found.conditions)} conditions")
    facts.append("1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds")
    facts.append(f"{number(done, 0)} of {number(len(found.runs), 0)} runs done")
    tests = found.frame["n"][(found.frame["split"] == "test") & (found.frame["metric"] == found.metric)]
    if len(tests):
        facts.append(f"{number(float(tests.max()), 0)} test images")
    return facts


def _shared(found: Study) -> list[tuple[str, str]]:
    """Settings and arguments that are the same for all runs."""
    values: dict[str, set[str]] = defaultdict(set)
    for setting in found.settings:
        for key, value in setting.config.items():
            values[key].add(shown(value))
    return [(key, one.pop()) for key, one in values.items() if len(one) == 1]


def _problems(found: Study) -> list[dict[str, Any]]:
    """What kept runs from being done, failures first."""
    index = {run.name: setting for setting in found.settings for run in setting.runs}
    order = ("failed", "diverged", "stopped", "running", "queued", "skipped")

    def reason(run: Run) -> str:
        return str(run.status.get("reason") or "")

    counts = Counter(
        (run.state, index[run.name].label if run.name in index else run.estimator, reason(run))
        for run in found.runs
        if run.state != "done"
    )
    rows = [
        {"state": state, "setting": label, "reason": why, "runs": runs} for (state, label, why), runs in counts.items()
    ]
    return sorted(rows, key=lambda row: order.index(row["state"]) if row["state"] in order else len(order))
