"""What the figures of a comparison share: who is drawn, in which order and how, and the sentences of captions."""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench import stats
from bench.figures.styles import Style, of_families, styles, told_apart
from bench.figures.themes import GREY, MUTED, Theme
from bench.metrics import catalogue
from bench.metrics.catalogue import describe
from bench.records.study import Condition, Study
from bench.records.sweep import Comparison, Table
from bench.stats.intervals import FEWEST
from bench.text import counted, shortened, span, typed, unlike

CODES = {"sample": "sampled codes", "mode": "the most likely codes"}
"""By readout."""
HOLLOW = "causal"
"""The posterior whose marks are hollow."""
LONGEST_PLACE = 60
"""Characters of dataset and preset in a title."""
POINT = ("method", "name", "posterior", "estimate", "low", "high", "n", "how", "lowest", "highest")
"""Columns of estimates: of which method, and the fields of `stats.Interval`, its method as `how`."""


@dataclass(frozen=True)
class Drawing:
    figure: Figure
    caption: str
    """What was drawn, of how many seeds, and how its intervals were made: sentences."""
    about: str
    """What all its numbers have in common, for a title."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A comparison under a theme. Rows and lines are called by a method's name, which is its estimator with the
    settings that set it apart; both posteriors share it."""

    comparison: Comparison
    theme: Theme
    runs: Path
    """The folder that holds the folders of runs."""
    cut: ClassVar[bool] = False
    """Whether a few failures lie at the edge of an axis, so that they do not squeeze the rest."""

    @property
    def noun(self) -> str:
        """What has one look."""
        return "estimator"

    @functools.cached_property
    def methods(self) -> list[int]:
        """Those with runs that finished or diverged, best first."""
        one = self.comparison
        drawn = {i for i, runs in one.runs.items() if any(run.state in ("done", "diverged") for run in runs)}
        return [i for i in one.order if i in drawn and not one.methods[i].is_baseline]

    @functools.cached_property
    def index(self) -> dict[tuple[str, str], int]:
        """By name and posterior, best first."""
        methods = self.comparison.methods
        return {(methods[i].name, methods[i].posterior): i for i in self.methods}

    @functools.cached_property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.index))

    @property
    def followed(self) -> list[str]:
        """The best, those that keep their looks where there are too many."""
        return self.names[: self.theme.told_apart]

    @functools.cached_property
    def posteriors(self) -> list[str]:
        found = {posterior for _, posterior in self.index}
        return [posterior for posterior in self.comparison.posteriors if posterior in found]

    @functools.cached_property
    def labels(self) -> dict[str, str]:
        """The names, short enough to be printed, and still all different."""
        texts = (shortened(name.replace(" · ", ", "), self.theme.longest_name) for name in self.names)
        return dict(zip(self.names, unlike(texts), strict=True))

    @functools.cached_property
    def families(self) -> dict[str, str]:
        """By name: the estimator, whatever its settings."""
        return {name: self.comparison.methods[i].estimator for (name, _), i in self.index.items()}

    @functools.cached_property
    def styles(self) -> dict[str, Style]:
        """Of every name, best first."""
        return self._looks({name: self.comparison.methods[i].style for (name, _), i in self.index.items()})

    def family_styles(self, families: Sequence[str]) -> dict[str, Style]:
        return self._looks({family: family for family in families})

    def _looks(self, called: Mapping[str, str]) -> dict[str, Style]:
        """By what each is called, from what `styles` knows it by; in print, told apart in grey too."""
        known = styles(called.values())
        return {n: known[one] for n, one in called.items()} if self.theme.stands_alone else told_apart(called)

    def measured(self, names: Iterable[str]) -> list[str]:
        """Those of the metrics that some method has a value of."""
        return [name for name in names if name in self.comparison.means]

    @property
    def quality_and_bound(self) -> list[str]:
        """The metric that ranks, and the first one of the codes that would: PSNR and ELBO."""
        ranked = self.measured(catalogue.ranked())
        of_codes = [name for name in ranked if describe(name).kind == "code"]
        return list(dict.fromkeys([*ranked[:1], *of_codes[:1]]))

    def summary(self, metrics: Sequence[str]) -> Table:
        """Mean and 95 % interval over seeds: a row per `metric` and method, with POINT."""
        finals = self.comparison.finals
        rows = finals[finals["metric"].isin(metrics)].dropna(subset="value").groupby(["metric", "method"])
        found = [{"metric": metric, **self.point(int(index), mine)} for (metric, index), mine in rows]
        return pd.DataFrame(found, columns=["metric", *POINT])

    def point(self, index: int, rows: Table) -> dict[str, object]:
        """POINT of a method's values."""
        method, values = self.comparison.methods[index], rows["value"]
        interval = asdict(stats.interval([values]))
        seeds = {"how": interval.pop("method"), "lowest": values.min(), "highest": values.max()}
        return {"method": index, "name": method.name, "posterior": method.posterior, **interval, **seeds}

    def seeds(self, metric: str) -> Table:
        """A row per run: `method`, `name`, `value`."""
        finals = self.comparison.finals
        rows = finals[finals["metric"] == metric].dropna(subset="value")
        return rows[["method", "value"]].assign(name=rows["estimator"])

    def named(self, names: Iterable[str]) -> list[int]:
        """Methods called so, the posteriors of one name beside each other."""
        keys = ((name, posterior) for name in names for posterior in self.posteriors)
        return [self.index[key] for key in keys if key in self.index]

    def diverged(self, index: int) -> tuple[int, int]:
        """How many of a method's runs, and how many finished or diverged."""
        states = Counter(run.state for run in self.comparison.runs[index])
        return states["diverged"], states["diverged"] + states["done"]

    def marked(self, label: str, names: Iterable[str]) -> str:
        """The label of these names, with a sign if some of their runs diverged."""
        lost, all_ = (sum(numbers) for numbers in zip(*map(self.diverged, self.named(names)), strict=True))
        sign = f"({lost}/{all_} diverged)" if self.theme.stands_alone else "†"
        return f"{label} {sign}" if lost else label

    def others_line(self, count: int) -> list[Line2D]:
        """For a legend: those that have no look."""
        look = {"color": GREY, "marker": "o", "markersize": 2.8, "linewidth": 0.6}
        return [Line2D([], [], **look, label=f"{count} others")] if count else []

    def posterior_lines(self, what: str = "") -> list[Line2D]:
        """For a legend: filled and hollow, where there are both."""
        look = {"color": MUTED, "linestyle": "", "marker": "o", "markersize": self.theme.marker_size("o")}
        if len(self.posteriors) < 2:
            return [Line2D([], [], **look, label=what)] if what else []
        faces = {posterior: "white" if posterior == HOLLOW else MUTED for posterior in self.posteriors}
        shown = {posterior: f"{what}, {posterior}" if what else posterior for posterior in faces}
        return [Line2D([], [], **look, markerfacecolor=face, label=shown[one]) for one, face in faces.items()]

    @property
    def about(self) -> str:
        """Dataset, preset, steps, seeds and images behind the numbers."""
        counts = [sum(run.state == "done" for run in self.comparison.runs[i]) for i in self.methods]
        facts = [shortened(self.comparison.title, LONGEST_PLACE)]
        facts += [self._steps, f"{span(counts)} seed{'' if max(counts) == 1 else 's'}"] if any(counts) else []
        return ", ".join([*facts, *self._images])

    @property
    def _images(self) -> list[str]:
        return [f"{span(self.comparison.images)} {self.comparison.split} images"] if self.comparison.images else []

    @property
    def place(self) -> str:
        """After `Final PSNR`: of which images, after how many steps."""
        return f"on the {self.comparison.split} images of {self.comparison.title} after {self._steps}"

    @property
    def _steps(self) -> str:
        ended = self.comparison.ended
        return f"{span(ended['step'][ended['ended'] == 'done'])} steps"

    @property
    def ranking(self) -> str:
        """The title of the metric that ranks."""
        return describe(self.comparison.metric or "").title

    @property
    def devices(self) -> str:
        return ", ".join(sorted(set(self.comparison.ended["device"])))

    def caption(self, *first: str, metrics: Sequence[str] = (), names: Sequence[str] | None = None) -> str:
        """The sentences of a figure, and what all figures say: which runs, codes, marks, and names. `metrics` are those
        shown of runs, whose value for the mean training image may be a line."""
        names = self.names if names is None else names
        counts = [(self.comparison.methods[i], *self.diverged(i)) for i in self.named(names)]
        lost = [f"{n} of {all_} of {method.name}, {method.posterior}" for method, n, all_ in counts if n]
        known = {metric: self.comparison.baseline(metric) for metric in metrics}
        scores = [f"{describe(m).title} {value:.4g}" for m, value in known.items() if not math.isnan(value)]
        short = [f"{self.labels[name]} is {name}" for name in names if "…" in self.labels[name]]
        several = len(self.posteriors) > 1
        codes = " and ".join(dict.fromkeys(CODES[catalogue.readout(m)] for m in metrics)) or CODES["sample"]
        return sentences(
            *first,
            f"{', '.join([*self._images, codes])}.",
            f"Left out: {self.comparison.left_out}." if self.comparison.left_out else "",
            "Filled: factorised posterior; hollow: causal." if several else f"Posterior: {self.posteriors[0]}.",
            "Dashed, where it is near enough: the mean training image as everyone's reconstruction "
            f"({', '.join(scores)})." if scores else "",
            f"{'' if self.theme.stands_alone else '† '}Runs that diverged have no value and are in no mean: "
            f"{'; '.join(lost)}." if lost else "",
            f"Shortened names: {'; '.join(short)}." if short else "",
        )  # fmt: skip

    def not_shown(self, count: int) -> str:
        return f"Not shown: the {counted(count, self.noun)} that came last." if count else ""


@dataclass(frozen=True, eq=False)
class ConditionSheet(Sheet):
    """One condition of an ablation: its names are settings, and what is compared first has one look."""

    comparison: Condition
    study: Study
    cut: ClassVar[bool] = True

    @property
    def noun(self) -> str:
        return self.study.noun

    @functools.cached_property
    def families(self) -> dict[str, str]:
        return {name: self.comparison.settings[i].families[0] for (name, _), i in self.index.items()}

    @functools.cached_property
    def styles(self) -> dict[str, Style]:
        known = of_families(self.study)
        return {name: known[family] for name, family in self.families.items()}

    def family_styles(self, families: Sequence[str]) -> dict[str, Style]:
        known = of_families(self.study)
        return {family: known[family] for family in families}

    @property
    def about(self) -> str:
        return f"{self.study.name}, {super().about}"

    def short(self, name: str) -> str:
        """The numeric knobs of a setting, those that lead."""
        setting = next(one for one in self.comparison.settings if one.label == name)
        keys = [axis[0] for axis in setting.axes[setting.families[0]] if self.study.numeric(axis[0])]
        return ", ".join(f"{key}={typed(setting.config[key])}" for key in keys if key in self.study.knobs)


def sentences(*found: str) -> str:
    return " ".join(sentence for sentence in found if sentence)


def listed(metrics: Iterable[str]) -> str:
    """Titles, with units."""
    known = [describe(metric) for metric in dict.fromkeys(metrics)]
    *others, last = (one.title + (f" ({one.unit})" if one.suffix else "") for one in known)
    return f"{', '.join(others)} and {last}" if others else last


def estimates(rows: Table, what: str, *, dots: bool = False, bands: bool = False) -> str:
    """What estimates are of, and how their intervals were made. `bands`: with too few seeds for an interval, they go
    from the lowest to the highest."""
    several = len(rows) > 0 and rows["n"].max() > 1
    mean = f"mean over {span(rows['n'])} seeds" if several else "one seed"
    mean += ", a small dot per seed" if several and dots else ""
    hows = sorted(set(rows["how"][rows["low"].notna()]))
    ends = "from the lowest seed to the highest" if bands and (rows["n"][rows["low"].isna()] > 1).any() else ""
    if not hows:
        return f"{mean}, no intervals, which take {FEWEST} seeds{f': {what} go {ends}' if ends else ''}"
    some = f" where there are {FEWEST} seeds or more" if rows["low"].isna().any() else ""
    other = f", else {ends}" if ends else ""
    return f"{mean}, {what} are 95 % intervals over seeds ({', '.join(hows)}){some}{other}"
