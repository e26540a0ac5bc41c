"""Puts the page together: one HTML file that loads nothing."""

import base64
import functools
import hashlib
import json
import shlex
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from bench.pages import _charts, _template
from bench.pages._codebook import codebook
from bench.pages._curves import COSTS, CURVES, curves, significant
from bench.pages._fairness import fairness
from bench.pages._how import commands, commits
from bench.pages._metrics import describe, number
from bench.pages._problems import problems
from bench.pages._samples import BYTES, gallery, palette
from bench.pages._sweep import Setting, Sweep
from bench.pages._theme import Look, looks
from bench.pages._verdict import MARKS, MEANINGS, Verdict, verdict


def page(sweep: Sweep) -> str:
    """The HTML."""
    styles = looks(method.style for setting in sweep.settings for method in setting.methods)
    sections = [_section(sweep, setting, styles) for setting in sweep.settings]
    script, library = _template.file("bench.pages", "page.js"), _vega()
    content = {
        "sweep": sweep,
        "title": sweep.path.resolve().name,
        "folder": shlex.quote(str(sweep.path)),
        "sections": sections,
        "looks": styles,
        "commands": commands(sweep.runs),
        "commits": commits(sweep.runs),
        "gradient": [f"rgb({r} {g} {b})" for r, g, b in palette()[::9]],
        "style": Markup(_template.file("bench.pages", "page.css")),
        "script": Markup(script),
        "library": Markup(library),
        "policy": _policy(script, library),
        "data": _embedded([section["data"] for section in sections]),
    }
    return _environment().get_template("page.html.j2").render(content)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = _template.environment("bench.pages")
    environment.globals |= {"MARKS": MARKS, "MEANINGS": MEANINGS, "MARKERS": _charts.MARKERS, "COSTS": COSTS}
    return environment


def _section(sweep: Sweep, setting: Setting, styles: dict[str, Look]) -> dict[str, Any]:
    """What the template shows of one dataset and preset."""
    found = verdict(setting)
    mine = [styles[method.style] for method in setting.methods]
    ranked = [index for index in found.order if not setting.methods[index].is_baseline]
    measured = [index for index in ranked if index in setting.rows]
    drawn = measured[:CURVES]
    shapes = {index: mine[index] for index in drawn}
    lines = curves(setting, drawn)
    levels = _levels(setting)
    used = codebook(setting, measured)
    shown, total = problems(sweep, setting)
    return {
        "setting": setting,
        "looks": mine,
        "verdict": found,
        "methods_measured": len(measured),
        "drawn": drawn,
        "posteriors": list(dict.fromkeys(setting.methods[index].posterior for index in sorted(drawn))),
        "chips": _chips(setting, drawn),
        "lost": any(lines["lost"].values()),
        "level": levels,
        "measures": list(used["values"]) if used else [],
        "curve_metrics": [describe(metric) for metric in lines["metrics"]],
        "final_metrics": [column for column in found.columns if found.values is not None],
        "codebook": used,
        "gallery": gallery(setting, found.order, sweep.path / "runs", BYTES // len(sweep.settings)),
        "problems": shown,
        "undone": sum(run.state != "done" for run in setting.compared),
        "problems_total": total,
        "fairness": fairness(setting),
        "summary": _summary(setting, found),
        "data": {
            "methods": [
                {"name": m.name, "posterior": m.posterior, "label": setting.label(i)}
                for i, m in enumerate(setting.methods)
            ],
            "costs": COSTS,
            "headings": {m.name: m.heading for m in (*map(describe, lines["metrics"]), *found.columns)},
            "curves": {**lines, "level": levels},
            "finals": _finals(setting, found, drawn),
            "codebook": used,
            "specs": {
                "curves": _charts.learning_curves(shapes),
                "finals": _charts.final_values(shapes),
                "usage": _charts.usage_map(),
            },
        },
    }


def _chips(setting: Setting, drawn: list[int]) -> list[tuple[str, int]]:
    """Names, each with the first method of that name: both posteriors look alike and share a button."""
    names: dict[str, int] = {}
    for index in sorted(drawn):
        names.setdefault(setting.methods[index].name, index)
    return list(names.items())


def _levels(setting: Setting) -> dict[str, float]:
    """What the mean training image scores, by metric."""
    baselines = [index for index, method in enumerate(setting.methods) if method.is_baseline]
    rows = setting.frame[setting.frame["method"].isin(baselines) & (setting.frame["split"] == "test")]
    means = rows.dropna(subset="value").groupby("metric")["value"].mean()
    return {str(metric): value for metric, value in means.items()}


def _finals(setting: Setting, found: Verdict, drawn: list[int]) -> dict[str, Any]:
    """By metric: the mean and interval of every method drawn, and the value of every seed."""
    if found.values is None:
        return {}
    keys = {(setting.methods[index].name, setting.methods[index].posterior): index for index in drawn}
    index = [keys.get(key) for key in zip(found.values["estimator"], found.values["posterior"], strict=True)]
    values = found.values.assign(method=index).dropna(subset=["method", "value"])
    finals: dict[str, Any] = {}
    for place, column in enumerate(found.columns):
        cells = {row.method: row.cells[place] for row in found.rows if row.method in drawn}
        means = [
            {"m": m, "mean": c.value, "low": c.low, "high": c.high, "n": c.seeds, "interval": c.interval or "none"}
            for m, c in cells.items()
            if c.value is not None
        ]
        mine = values[values["metric"] == column.name]
        seeds = {
            "m": mine["method"].astype(int).tolist(),
            "seed": mine["seed"].tolist(),
            "value": significant(mine["value"]),
        }
        finals[column.name] = {"means": means, "seeds": seeds}
    return finals


def _summary(setting: Setting, found: Verdict) -> list[str]:
    """Short facts for under the title."""
    methods = [method for method in setting.methods if not method.is_baseline]
    runs = setting.compared
    facts = [_count(len({m.estimator for m in methods}), "estimator")]
    posteriors = {m.posterior for m in methods}
    facts.append(
        _count(len(posteriors), "posterior") if len(posteriors) > 1 else f"{next(iter(posteriors), 'no')} posterior"
    )
    if any(m.variant for m in methods):
        facts.append(f"{_count(len(methods), 'method')} by their settings")
    done = sum(run.state == "done" for run in runs)
    facts.append(f"{number(done, 0)} of {_count(len(runs), 'run')} done")
    configs = [run.config for run in runs if run.config]

    def common(key: str) -> Any:
        values = {json.dumps(config.get(key)) for config in configs}
        return json.loads(values.pop()) if len(values) == 1 else None

    if common("steps") and common("batch_size"):
        facts.append(f"{number(common('steps'), 0)} steps of {number(common('batch_size'), 0)} images")
    if common("length") and common("vocab"):
        facts.append(f"{common('length')} codes of {common('vocab')}")
    tests = setting.frame["n"][setting.frame["split"] == "test"].dropna()
    if len(tests):
        facts.append(f"{number(tests.max(), 0)} test images")
    return facts


def _count(count: int, what: str) -> str:
    return f"{number(count, 0)} {what}{'' if count == 1 else 's'}"


def _embedded(content: Any) -> Markup:
    """JSON that cannot close the script element it is in."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _policy(*scripts: str) -> str:
    """Nothing may be loaded or sent, and no script runs but these."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    allowed = {
        "default-src": "'none'",
        "script-src": hashes,
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed, minified; their licence is named at the foot of the page."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
