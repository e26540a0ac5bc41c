"""A comparison that was written down before it ran: what it is, its hash, and its way into a sweep's folder."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.machine.files import as_json, create, digest_of, read_json, write_json
from bench.machine.provenance import PROTOCOL, code_fingerprint, of_code
from bench.records.planned import FILE
from bench.training.run import Job


def content(spec: Mapping[str, Any], runs: Iterable[RunConfig]) -> dict[str, Any]:
    """What is frozen: the specification as it was written, every run that follows with all its settings, and the code
    behind the numbers of each estimator."""
    runs = list(runs)
    code = {name: code_fingerprint(name) for name in sorted({config.estimator for config in runs})}
    return {"protocol": PROTOCOL, "spec": dict(spec), "runs": sorted({run.digest for run in runs}), "code": code}


def beside(spec: Path) -> Path:
    """Where the frozen plan of a specification lies."""
    return spec.with_suffix(".frozen.json")


def freeze(spec: Path, planned: Mapping[str, Any]) -> dict[str, Any]:
    """Write the plan down beside its specification, or find it there unchanged. Raises ValueError if another was."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    create(beside(spec), as_json({"hash": digest_of(planned), "frozen": now, **planned, **of_code()}))
    return check(spec, planned)


def check(spec: Path, planned: Mapping[str, Any]) -> dict[str, Any]:
    """The frozen plan. Raises ValueError if there is none, or what is planned now is not what was."""
    found = read_json(beside(spec))
    if not found:
        raise ValueError(f"{spec} is not frozen; type bench protocol freeze {spec}")
    if found.get("hash") == digest_of(planned):
        return found
    then, new = found.get("spec", {}), planned["spec"]
    keys = [key for key in {**then, **new} if then.get(key) != new.get(key)]
    what = (
        ", ".join(keys)
        if keys
        else "a preset, a default, the device, the images or the code, from which its numbers follow"
    )
    raise ValueError(
        f"{spec} was frozen on {found.get('frozen')} and has changed since: {what}; bring it back, or freeze it under "
        "another name"
    )


def adopt(folder: Path, frozen: Mapping[str, Any], jobs: Sequence[Job]) -> None:
    """Note in an open sweep's folder that its runs were planned. Raises ValueError if some began without the plan."""
    known = read_json(folder / FILE)
    if known.get("hash") == frozen["hash"]:
        return
    begun = [job for job in jobs if job.folder.status.get("state", "queued") != "queued"]
    if known or begun:
        raise ValueError(f"{folder} holds runs from before this plan; try another --out")
    write_json(folder / FILE, dict(frozen))
