"""Tables as text: on a terminal, in Markdown, LaTeX and CSV."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench import stats
from bench.metrics.catalogue import in_order, names
from bench.records.sweep import METHOD, SETTING, Comparison, Sweep
from bench.tables.model import MARKS, MEANINGS, RULE, Model, model
from bench.text import typed

Format = Literal["markdown", "latex", "csv"]
CSV_COLUMNS = (
    *(*SETTING, *METHOD, "metric", "unit", "estimate", "low", "high", "n", "method", "sd"),
    *("diverged", "unfinished", "marked"),
)
NARROW, NAME = 12, 32
"""Characters that a column has on a terminal if there are words of that length in it, and that the first one has."""
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "β": r"$\beta$"},
}


@dataclass(frozen=True)
class Grid:
    """Headings over rows of text, to be printed one way or another."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    """A letter per column, l or r."""
    title: str = ""
    note: str = ""
    """With the title where there is a caption, below the table elsewhere."""
    bold: Collection[tuple[int, int]] = ()
    """Cells, by row and column."""
    faint: Collection[int] = ()
    """Rows that are there for comparison, on a terminal."""

    def rich(self) -> Group:
        """Nothing in it is read as markup."""
        made = Table(box=SIMPLE, collapse_padding=True)
        for place, (letter, *cells) in enumerate(zip(self.align, self.head, *self.rows, strict=True)):
            # no number is cut, however little room there is, and hardly a name
            longest = max(len(word) for cell in cells for word in (cell.split(" ") if place else [cell]))
            least = min(longest, NARROW if place else NAME)
            side = "right" if letter == "r" else "left"
            made.add_column(Text(cells[0]), justify=side, min_width=least, overflow="fold")
        for row, cells in enumerate(self.rows):
            texts = (Text(cell, "bold" if (row, i) in self.bold else "") for i, cell in enumerate(cells))
            made.add_row(*texts, style="dim" if row in self.faint else None)
        return Group(*(part for part in (Text(self.title), made, Text(self.note)) if part))

    def markdown(self) -> str:
        """With title and note above it, if there is a title."""
        head, *rows = self._cells(lambda text: text.replace("|", "\\|"), "**{}**")
        lines = [head, ["---:" if letter == "r" else "---" for letter in self.align], *rows]
        caption = [f"{self.title}. {self.note}", ""] if self.title else []
        return "\n".join([*caption, *(f"| {' | '.join(line)} |" for line in lines)])

    def latex(self) -> str:
        """A floating table for the package booktabs."""
        head, *rows = (f"{' & '.join(line)} \\\\" for line in self._cells(_escaped, "\\textbf{{{}}}"))
        return "\n".join([
            "\\begin{table}",
            f"\\caption{{{_escaped(self.title)}. {_escaped(self.note)}}}",
            f"\\begin{{tabular}}{{{self.align}}}",
            *("\\toprule", head, "\\midrule", *rows, "\\bottomrule"),
            "\\end{tabular}",
            "\\end{table}",
        ])  # fmt: skip

    def _cells(self, escape: Callable[[str], str], bold: str) -> Iterator[list[str]]:
        yield [escape(heading) for heading in self.head]
        for row, cells in enumerate(self.rows):
            yield [
                bold.format(escape(cell)) if (row, column) in self.bold else escape(cell)
                for column, cell in enumerate(cells)
            ]


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def terminal(sweep: Sweep) -> Group:
    """What a sweep ends with, a table per comparison: mean and standard deviation over seeds, and who is left out; of
    the gradient lab, what it measured."""
    tables = (_gradients(one) if len(one.gradients) else _summary(model(one)) for one in sweep.comparisons)
    return Group(*(table.rich() for table in tables))


def _gradients(comparison: Comparison) -> Grid:
    """A line per posterior, step and estimator; who is left out, and why."""
    wide = comparison.gradients.sort_values(["posterior", "step", "method"], ascending=[False, True, True])
    metrics = in_order(set(wide.columns) & set(names("gradient")))
    keys = ["posterior", "step", *METHOD[:1], "decodes"]
    reasons = {
        f"without {comparison.label(index)}: {run.reason}"
        for index, runs in comparison.runs.items()
        for run in runs
        if run.state != "done"
    }
    return Grid(
        head=[*keys, *metrics],
        rows=[[typed(row[key]) for key in (*keys, *metrics)] for row in wide.to_dict("records")],
        align="lrlr" + "r" * len(metrics),
        title=f"{comparison.title}: gradients of single images",
        note="\n".join(sorted(reasons)),
    )


def _summary(made: Model) -> Grid:
    comparison = made.comparison
    # the sizes of models are left to the other tables, which are less in want of room
    columns = [column for column in made.columns if not column.constant or column.short]
    cells = [[cell for cell in row.cells if cell.metric in columns] for row in made.rows]
    marks = {cell.mark for mine in cells for cell in mine if cell.is_bold}
    legend = ", ".join(f"{MARKS[mark]} {MEANINGS[mark]}" for mark in sorted(marks))
    return Grid(
        head=["estimator", *(column.with_arrow for column in columns), "runs"],
        rows=[
            [comparison.label(row.method), *(cell.with_spread for cell in mine), row.runs]
            for row, mine in zip(made.rows, cells, strict=True)
        ],
        align=f"l{'r' * len(columns)}l",
        title=f"{comparison.title}: final {comparison.split} metrics, mean ±sd over seeds",
        note="\n".join(line for line in (stats.costs(comparison), _left_out(made), legend) if line),
        faint=[i for i, row in enumerate(made.rows) if comparison.methods[row.method].is_baseline],
    )


def write(sweep: Sweep, metrics: Sequence[str] = (), form: Format = "markdown") -> str:
    """The final values for a paper, of these metrics or of those that usually stand in tables; csv has the numbers
    themselves, CSV_COLUMNS, the others the rule of what is bold. Of the gradient lab, what it measured.

    Raises ValueError for a metric that was not measured, naming those that were.
    """
    labs = [one for one in sweep.comparisons if len(one.gradients)]
    if labs and not metrics:
        parts = (
            one.gradients.to_csv(index=False) if form == "csv" else getattr(_gradients(one), form)() for one in labs
        )
        return "\n\n".join(part.strip() for part in parts) + "\n"
    known = in_order({metric for comparison in sweep.comparisons for metric in comparison.means})
    for metric in metrics:
        if metric not in known:
            raise ValueError(f"{metric!r} was not measured here; there are {', '.join(known) or 'no finished runs'}")
    tables = [made for one in sweep.comparisons if (made := model(one, metrics)).columns or not metrics]
    if form == "csv":
        rows = [row for made in tables for row in _numbers(made)]
        return pd.DataFrame(rows, columns=list(CSV_COLUMNS)).to_csv(index=False)
    return "\n\n".join(getattr(_for_paper(made), form)() for made in tables) + "\n"


def _for_paper(made: Model) -> Grid:
    methods = [made.comparison.methods[row.method] for row in made.rows]
    return Grid(
        head=[*METHOD, *(column.with_arrow for column in made.columns)],
        rows=[
            [method.name, method.posterior, *(cell.with_interval for cell in row.cells)]
            for method, row in zip(methods, made.rows, strict=True)
        ],
        align="ll" + "r" * len(made.columns),
        title=made.comparison.title,
        note=" ".join(line for line in (RULE, stats.costs(made.comparison), _left_out(made)) if line),
        bold={(i, 2 + j) for i, row in enumerate(made.rows) for j, cell in enumerate(row.cells) if cell.is_bold},
    )


def _numbers(made: Model) -> Iterator[dict[str, object]]:
    comparison = made.comparison
    ended = Counter(zip(comparison.ended["method"], comparison.ended["ended"], strict=True))
    for row in made.rows:
        method = comparison.methods[row.method]
        values = (comparison.dataset, comparison.under, method.name, method.posterior)
        place = dict(zip((*SETTING, *METHOD), values, strict=True))
        left_out = {how: ended[row.method, how] for how in ("diverged", "unfinished")}
        for cell in row.cells:
            # a method whose runs all diverged still has its line
            if cell.known or any(left_out.values()):
                numbers = {"estimate": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n, "sd": cell.sd}
                of_metric = {"metric": cell.metric.name, "unit": cell.metric.unit, "method": cell.method}
                yield {**place, **of_metric, **numbers, **left_out, "marked": cell.is_bold}


def _left_out(made: Model) -> str:
    return f"Left out: {made.comparison.left_out}." if made.comparison.left_out else ""
