"""The commands and commits behind the runs."""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.pages._sweep import Run


@dataclass(frozen=True)
class Command:
    text: str
    runs: int


def commands(runs: Iterable[Run]) -> list[Command]:
    """The distinct command lines behind the runs, quoted for a shell, the one with most runs first."""
    lines = Counter(_command(run.provenance.get("command")) for run in runs)
    return [Command(text, count) for text, count in lines.most_common() if text]


def commits(runs: Iterable[Run]) -> list[tuple[str, int]]:
    return Counter(str(run.provenance["git"]) for run in runs if run.provenance.get("git")).most_common()


def _command(words: object) -> str:
    if not isinstance(words, list) or not words:
        return ""
    program, *arguments = map(str, words)
    start = "python -m bench.cli" if program.endswith("cli.py") else shlex.quote(Path(program).name)
    return " ".join([start, *map(shlex.quote, arguments)])
