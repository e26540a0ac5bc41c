"""`bench table`: the final metrics as a table for a paper, with a stated rule for what is marked."""

import io
import math
from typing import Any, Literal

from bench import stats
from bench.metrics.catalogue import METRICS
from bench.stats.words import number

Format = Literal["markdown", "latex", "csv"]
METHOD = ("estimator", "posterior")
DEFAULT = ("psnr", "ssim", "lpips", "rfid", "elbo", "bits", "usage", "perplexity", "ms_per_step", "peak_memory")
RULE = (
    "Mean over seeds with its 95 % interval. Bold: the best mean of a column, and those that are not separable from "
    "it (paired t test over seeds, Holm-corrected within the column, 5 %; with fewer than 3 shared seeds: none)."
)
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def cells(frame: Any, metrics: tuple[str, ...]) -> Any:
    """One row per dataset, preset, method and metric, as `stats.summary` gives them, with a column `marked`.

    Raises ValueError for a metric that was not measured, naming those that were.
    """
    values = stats.finals(frame)
    known = [metric for metric in METRICS if metric in set(values["metric"])]
    for metric in metrics:
        if metric not in known:
            raise ValueError(f"{metric!r} was not measured here; there are {', '.join(known) or 'no finished runs'}")
    table = stats.summary(values)
    table = table[(table["statistic"] == "mean") & (table["dataset"] != stats.ALL)]
    table = table[table["metric"].isin(metrics or [metric for metric in DEFAULT if metric in known])]
    marked: set[tuple[str, ...]] = set()
    for (dataset, preset, metric), rows in table.groupby(["dataset", "preset", "metric"]):
        own = values[(values["dataset"] == dataset) & (values["preset"] == preset) & (values["metric"] == metric)]
        best = _best(rows, metric)
        if best is None:
            continue
        against = stats.paired_differences(own, best)
        ties = against[against["verdict"].isin(["not separable", "equal"])]
        methods = [best, *zip(ties["estimator"], ties["posterior"], strict=True)]
        marked |= {(dataset, preset, *method, metric) for method in methods}
    keys = zip(*(table[column] for column in ("dataset", "preset", *METHOD, "metric")), strict=True)
    return table.assign(marked=[key in marked for key in keys])


def _best(rows: Any, metric: str) -> tuple[str, str] | None:
    known = rows[rows["estimate"].notna()]
    if known.empty:
        return None
    ordered = known.sort_values("estimate", ascending=METRICS[metric].better == "lower")
    return str(ordered["estimator"].iloc[0]), str(ordered["posterior"].iloc[0])


def write(frame: Any, metrics: tuple[str, ...], form: Format) -> str:
    """The table as text; csv has the numbers themselves, the others the rule below them."""
    table = cells(frame, metrics)
    if form == "csv":
        text = io.StringIO()
        table.drop(columns=["statistic"]).to_csv(text, index=False)
        return text.getvalue()
    parts = [
        _written(rows, f"{dataset}, preset {preset}", form)
        for (dataset, preset), rows in table.groupby(["dataset", "preset"])
    ]
    return "\n\n".join(parts) + "\n"


def _written(rows: Any, title: str, form: Format) -> str:
    names = [metric for metric in METRICS if metric in set(rows["metric"])]
    units = {metric: "" if METRICS[metric].unit == "1" else f" ({METRICS[metric].unit})" for metric in names}
    found = {(row["estimator"], row["posterior"], row["metric"]): row for row in rows.to_dict("records")}
    methods = _in_order({key[:2] for key in found}, found, names[0])
    head = [*METHOD, *(f"{metric}{units[metric]}" for metric in names)]
    scales = {metric: _scale(rows[rows["metric"] == metric]) for metric in names}
    body = [
        [*method, *(_cell(found.get((*method, metric)), scales[metric], form) for metric in names)]
        for method in methods
    ]
    return _markdown(title, head, body) if form == "markdown" else _latex(title, head, body)


def _in_order(methods: set, found: dict, metric: str) -> list:
    """Best first, by the first column."""
    sign = -1 if METRICS[metric].better == "higher" else 1

    def rank(method: tuple[str, str]) -> tuple:
        estimate = found.get((*method, metric), {}).get("estimate", math.nan)
        return (math.isnan(estimate), sign * estimate, method)

    return sorted(methods, key=rank)


def _scale(rows: Any) -> float:
    """What is uncertain about the values of a column, so that all have the same digits."""
    half = (rows["high"] - rows["low"]) / 2
    spread = half.where(half > 0).fillna(rows["sd"].where(rows["sd"] > 0))
    return float(spread.median()) if spread.notna().any() else float(rows["estimate"].abs().median()) / 100


def _cell(row: dict | None, scale: float, form: Format) -> str:
    if row is None or math.isnan(row["estimate"]):
        return "-"
    low, middle, high = (number(row[key], scale) for key in ("low", "estimate", "high"))
    text = f"{middle} (n={row['n']})" if math.isnan(row["low"]) else f"{middle} [{low}, {high}]"
    if not row["marked"]:
        return text
    return f"**{text}**" if form == "markdown" else f"\\textbf{{{text}}}"


def _markdown(title: str, head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * 2 + ["---:"] * (len(head) - 2), *body]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join([f"{title}. {RULE}", "", *(f"| {' | '.join(line)} |" for line in escaped)])


def _latex(title: str, head: list[str], body: list[list[str]]) -> str:
    lines = [
        "\\begin{table}",
        f"\\caption{{{_escaped(title)}. {_escaped(RULE)}}}",
        "\\begin{tabular}{ll" + "r" * (len(head) - 2) + "}",
        "\\toprule",
        " & ".join(map(_escaped, head)) + " \\\\",
        "\\midrule",
        *(" & ".join([*map(_escaped, row[:2]), *row[2:]]) + " \\\\" for row in body),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
