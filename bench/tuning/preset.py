"""tuned.yaml: what was chosen, as a preset that `--preset` takes."""

from pathlib import Path
from typing import Any

import yaml

from bench.config import own_preset
from bench.machine.files import write_atomically
from bench.machine.provenance import PROTOCOL
from bench.records.tuning import SEED, TUNED, Search, Tuning
from bench.text import number

FILE = "tuned.yaml"
_HEAD = """\
# What `bench tune` chose by {metric} on validation images of {dataset}, seed {seed}: the best trial of each estimator,
# around the settings of preset {preset}{budget}. No test image was read. Rules name what they are from; the protocol is
# version {protocol}.
"""


def write(tuning: Tuning) -> Path:
    """From the record of the search and its rows alone: the same trials give the same bytes. Returns the path."""
    path = tuning.path / FILE
    record = tuning.record
    budget = f", budget {record['budget']}" if record["budget"] else ""
    head = _HEAD.format(**{**record, "metric": tuning.metric, "seed": SEED, "budget": budget, "protocol": PROTOCOL})
    # those for all of an estimator before those for some of it, which then win
    chosen = sorted(tuning.searches, key=lambda search: (search.estimator.count("="), search.estimator))
    rules = [_rule(search) for search in chosen if search.best is not None]
    section = {**record["settings"], "seeds": record["seeds"], "rules": [*record["rules"], *rules]}
    content = {"extends": record["family"], TUNED: section}
    text = yaml.safe_dump(content, sort_keys=False, width=120, default_flow_style=None)
    write_atomically(path, (head + text).encode())
    own_preset(path)
    return path


def _rule(search: Search) -> dict[str, Any]:
    best, info = search.best, search.metric
    assert best is not None

    def score(value: float) -> str:
        return f"{number(value, 6).rstrip('0').rstrip('.')}{info.suffix}"

    source = f"trial {best.number} of {len(search.trials)}: {info.name} {score(best.value)}"
    default = search.trials[0].value
    source += "" if best.number == 0 else f", against {score(default)} as in the preset"
    return {
        "estimator": search.estimator,
        "posterior": search.posterior,
        "arguments": dict(best.arguments),
        "set": dict(best.settings),
        "source": source,
    }
