"""What a caption must say: what was drawn, of how many seeds and images, how intervals were made, what is left out."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from matplotlib.figure import Figure

from bench.figures.paper._page import LABEL_SIZE, ONE_COLUMN, TICK_SIZE
from bench.figures.paper._sheet import FOLLOWED, Sheet, Table, span
from bench.metrics.catalogue import METRICS
from bench.stats.intervals import FEWEST
from bench.text import counted

TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "elbo": "ELBO",
    "lpips": "LPIPS",
    "rfid": "rFID",
    "usage": "fraction of the codebook used at least once",
    "perplexity": "perplexity of the codes",
}
HEAD = (
    f"Every figure is exactly as wide as said here, with type of {TICK_SIZE} and {LABEL_SIZE} points: include it "
    "without scaling it. 3.25 in is a column of ICML and CVPR, 6.75 in are two of them; in text 5.5 in wide (NeurIPS, "
    "ICLR) the wide figures shrink to 81 %, their smallest type to 5.7 points."
)


def document(entries: Sequence[str]) -> str:
    return "\n\n".join([HEAD, *entries]) + "\n"


def entry(name: str, figure: Figure, caption: str) -> str:
    width, height = figure.get_size_inches()
    columns = "one column" if width == ONE_COLUMN else "two columns"
    return f"{name} ({columns}: {width:.2f} in wide, {height:.2f} in high)\n{caption}"


def dots(sheet: Sheet, metrics: Sequence[str], names: Sequence[str], marks: Collection[str]) -> str:
    """`marks` are what panels hold: beyond, missing."""
    rows = sheet.summary[sheet.summary["metric"].isin(metrics) & sheet.summary["estimator"].isin(names)]
    left_out = len(sheet.names) - len(names)
    return _sentences(
        f"Final {_listed(metrics)} on the test images of {sheet.place}{_after(sheet)}: {_mean(rows)}"
        f"{', a small dot per seed' if rows['n'].max() > 1 else ''}, {_intervals(rows)}.",
        "At an arrow head the interval goes on." if "beyond" in marks else "",
        _data(sheet),
        f"Estimators in the order of their best {TITLES[str(sheet.metric)]}.",
        f"Not shown: the {counted(left_out, 'estimator')} that came last." if left_out else "",
        _filled(sheet),
        _baseline(sheet, metrics),
        "–: not defined or not measured." if "missing" in marks else "",
        _diverged(sheet, names),
        _full_names(sheet, names),
    )


def curves(sheet: Sheet, metric: str, means: Table) -> str:
    others = len(set(means["estimator"]) - set(sheet.followed))
    return _sentences(
        f"{TITLES[metric]} on the test images of {sheet.place} during training, against optimiser steps, decoder "
        f"evaluations and training time without evaluation ({_devices(sheet)}): {_mean(means)}, "
        f"{_intervals(means, 'bands')}.",
        _data(sheet),
        f"In grey: the {counted(others, 'estimator')} after the best {FOLLOWED}." if others else "",
        f"Estimators in the order of their final {TITLES[metric]}.",
        _baseline(sheet, [metric]),
        _diverged(sheet, sheet.followed),
        _full_names(sheet, sheet.followed),
    )


def tradeoff(sheet: Sheet, tables: dict[str, Table], by_rate: bool) -> str:
    first = next(iter(tables.values())).rename(columns={"quality_low": "low"})
    time = f"training time without evaluation ({_devices(sheet)})"
    against = "the rate, KL(q(z|x) || uniform) in bits per image" if by_rate else time
    several = bool(first.groupby(["family", "posterior"]).size().max() > 1)
    if by_rate:
        lines = "Lines join the settings of an estimator that no other one of its settings beats at a lower rate."
        lines = lines if several else ""
    else:
        lines = "The line is the Pareto front of the means."
    return _sentences(
        f"Final {_listed(tables)} on the test images of {sheet.place}{_after(sheet)} against {against}: "
        f"{_mean(first)}, {_intervals(first, 'bars')}.",
        _data(sheet),
        "A point per setting; those of one estimator look alike." if several else "",
        lines,
        _filled(sheet),
        _diverged(sheet, sheet.names),
    )


def pictures(
    sheet: Sheet, count: int, seeds: Sequence[int | None], left_out: int, different: Sequence[str], enlarged: bool
) -> str:
    which = ", ".join(map(str, sorted({seed for seed in seeds if seed is not None})))
    return _sentences(
        f"The first {counted(count, 'test image')} of {sheet.place}, and below {'them' if count > 1 else 'it'} the "
        "reconstructions from one sampled code each, by the run of the lowest seed that finished "
        f"(seed {which}); not chosen otherwise.",
        f"In the order of {TITLES[str(sheet.metric)]}, best first.",
        f"Not shown: the {left_out} that came last." if left_out else "",
        f"Not shown, because their originals are others: {'; '.join(different)}." if different else "",
        "Pixels are enlarged, not smoothed." if enlarged else "Reduced in size.",
        _full_names(sheet, sheet.names),
    )


def _sentences(*found: str) -> str:
    return " ".join(sentence.strip() for sentence in found if sentence)


def _listed(metrics: Iterable[str]) -> str:
    *others, last = (TITLES[metric] + _unit(metric) for metric in metrics)
    return f"{', '.join(others)} and {last}" if others else last


def _unit(metric: str) -> str:
    unit = METRICS[metric].unit
    return f" ({unit})" if unit in ("dB", "nats") else ""


def _mean(rows: Table) -> str:
    return f"mean over {span(rows['n'])} seeds" if rows["n"].max() > 1 else "one seed"


def _intervals(rows: Table, what: str = "lines") -> str:
    methods = sorted(set(rows["method"][rows["low"].notna()]))
    if not methods:
        return f"no intervals, which take {FEWEST} seeds"
    some = f" where there are {FEWEST} seeds or more" if rows["low"].isna().any() else ""
    return f"{what} are 95 % intervals over seeds ({', '.join(methods)}){some}"


def _data(sheet: Sheet) -> str:
    states = Counter(run.state for run in sheet.setting.compared)
    others = [f"{n} {state}" for state, n in states.items() if state not in ("done", "diverged", "skipped")]
    left_out = f" Runs left out: {', '.join(others)}." if others else ""
    return f"{sheet.images} test images, sampled codes.{left_out}"


def _after(sheet: Sheet) -> str:
    done = sheet.runs[sheet.runs["ended"] == "done"]
    return f" after {span(done['step'])} steps"


def _devices(sheet: Sheet) -> str:
    return ", ".join(sorted(set(sheet.runs["device"])))


def _filled(sheet: Sheet) -> str:
    several = len(sheet.posteriors) > 1
    return "Filled: factorised posterior; hollow: causal." if several else f"Posterior: {sheet.posteriors[0]}."


def _baseline(sheet: Sheet, metrics: Sequence[str]) -> str:
    known = {metric: sheet.baseline(metric) for metric in metrics}
    scores = ", ".join(f"{TITLES[metric]} {value:.4g}" for metric, value in known.items() if not math.isnan(value))
    whose = "the mean training image as everyone's reconstruction"
    return f"Dashed, where it is near enough: {whose} ({scores})." if scores else ""


def _diverged(sheet: Sheet, names: Sequence[str]) -> str:
    lost = []
    for name in names:
        for posterior in sheet.posteriors:
            some, all_ = sheet.diverged(name, posterior)
            if some:
                lost.append(f"{some} of {all_} of {name}, {posterior}")
    return f"†: runs that diverged have no value and are in no mean: {'; '.join(lost)}." if lost else ""


def _full_names(sheet: Sheet, names: Sequence[str]) -> str:
    short = [f"{sheet.labels[name]} is {name}" for name in names if "…" in sheet.labels[name]]
    return f"Shortened names: {'; '.join(short)}." if short else ""
