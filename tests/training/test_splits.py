"""Train to learn from, validation to choose by, test read once: when a run has ended, and only of runs by which nothing
is chosen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from helpers.configs import DIGITS, PIXELS, tiny

from bench import data, records
from bench.build import build
from bench.data import Dataset
from bench.records.folder import RunFolder
from bench.training.loop import train
from bench.training.run import Job, perform
from bench.training.step import Trainer


class TooEarly(Exception):
    pass


@dataclass(frozen=True)
class Guarded:
    """Images that nobody may see while `closed` holds something."""

    images: data.Images
    closed: list[str]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, order: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        if self.closed:
            raise TooEarly
        return self.images.batches(order)

    def to(self, device: torch.device, *, held: bool) -> "Guarded":
        if held:
            raise TooEarly
        return self


def guarded(closed: list[str]) -> Dataset:
    return replace(DIGITS, test=Guarded(DIGITS.test, closed))


def go(folder, made, dataset, should_stop) -> None:
    run = RunFolder(folder, made.digest)
    run.start({"run": made.digest}, {}, {})
    train(Trainer(made, build(made, dataset.shape, PIXELS)), dataset, run, ("psnr",), should_stop=should_stop)


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
@pytest.mark.parametrize("spec", ["daps", "reinforce:baseline=critic", "gumbel_softmax", "vq", "fsq"])
def test_no_test_image_is_read_before_the_last_step(tmp_path, spec, posterior):
    if spec in ("vq", "fsq") and posterior == "causal":
        pytest.skip("no such combination")
    made, closed = tiny(spec, posterior), ["until the last step is done"]
    steps = iter(range(made.steps, 0, -1))

    def until_the_end() -> bool:
        if next(steps) == 1:
            closed.clear()
        return False

    go(tmp_path, made, guarded(closed).to(torch.device("cpu")), until_the_end)
    assert not closed


def test_reading_the_test_early_is_found_out(tmp_path):
    with pytest.raises(TooEarly):
        go(tmp_path, tiny("fsq"), guarded(["for ever"]), lambda: False)


@pytest.mark.parametrize("is_baseline", [False, True])
def test_a_run_by_which_something_is_chosen_never_reads_a_test_image(tmp_path, is_baseline):
    made = tiny("fsq").model_copy(update={"final_split": "validation"})
    records.open_sweep(tmp_path)
    job = Job(tmp_path, made, PIXELS, ("psnr",), {}, None, False, is_baseline=is_baseline)
    job.folder.queue(job.identity)
    perform(job, guarded(["for ever"]))
    assert job.folder.status["state"] == "done"
    rows = records.load(tmp_path)
    assert set(rows["split"]) <= {"train", "validation"}
    last = rows[(rows["split"] == "validation") & (rows["step"] == rows["step"].max())]
    assert set(last["readout"]) == {"sample", "mode"}
    # the last look and what the run came to are the same measurement, which stands there once
    assert not rows.duplicated(["run", "step", "split", "readout", "metric"]).any()


def test_the_test_is_measured_once_and_looks_are_of_validation(tmp_path):
    made = tiny("fsq", eval_every=3)
    records.open_sweep(tmp_path)
    for is_baseline in (False, True):
        job = Job(tmp_path, made, PIXELS, ("psnr",), {}, None, False, is_baseline=is_baseline)
        job.folder.queue(job.identity)
        perform(job, DIGITS)
    rows = records.load(tmp_path, metric="psnr", readout="sample", estimator="fsq")
    steps = {split: sorted(mine["step"]) for split, mine in rows.groupby("split", observed=True)}
    assert steps == {"validation": [0, 3, 6, 9], "test": [9]}
    (one,) = records.read(tmp_path).comparisons
    assert (one.split, one.curve_split) == ("test", "validation")
    assert one.means["psnr"][0] == rows[rows["split"] == "test"]["value"].item()
    curve = one.curves[one.curves["metric"] == "psnr"]
    assert curve["value"].tolist() == rows[rows["split"] == "validation"].sort_values("step")["value"].tolist()
    assert one.baseline("psnr", "validation") != one.baseline("psnr") == one.baseline("psnr", "test")
