"""python -m bench.speed.records [RUNS ...]: what it takes to read and write the records of large sweeps.

Makes sweeps of so many runs (100, 1,000 and 10,000) of 1,000 rows each in a temporary folder, 1.7 GB for the largest,
and prints time and peak memory of a process on two cores that does nothing but one thing, its start and imports
included. The files have just been written, so they come from memory and not from a disk. For Linux.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.records import open_sweep

CORES = 2
ESTIMATORS = ("daps", "daps:epsilon=0.1,k=16", "gumbel_softmax", "vq", "fsq")
TRAIN = ("log_lik", "kl", "grad_norm", "realised_kl", "term/eta", "term/ess", "term/step", "term/temperature")
TEST = ("psnr", "ssim", "mae", "log_lik", "kl", "bits", "elbo", "beta_elbo")
USE = ("usage", "perplexity")
POSITIONS = 16
STEPS = range(0, 10_000, 500)
ROWS = len(STEPS) * (len(TRAIN) + len(TEST) + len(USE) * (1 + POSITIONS))
DISTINCT = 50
"""Files of rows; all runs have a copy of one of them."""

TABLE = "from bench import records; from pathlib import Path; import sys; sweep = Path(sys.argv[1]); "
MEASURED = {
    "load": TABLE + "records.load(sweep)",
    "load(metric='psnr', split='test')": TABLE + "records.load(sweep, metric='psnr', split='test')",
    "load(columns=['run', 'value'], ...)": TABLE + "records.load(sweep, ['run', 'value'], metric='psnr', split='test')",
    "load(estimator='vq', ...)": TABLE + "records.load(sweep, estimator='vq', metric='psnr', split='test')",
    "load and write_table": TABLE + "records.write_table(records.load(sweep), sweep)",
    "bench status": "import sys; sys.argv[1:1] = ['status']; from bench import cli; cli.main()",
}


def rows(seed: int) -> Iterator[dict[str, object]]:
    """What a run writes."""
    rng = random.Random(seed)
    use = (*USE, *(f"{metric}/{position}" for metric in USE for position in range(POSITIONS)))
    for step in STEPS:
        cost = {"step": step, "images": 64 * step, "decodes": 1024 * step, "seconds": step * rng.uniform(0.01, 0.02)}
        for split, readout, metrics in (("train", "", TRAIN), ("test", "sample", TEST), ("test", "mode", use)):
            for metric in metrics:
                value = float("nan") if metric == "elbo" and seed % 5 > 2 else rng.gauss(0, 10)
                yield {**cost, "split": split, "readout": readout, "metric": metric, "value": value, "n": 10_000}


def make(sweep: Path, runs: int) -> None:
    """A sweep of finished runs."""
    open_sweep(sweep)
    contents = ["".join(json.dumps(row) + "\n" for row in rows(seed)) for seed in range(min(runs, DISTINCT))]
    for number in range(runs):
        what = {"run": f"{random.Random(number).getrandbits(64):016x}", "estimator": ESTIMATORS[number % 5]}
        what |= {"posterior": ("factorised", "causal")[number // 5 % 2], "dataset": "cifar10", "preset": "standard"}
        what |= {"seed": number // 10, "device": "cuda"}
        folder = sweep / "runs" / str(what["run"])
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"identity": what}, indent=1))
        (folder / "status.json").write_text(json.dumps({**what, "state": "done", "seconds": 812.5}, indent=1))
        (folder / "rows.jsonl").write_text(contents[number % len(contents)])


def measure(code: str, sweep: Path) -> tuple[float, float, float]:
    """Seconds, seconds of all cores together, and peak memory in MiB of a process that runs `code`."""
    began = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, str(sweep)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"failed: {code}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(counts: list[int]) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    table = Table("runs", "rows", "what", "s", "CPU s", "MiB", box=None)
    for column in table.columns[:2] + table.columns[3:]:
        column.justify = "right"
    with tempfile.TemporaryDirectory() as folder:
        for runs in counts:
            sweep = Path(folder) / str(runs)
            make(sweep, runs)
            for what, code in MEASURED.items():
                seconds, cpu, memory = measure(code, sweep)
                table.add_row(f"{runs:,}", f"{runs * ROWS:,}", what, f"{seconds:.2f}", f"{cpu:.2f}", f"{memory:.0f}")
            shutil.rmtree(sweep)
    Console().print(table)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [100, 1000, 10_000])
