"""What a sweep says of the plan that was frozen before it ran."""

from collections.abc import Iterable
from pathlib import Path

from bench.machine.files import read_json
from bench.records.folder import FINISHED
from bench.records.methods import Run
from bench.text import counted

FILE = "planned.json"
"""In the folder of a sweep: the frozen plan."""


def words(folder: Path, runs: Iterable[Run]) -> str:
    """One sentence for the first screen of a page; empty where nothing was planned."""
    plan = read_json(folder / FILE)
    if not isinstance(planned := plan.get("runs"), list):
        return ""
    states = {run.name: run.state for run in runs if not run.is_baseline}
    done = sum(states.get(name) in FINISHED for name in planned)
    others = len(set(states) - set(planned))
    spec = plan.get("spec", {})
    decides = f"{spec['decides']} decides. " if isinstance(spec, dict) and "decides" in spec else ""
    sentence = f"{decides}Planned as {plan['hash']} on {plan['frozen']}, before the first run: {done} of "
    sentence += f"{counted(len(planned), 'planned run')} finished"
    return f"{sentence}, and {counted(others, 'run')} that the plan does not have." if others else f"{sentence}."
