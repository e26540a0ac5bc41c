"""A run that was interrupted anywhere ends with the rows of one that never was, bit for bit."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.configs import DIGITS, PIXELS, SPECS, tiny
from helpers.sweeps import written_rows as rows

from bench import records
from bench.build import build, skip_reason
from bench.records.folder import RunFolder
from bench.training import checkpoint
from bench.training.loop import Stopped, train
from bench.training.step import Trainer


class Killed(BaseException):
    """As sudden as a process can end without ending the test."""


def killed_at(step: int):
    """A `should_stop` that ends the run while this step is being counted, without a word."""
    calls = iter(range(1, 1000))

    def check() -> bool:
        if next(calls) == step:
            raise Killed
        return False

    return check


def stopped_at(step: int):
    calls = iter(range(1, 1000))
    return lambda: next(calls) == step


def go(sweep: Path, made, *, should_stop=lambda: False, every: int | None = 2, code: str = "same") -> RunFolder:
    """Begin, or go on with, one run."""
    records_folder = RunFolder(sweep, made.digest)
    records_folder.start({"run": made.digest}, {}, {})
    trainer = Trainer(made, build(made, DIGITS.shape, PIXELS))
    train(
        trainer,
        DIGITS,
        records_folder,
        ("psnr",),
        code=code,
        checkpoint_every=every,
        should_stop=should_stop,
    )
    return records_folder


@pytest.mark.parametrize("posterior", ["factorised", pytest.param("causal", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spec", SPECS)
def test_every_estimator_goes_on_to_the_bit(tmp_path, spec, posterior):
    made = tiny(spec, posterior)
    if skip_reason(made):
        pytest.skip("no such combination")
    whole = rows(go(tmp_path / "whole", made))
    for interruption in (killed_at(4), stopped_at(3)):
        with pytest.raises((Killed, Stopped)):
            go(tmp_path / "broken", made, should_stop=interruption)
    resumed = go(tmp_path / "broken", made)
    assert "going on from step 5" in (resumed.path / "log.txt").read_text()
    pd.testing.assert_frame_equal(rows(resumed), whole, check_exact=True)
    ends = [RunFolder(tmp_path / name, made.digest).path / "checkpoint.safetensors" for name in ("whole", "broken")]
    assert ends[0].read_bytes() == ends[1].read_bytes()


@pytest.mark.parametrize("step", range(1, 10))
def test_it_does_not_matter_when_a_run_is_killed(tmp_path, step):
    made = tiny("daps", lr_schedule="cosine")
    whole = rows(go(tmp_path / "whole", made, every=3))
    with pytest.raises(Killed):
        go(tmp_path / "broken", made, should_stop=killed_at(step), every=3)
    pd.testing.assert_frame_equal(rows(go(tmp_path / "broken", made, every=3)), whole, check_exact=True)


def test_a_run_killed_before_its_first_checkpoint_starts_over(tmp_path):
    made = tiny("fsq")
    with pytest.raises(Killed):
        go(tmp_path / "broken", made, should_stop=killed_at(3), every=5)
    resumed = go(tmp_path / "broken", made, every=5)
    assert not (resumed.path / "log.txt").exists()
    pd.testing.assert_frame_equal(rows(resumed), rows(go(tmp_path / "whole", made)), check_exact=True)


def test_a_stopped_run_loses_no_step(tmp_path):
    made = tiny("fsq")
    with pytest.raises(Stopped):
        go(tmp_path, made, should_stop=stopped_at(5), every=100)
    assert "step-000000005" in next(RunFolder(tmp_path, made.digest).path.glob("step-*")).name


def test_a_finished_run_keeps_its_weights_and_no_other_checkpoint(tmp_path):
    folder = go(tmp_path, tiny("fsq"))
    assert [path.name for path in folder.path.glob("*.safetensors")] == ["checkpoint.safetensors"]


def interrupted(tmp_path: Path, made) -> list[Path]:
    """The checkpoints of steps 4 and 6, of a run killed at step 7."""
    with pytest.raises(Killed):
        go(tmp_path / "broken", made, should_stop=killed_at(7))
    found = sorted(RunFolder(tmp_path / "broken", made.digest).path.glob("step-*"))
    assert [path.name[:14] for path in found] == ["step-000000004", "step-000000006"]
    return found


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_in_header(path: Path) -> None:
    """In what JSON would still read: a digit of the cost."""
    content = path.read_bytes()
    at = content.index(b"rows_bytes") + 15
    path.write_bytes(content[:at] + b"7" + content[at + 1 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip, flip_in_header, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_it(tmp_path, damage):
    made = tiny("vq:codebook=ema")
    _, newest = interrupted(tmp_path, made)
    damage(newest)
    resumed = go(tmp_path / "broken", made)
    log = (resumed.path / "log.txt").read_text()
    assert f"checkpoint {newest.name} cannot be used" in log
    assert "going on from step 4" in log
    pd.testing.assert_frame_equal(rows(resumed), rows(go(tmp_path / "whole", made)), check_exact=True)


def test_when_all_checkpoints_are_damaged_the_run_starts_over(tmp_path):
    made = tiny("fsq")
    for path in interrupted(tmp_path, made):
        flip(path)
    resumed = go(tmp_path / "broken", made)
    assert "going on" not in (resumed.path / "log.txt").read_text()
    pd.testing.assert_frame_equal(rows(resumed), rows(go(tmp_path / "whole", made)), check_exact=True)


def test_a_checkpoint_of_other_code_is_not_gone_on_from(tmp_path):
    made = tiny("fsq")
    interrupted(tmp_path, made)
    resumed = go(tmp_path / "broken", made, code="changed")
    assert "has changed since the checkpoint: starting over" in (resumed.path / "log.txt").read_text()
    pd.testing.assert_frame_equal(rows(resumed), rows(go(tmp_path / "whole", made)), check_exact=True)


def test_rows_lost_after_the_checkpoint_was_written_mean_starting_over(tmp_path):
    made = tiny("fsq")
    interrupted(tmp_path, made)
    path = RunFolder(tmp_path / "broken", made.digest).path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:50])
    resumed = go(tmp_path / "broken", made)
    pd.testing.assert_frame_equal(rows(resumed), rows(go(tmp_path / "whole", made)), check_exact=True)


def test_checkpoints_hold_no_code(tmp_path):
    tensors = {"a": torch.tensor([1.0, float("nan")]), "b": torch.arange(3)}
    checkpoint.write(tmp_path, 1, checkpoint.State(tensors, {"x": 0.1}))
    state = checkpoint.read(tmp_path, print)
    assert state is not None
    assert state.facts == {"x": 0.1}
    torch.testing.assert_close(state.tensors["a"], tensors["a"], equal_nan=True, rtol=0, atol=0)
    assert b"pickle" not in next(tmp_path.iterdir()).read_bytes()


def test_two_checkpoints_are_kept(tmp_path):
    for step in (5, 10, 1000):
        checkpoint.write(tmp_path, step, checkpoint.State({}, {"step": step}))
    assert len(list(tmp_path.iterdir())) == checkpoint.KEPT
    state = checkpoint.read(tmp_path, print)
    assert state is not None
    assert state.facts["step"] == 1000


def test_seconds_go_on_counting(tmp_path):
    made = tiny("fsq")
    interrupted(tmp_path, made)
    resumed = go(tmp_path / "broken", made)
    seconds = [json.loads(line)["seconds"] for line in (resumed.path / "rows.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds)
    assert records.COST_COLUMNS[-1] == "seconds"
