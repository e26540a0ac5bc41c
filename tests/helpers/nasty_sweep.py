"""A sweep in which all goes wrong that can, and what every view of it must say."""

import shutil
from pathlib import Path

from helpers.synthetic_sweep import add_run, new_sweep, originals

HEIGHT, WIDTH = 8, 16
SCORES = {
    "daps:k=16": (0.901, 0.912, 0.893),
    "vq · lr=0.01": (0.850, 0.861, 0.842),
    "vq · lr=0.002": (0.801, 0.823, 0.795),
    "fsq": (0.702, 0.713),
    "reinforce": (0.651,),
}
"""SSIM of the runs that are done, best mean first. Nobody measured a PSNR, so this ranks."""
PERPLEXITY = {"daps:k=16": 30.0, "vq · lr=0.01": 50.0, "vq · lr=0.002": 12.5, "fsq": 1234.56, "reinforce": 7.0}
BASELINE_SCORE = 0.312
WITHOUT_VALUE = ("gumbel_softmax", "vq")
"""Diverged on every seed, and skipped."""
LEFT_OUT = (
    "3 diverged (daps:k=16, factorised, seed 3; gumbel_softmax, factorised, seeds 0, 1), "
    "1 failed (reinforce, factorised, seed 1), 1 skipped (vq, causal, seed 0), 1 stopped (fsq, factorised, seed 2), "
    "1 running (fsq, factorised, seed 3)"
)


def nasty_sweep(path: Path) -> Path:
    """Runs that diverged, stopped, failed, were skipped, and run; each would be the best if it counted. Two learning
    rates of one estimator; one with a single seed; no PSNR; images that are not square; rows that were half written; a
    copy of a run's folder; the baseline."""
    sweep = new_sweep(path)

    def add(estimator: str, seed: int, ssim: float, **more) -> Path:
        found = {"psnr": None, "samples": originals(HEIGHT, WIDTH), "n": 12, **more}
        found["provenance"] = {"dataset": {"source": "embedded", "shape": [3, HEIGHT, WIDTH]}}
        return add_run(sweep, estimator, seed=seed, curves={"ssim": ssim}, **found)

    for name, scores in SCORES.items():
        estimator, _, variant = name.partition(" · ")
        config = {"lr": float(variant.partition("=")[2])} if variant else {}
        for seed, ssim in enumerate(scores):
            folder = add(estimator, seed, ssim, config=config, metrics={"perplexity": PERPLEXITY[name]})
            # as a process leaves it that is killed while it writes
            with (folder / "rows.jsonl").open("a") as rows:
                rows.write('{"step": 100, "images": 3200, "decod' if seed else "")
        if estimator == "fsq":
            shutil.copytree(folder, folder.with_name(f"{folder.name}-copy"))
    add("daps:k=16", 3, 0.999, state="diverged", status={"step": 100}, metrics={"perplexity": 64.0})
    for seed in range(2):
        add("gumbel_softmax", seed, 0.999, state="diverged", status={"step": 100})
    add("vq", 0, 0.999, posterior="causal", state="skipped", status={"reason": "vq emits vectors"}, config={"lr": 0.01})
    add("fsq", 2, 0.999, state="stopped", status={"reason": "was asked to stop"}, steps=(0, 50))
    running = add("fsq", 3, 0.999, state="running", steps=(0, 50))
    with (running / "rows.jsonl").open("a") as rows:
        rows.write('{"step": 100, "split": "test", "readout": "sample", "metric": "ssim", "value": 0.99')
    add("reinforce", 1, 0.999, state="failed", status={"reason": "RuntimeError: out of memory"}, traceback="...")
    add("baseline:mean", 0, BASELINE_SCORE, posterior="none", steps=[0], positions=0)
    return sweep
