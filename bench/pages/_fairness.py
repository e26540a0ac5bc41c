"""What a reader needs to judge whether the comparison was fair."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bench.pages._how import commits
from bench.pages._metrics import number, seeds_in_words
from bench.pages._sweep import Method, Run, Setting, varying

PARAMETER_TOLERANCE = 0.05
"""Of the models' sizes at equal bits, codebooks aside."""
PER_METHOD = ("seed", "estimator", "posterior")


@dataclass(frozen=True)
class Terms:
    """One method's share of the resources."""

    method: Method
    index: int
    seeds: str
    steps: str
    latent: str
    bits: str
    parameters: str
    owned: str
    """Parameters of the estimator itself."""
    decodes: str
    """Per training image."""
    device: str


@dataclass(frozen=True)
class Fact:
    """One thing that is recorded per run."""

    name: str
    values: list[tuple[str, int]]
    """With how many runs have it, the most frequent first."""

    @property
    def differs(self) -> bool:
        return len(self.values) > 1


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same for all methods."""

    name: str
    values: list[tuple[str, list[str]]]
    """With the methods that have it."""


@dataclass(frozen=True)
class Fairness:
    warnings: list[str]
    terms: list[Terms]
    differences: list[Difference]
    environment: list[Fact]
    dataset: list[Fact]
    absent: list[Fact]
    """Metrics that were asked for and could not be had, with the reason."""
    definitions: list[tuple[str, str]]
    shared: list[tuple[str, str]]
    """Settings that are the same for all runs."""


def fairness(setting: Setting) -> Fairness:
    runs = setting.compared
    started = [run for run in runs if run.config]
    differences = _differences(setting)
    environment = _environment(started)
    terms = [_terms(setting, i, m) for i, m in enumerate(setting.methods) if not m.is_baseline]
    return Fairness(
        warnings=_warnings(setting, environment),
        terms=terms,
        differences=differences,
        environment=environment,
        dataset=_facts(started, lambda run: run.provenance.get("dataset")),
        absent=_facts(started, lambda run: run.provenance.get("absent")),
        definitions=_definitions(started),
        shared=_shared(started, {difference.name for difference in differences}),
    )


def _terms(setting: Setting, index: int, method: Method) -> Terms:
    runs = setting.runs[index]
    configs = [run.config for run in runs if run.config]
    rows = setting.rows.get(index, setting.frame.iloc[:0])

    def measured(metric: str) -> str:
        values = rows["value"][rows["metric"] == metric].dropna()
        return _span(values, lambda value: number(value, 0))

    trained = rows[(rows["images"] > 0) & (rows["decodes"] > 0)]
    last = trained.drop_duplicates("run", keep="last")
    return Terms(
        method=method,
        index=index,
        seeds=seeds_in_words([run.seed for run in runs]),
        steps=_span([c["steps"] for c in configs if "steps" in c], lambda n: number(n, 0)),
        latent=_span([_latent(c) for c in configs], lambda pair: f"{pair[0]} × {pair[1]}" if pair else "–"),
        bits=_span([_bits(c) for c in configs], lambda bits: number(bits, 0 if bits == round(bits or 0) else 1)),
        parameters=measured("parameters"),
        owned=measured("parameters_estimator"),
        decodes=_span((last["decodes"] / last["images"]).round(2), lambda value: f"{value:g}"),
        device=_span([run.status.get("device", "–") for run in runs], str),
    )


def _latent(config: dict[str, Any]) -> tuple[int, int] | None:
    length, vocab = config.get("length"), config.get("vocab")
    return (length, vocab) if isinstance(length, int) and isinstance(vocab, int) else None


def _bits(config: dict[str, Any]) -> float | None:
    latent = _latent(config)
    return latent[0] * math.log2(latent[1]) if latent and latent[1] > 0 else None


def _span(values: Iterable[Any], show: Callable[[Any], str]) -> str:
    """One value, or the lowest and the highest."""
    known = sorted({value for value in values if value is not None})
    if not known:
        return "–"
    return show(known[0]) if len(known) == 1 else f"{show(known[0])} to {show(known[-1])}"


def _warnings(setting: Setting, environment: list[Fact]) -> list[str]:
    """What a sceptic would ask about, in sentences."""
    found = []
    for fact in environment:
        if fact.differs:
            counts = "; ".join(f"{value} ({count} runs)" for value, count in fact.values[:4])
            found.append(f"Runs differ in {fact.name}: {counts}.")
    done = {i: frozenset(r.seed for r in runs if r.state == "done") for i, runs in setting.runs.items()}
    seeds = {mine for i, mine in done.items() if mine and not setting.methods[i].is_baseline}
    if len(seeds) > 1:
        found.append("Methods finished different seeds; comparisons use the seeds that two methods share.")
    found += _unequal_sizes(setting)
    bits = {_bits(run.config) for run in setting.compared if run.config}
    if len(bits) > 1:
        texts = ", ".join(number(b, 1) for b in sorted(b for b in bits if b is not None))
        found.append(f"Methods have latents of different capacity: {texts} bits per image.")
    tests = setting.frame[(setting.frame["split"] == "test") & (setting.frame["metric"] == "psnr")]
    sizes = sorted(set(tests["n"].dropna()))
    if len(sizes) > 1:
        found.append(f"Numbers of test images differ: {', '.join(number(n, 0) for n in sizes)}.")
    for commit, count in commits(setting.compared):
        if commit.endswith("+changes"):
            found.append(f"{count} runs were made with uncommitted changes on top of {commit.split('+')[0][:12]}.")
    return found


def _unequal_sizes(setting: Setting) -> list[str]:
    """Models further apart than PARAMETER_TOLERANCE at equal bits and posterior."""
    rows = setting.frame[setting.frame["metric"] == "parameters"].dropna(subset="value")
    sizes = rows.groupby("method")["value"].first().to_dict()
    groups: dict[Any, dict[int, float]] = defaultdict(dict)
    for index, size in sizes.items():
        config = next((run.config for run in setting.runs[index] if run.config), {})
        groups[setting.methods[index].posterior, _bits(config)][index] = size
    found = []
    for (posterior, _), mine in groups.items():
        small, large = min(mine, key=mine.__getitem__), max(mine, key=mine.__getitem__)
        if mine[large] > (1 + PARAMETER_TOLERANCE) * mine[small]:
            names = (setting.methods[large].name, setting.methods[small].name)
            excess = 100 * (mine[large] / mine[small] - 1)
            found.append(
                f"With the {posterior} posterior the model of {names[0]} is {excess:.0f} % larger "
                f"than that of {names[1]}."
            )
    return found


def _differences(setting: Setting) -> list[Difference]:
    """Settings with more than one value, with the methods that have each; the estimators' own arguments aside."""
    pairs = [
        (method, {k: v for k, v in run.config.items() if k not in (*PER_METHOD, "arguments")})
        for index, method in enumerate(setting.methods)
        for run in setting.runs[index][:1]
        if run.config and not method.is_baseline
    ]
    found = []
    for name, values in varying(config for _, config in pairs).items():
        by_value: dict[str, list[str]] = defaultdict(list)
        for (method, _), value in zip(pairs, values, strict=True):
            by_value[value].append(f"{method.name}, {method.posterior}")
        found.append(Difference(name, sorted(by_value.items(), key=lambda item: -len(item[1]))))
    return found


def _shared(runs: list[Run], differing: set[str]) -> list[tuple[str, str]]:
    skipped = {*PER_METHOD, *differing, "arguments"}
    config = runs[0].config if runs else {}
    return [(key, _text(value)) for key, value in config.items() if key not in skipped]


def _environment(runs: list[Run]) -> list[Fact]:
    def recorded(run: Run) -> dict[str, object]:
        hardware, versions = run.provenance.get("hardware"), run.provenance.get("versions")
        return {
            "device": run.status.get("device"),
            **(hardware if isinstance(hardware, dict) else {}),
            "commit": run.provenance.get("git"),
            **(versions if isinstance(versions, dict) else {}),
        }

    return _facts(runs, recorded)


def _facts(runs: list[Run], recorded: Callable[[Run], object]) -> list[Fact]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for run in runs:
        values = recorded(run)
        for key, value in values.items() if isinstance(values, dict) else ():
            counts[str(key)][_text(value)] += 1
    return [Fact(name, values.most_common()) for name, values in counts.items()]


def _definitions(runs: list[Run]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for run in runs:
        metrics = run.provenance.get("metrics")
        for name, entry in metrics.items() if isinstance(metrics, dict) else ():
            if isinstance(entry, dict):
                found.setdefault(str(name), str(entry.get("definition", "")))
    return list(found.items())


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " × ".join(map(_text, value)) if all(isinstance(v, int) for v in value) else ", ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={_text(v)}" for key, v in value.items())
    return "not recorded" if value is None else str(value)
