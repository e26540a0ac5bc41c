"""What a reader needs to judge whether the comparison was fair: equal terms, runs that are in no mean, the commands."""

import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.records import Comparison
from bench.records.methods import Run, varying
from bench.stats.answers import COSTS
from bench.text import MISSING, counted, number, seeds, typeset

PARAMETER_TOLERANCE = 0.05
"""Of the models' sizes at equal bits, codebooks aside."""
PER_METHOD = ("seed", "estimator", "posterior", "arguments")
TRACEBACK_LINES = 40
SHOWN_PROBLEMS = 200
RANKS = {"failed": 0, "diverged": 1, "stopped": 2, "running": 3, "queued": 4, "skipped": 5}
"""Order of what did not end well."""
COMMANDS = 20


Facts = dict[str, list[tuple[str, int]]]
"""What is recorded per run: by name its values, the most frequent first, with how many runs have each."""


def of_comparison(comparison: Comparison) -> dict[str, Any]:
    """The content of the section `terms`: each method's share of the resources, and what differs."""
    recorded = of_runs(comparison.compared, lambda config: {k: config[k] for k in config if k not in PER_METHOD})
    warnings, equal = _judged(comparison)
    unequal, sizes = _sizes(comparison)
    trained = comparison.finals[(comparison.finals["images"] > 0) & (comparison.finals["decodes"] > 0)]
    last = trained.drop_duplicates("run", keep="last")
    decodes = dict(list((last["decodes"] / last["images"]).round(2).groupby(last["method"])))
    ranked = [index for index, method in enumerate(comparison.methods) if not method.is_baseline]
    return {
        **recorded,
        "rows": [_row(comparison, index, decodes.get(index, ())) for index in ranked],
        "differences": _differences(comparison),
        "warnings": recorded["warnings"] + warnings + unequal,
        "equal": recorded["equal"] + equal,
        "sizes": sizes,
    }


def of_runs(runs: Iterable[Run], settings: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> dict[str, Any]:
    """The same without methods: what runs record of machine, code and data. `settings` are those of a config that may
    be shared."""
    started = [run for run in runs if run.config]
    environment = _facts(started, _environment)
    warnings = []
    for name, values in environment.items():
        if len(values) > 1:
            listed = "; ".join(f"{value} ({counted(count, 'run')})" for value, count in values[:4])
            warnings.append(f"Runs differ in {name}: {listed}.")
    for commit, count in commits(started):
        if commit.endswith("+changes"):
            at = commit.split("+")[0][:12]
            warnings.append(f"Made with uncommitted changes on top of {at}: {counted(count, 'run')}.")
    chosen = _facts(started, lambda run: settings(run.config))
    return {
        "rows": [],
        "differences": [],
        "warnings": warnings,
        "equal": [name for name, values in environment.items() if len(values) == 1],
        "sizes": "",
        "shared": {name: values for name, values in chosen.items() if values[0][0] and values[0][1] == len(started)},
        "environment": environment,
        "dataset": _facts(started, lambda run: run.provenance.get("dataset")),
        "absent": _facts(started, lambda run: run.provenance.get("absent")),
        "definitions": _facts(started, _definitions),
    }


def _row(comparison: Comparison, index: int, decodes: Iterable[float]) -> dict[str, Any]:
    runs = comparison.runs[index]
    configs = [run.config for run in runs if run.config]
    sizes = (comparison.means.get(metric, {}).get(index) for metric in ("parameters", "parameters_estimator"))
    return {
        "method": comparison.methods[index],
        "numbers": [
            *(typeset(size, 0) for size in sizes),
            _span([_bits(c) for c in configs], lambda bits: typeset(bits, 0 if bits == round(bits) else 1)),
            _span([_latent(c) for c in configs], lambda pair: f"{pair[0]} × {pair[1]}"),
            _span(decodes, lambda value: f"{value:g}"),
            _span([c["steps"] for c in configs if "steps" in c], lambda n: typeset(n, 0)),
        ],
        "seeds": seeds(run.seed for run in runs),
        "device": _span([run.status.get("device") for run in runs], str),
    }


def _latent(config: Mapping[str, Any]) -> tuple[int, int] | None:
    length, vocab = config.get("length"), config.get("vocab")
    return (length, vocab) if isinstance(length, int) and isinstance(vocab, int) else None


def _bits(config: Mapping[str, Any]) -> float | None:
    latent = _latent(config)
    return latent[0] * math.log2(latent[1]) if latent and latent[1] > 0 else None


def protocol(runs: Iterable[Run]) -> str:
    """The version of docs/protocol.md that they followed; folders older than its number followed the first."""
    found = {run.config.get("protocol", 1) for run in runs if run.config}
    return f"protocol {_span(found, str)}" if found else "protocol unknown"


def _span(values: Iterable[Any], show: Callable[[Any], str]) -> str:
    """One value, or the lowest and the highest."""
    known = sorted({value for value in values if value is not None})
    return " to ".join(show(value) for value in dict.fromkeys((known[0], known[-1]))) if known else MISSING


def _judged(comparison: Comparison) -> tuple[list[str], list[str]]:
    """What a sceptic would ask about seeds, codes and images, in sentences, and the names of what is equal."""
    done = {i: frozenset(run.seed for run in runs if run.state == "done") for i, runs in comparison.runs.items()}
    finished = {mine for i, mine in done.items() if mine and not comparison.methods[i].is_baseline}
    bits = sorted({b for run in comparison.compared if (b := _bits(run.config)) is not None})
    capacities, sizes = ", ".join(number(b, 1) for b in bits), ", ".join(typeset(n, 0) for n in comparison.images)
    seeds_differ = "Methods finished different seeds; comparisons use the seeds that two methods share."
    judged = (
        ("finished seeds", finished, seeds_differ),
        ("bits per image", bits, f"Methods have latents of different capacity: {capacities} bits per image."),
        ("number of images", comparison.images, f"Numbers of {comparison.split} images differ: {sizes}."),
    )
    unequal = [sentence for _, values, sentence in judged if len(values) > 1]
    costs = [f"cost in {COSTS[axis]}" for axis in comparison.equal_cost]
    return unequal, [*(name for name, values, _ in judged if len(values) == 1), *costs]


def _sizes(comparison: Comparison) -> tuple[list[str], str]:
    """Models further apart than PARAMETER_TOLERANCE at equal bits and posterior; how far apart they are if none is."""
    groups: dict[Any, dict[int, float]] = defaultdict(dict)
    for index, size in comparison.means.get("parameters", {}).items():
        config = next((run.config for run in comparison.runs[index] if run.config), {})
        groups[comparison.methods[index].posterior, _bits(config)][index] = size
    found, excesses = [], []
    for (posterior, _), mine in groups.items():
        small, large = min(mine, key=mine.__getitem__), max(mine, key=mine.__getitem__)
        excess = mine[large] / mine[small] - 1 if mine[small] else 0.0
        excesses += [excess] if len(mine) > 1 else []
        if excess > PARAMETER_TOLERANCE:
            names = (comparison.methods[large].name, comparison.methods[small].name)
            found.append(
                f"With the {posterior} posterior the model of {names[0]} is {100 * excess:.0f} % larger "
                f"than that of {names[1]}."
            )
    most = 100 * max(excesses, default=0.0)
    if found or not excesses:
        return found, ""
    return [], f"At equal bits and posterior, model sizes {f'differ by at most {most:.2g} %' if most else 'are equal'}."


def _differences(comparison: Comparison) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Settings that are not the same for all methods: their values, with the methods that have each; the estimators'
    own arguments aside."""
    pairs = [
        (f"{method.name}, {method.posterior}", {k: v for k, v in run.config.items() if k not in PER_METHOD})
        for index, method in enumerate(comparison.methods)
        for run in comparison.runs[index][:1]
        if run.config and not method.is_baseline
    ]
    found = []
    for name, values in varying(config for _, config in pairs).items():
        by_value: dict[str, list[str]] = defaultdict(list)
        for (method, _), value in zip(pairs, values, strict=True):
            by_value[value].append(method)
        found.append((name, sorted(by_value.items(), key=lambda item: -len(item[1]))))
    return found


def _environment(run: Run) -> dict[str, object]:
    hardware, versions = run.provenance.get("hardware"), run.provenance.get("versions")
    return {
        "device": run.status.get("device"),
        **(hardware if isinstance(hardware, dict) else {}),
        "commit": run.provenance.get("git"),
        **(versions if isinstance(versions, dict) else {}),
    }


def _facts(runs: Sequence[Run], recorded: Callable[[Run], object]) -> Facts:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        values = recorded(run)
        for key, value in values.items() if isinstance(values, dict) else ():
            counts[str(key)][_text(value)] += 1
    return {name: values.most_common() for name, values in counts.items()}


def _definitions(run: Run) -> dict[str, object]:
    metrics = run.provenance.get("metrics")
    entries = metrics.items() if isinstance(metrics, dict) else ()
    return {name: entry.get("definition", "") for name, entry in entries if isinstance(entry, dict)}


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " × ".join(map(_text, value)) if all(isinstance(v, int) for v in value) else ", ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={_text(v)}" for key, v in value.items())
    return "not recorded" if value is None else str(value)


def problems(
    path: Path, named: Iterable[tuple[str, str, Run]], left_out: str, noun: str, impossible: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The content of the section `problems`, from runs with what they are called, by `noun`, and their posterior: a
    line per reason that kept runs from being done, failures first. None if all are. `left_out` says how many, in
    words; `impossible` are what could not even be planned, by the reason."""
    groups: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    known = list(named)
    for name, posterior, run in known:
        if run.state != "done":
            groups[run.state, name, posterior, run.reason].append(run)
    if not groups and not impossible:
        return None
    order = sorted(groups, key=lambda group: RANKS.get(group[0], RANKS["stopped"]))
    lines = [
        {
            "key": key,
            "runs": len(groups[key]),
            "seeds": seeds(run.seed for run in groups[key]),
            "first": groups[key][0].name,
            "traceback": _traceback(path, groups[key][0]),
        }
        for key in order[:SHOWN_PROBLEMS]
    ]
    shared = {"left_out": left_out, "noun": noun, "impossible": impossible, "total": len(groups)}
    undone = share((run for _, _, run in known), "are not in the means above", done=False)
    return {"lines": lines, "undone": undone, **shared}


def share(runs: Iterable[Run], words: str, *, done: bool = True) -> str:
    """34 of 44 runs done, the mean image aside: `bench status` counts that too."""
    everyone = list(runs)
    compared = [run for run in everyone if not run.is_baseline]
    aside = ", the mean image aside" if len(compared) < len(everyone) else ""
    count = sum((run.state == "done") == done for run in compared)
    return f"{typeset(count, 0)} of {typeset(len(compared), 0)} run{'' if len(compared) == 1 else 's'} {words}{aside}"


def _traceback(sweep: Path, run: Run) -> str:
    """Its last lines, if there is one."""
    try:
        text = (sweep / "runs" / run.name / "traceback.txt").read_text(errors="replace")
    except OSError:
        return ""
    lines = text.rstrip().splitlines()
    return "\n".join((["…"] if len(lines) > TRACEBACK_LINES else []) + lines[-TRACEBACK_LINES:])


def how(path: Path, runs: Sequence[Run], unreadable: Sequence[str]) -> dict[str, Any]:
    """The content of the last section: the distinct command lines behind the runs, quoted for a shell, the one with
    most runs first."""
    lines = Counter(_command(run.provenance.get("command")) for run in runs)
    commands = [(text, count) for text, count in lines.most_common() if text]
    return {
        "commands": commands[:COMMANDS],
        "more": len(commands[COMMANDS:]),
        "commits": commits(runs),
        "folder": shlex.quote(str(path)),
        "unreadable": unreadable,
    }


def commits(runs: Iterable[Run]) -> list[tuple[str, int]]:
    return Counter(str(run.provenance["git"]) for run in runs if run.provenance.get("git")).most_common()


def _command(words: object) -> str:
    if not isinstance(words, list) or not words:
        return ""
    program, *arguments = map(str, words)
    name = Path(program).name
    # the first is what Python calls `-m bench.cli`, the second what it was called before that was a package
    start = "python -m bench.cli" if name in ("__main__.py", "cli.py") else shlex.quote(name)
    return " ".join([start, *map(shlex.quote, arguments)])
