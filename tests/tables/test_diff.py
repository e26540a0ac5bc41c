"""`bench diff` tells seed noise from change, and settings of one estimator from each other."""

import json

import pytest
from helpers.scored_sweeps import near, sweep
from rich.console import Console

from bench import records
from bench.tables import diff

BEFORE = {"daps": near(17.0), "vq": near(18.0), "fsq": [18.02, 17.97, 18.0, 17.99, 18.03], "a_b|&c": near(3.0)}


@pytest.fixture
def folder(tmp_path):
    return sweep(tmp_path / "sweep", BEFORE)


def printed(before: records.Sweep, after: records.Sweep) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(diff.view(before, after), highlight=False)
    return captured.get()


def test_a_change_beyond_the_seeds_is_named_and_noise_is_not(folder, tmp_path):
    scores = {"daps": near(17.0, 0.02), "vq": near(17.5), "fsq": near(18.0)}
    before = records.read(folder)
    after = records.read(sweep(tmp_path / "after", scores, lr=2e-3, arguments={"k": 16}))
    lines = diff.settings_changed(before, after)
    assert "lr: 0.001 -> 0.002 (daps factorised, fsq factorised, vq factorised)" in lines
    assert "arguments.k: 8 -> 16 (daps factorised, fsq factorised, vq factorised)" in lines
    assert any(line.startswith("only in") and "a_b|&c" in line for line in lines)
    changes = diff.moved(before, after)
    verdicts = changes.query("metric == 'psnr'").set_index("estimator")["verdict"].to_dict()
    assert verdicts == {"daps": "within seed noise", "fsq": "within seed noise", "vq": "worse", "a_b|&c": "only before"}
    (row,) = diff.table(changes).rows
    assert row == ["vq", "factorised", "PSNR [dB]", "18.00", "17.50", "-0.50", "-0.50 to -0.50", "worse"]
    assert "1 worse" in diff.verdict(changes)


def test_means_before_and_after_are_those_of_the_seeds_that_the_difference_is_of(tmp_path):
    before = records.read(sweep(tmp_path / "before", {"vq": [*near(18.0, 0.02), 90.0, 90.0]}))
    after = records.read(sweep(tmp_path / "after", {"vq": near(17.5)}))
    (row,) = diff.table(diff.moved(before, after)).rows
    assert row[3:6] == ["18.00", "17.50", "-0.5004"]


def test_settings_of_one_estimator_are_told_apart_and_compared_each_with_its_own(tmp_path):
    for name, shift in (("before", 0.0), ("after", 1.0)):
        sweep(tmp_path / name, {"vq": near(18.0)}, lr=1e-3)
        sweep(tmp_path / name, {"vq": near(15.0 + shift, 0.02)}, suffix="b", lr=2e-3)
    before, after = (records.read(tmp_path / name) for name in ("before", "after"))
    assert diff.settings_changed(before, after) == []
    verdicts = diff.moved(before, after).set_index("estimator")["verdict"].to_dict()
    assert verdicts == {"vq · lr=0.001": "equal", "vq · lr=0.002": "better"}
    assert "vq · lr=0.002" in printed(before, after)


def test_what_users_named_is_not_read_as_markup(tmp_path):
    before = records.read(sweep(tmp_path / "[red]a", {"[bold]x": near(18.0), "y": near(1.0)}))
    after = records.read(sweep(tmp_path / "b", {"[bold]x": near(17.0, 0.02)}))
    text = printed(before, after)
    assert "[bold]x" in text
    assert "/[red]a: y" in text.replace("\n", "")


def test_several_datasets_are_named(tmp_path):
    for name, score in (("before", 18.0), ("after", 17.0)):
        for dataset in ("digits", "faces"):
            sweep(tmp_path / name, {"vq": near(score, score / 1000)}, dataset=dataset, suffix=dataset)
    changes = diff.moved(*(records.read(tmp_path / name) for name in ("before", "after")))
    assert [row[:3] for row in diff.table(changes).rows] == [["digits", "quick", "vq"], ["faces", "quick", "vq"]]


def test_a_sweep_differs_from_itself_in_nothing(folder):
    here = records.read(folder)
    assert diff.settings_changed(here, here) == []
    assert set(diff.moved(here, here)["verdict"]) <= {"equal"}


def test_a_folder_without_finished_runs_is_refused(folder, tmp_path):
    records.open_sweep(tmp_path / "empty")
    with pytest.raises(ValueError, match="has no finished run"):
        diff.moved(records.read(folder), records.read(tmp_path / "empty"))


def test_the_command_prints(bench, folder, tmp_path):
    after = sweep(tmp_path / "after", {"vq": near(17.5)})
    code, out, _ = bench("diff", str(folder), str(after))
    assert code == 0
    assert "worse" in out
    code, _, err = bench("diff", str(folder), "nowhere")
    assert code == 2
    assert "is not a sweep" in err
    assert json.loads((after / "sweep.json").read_text())["format"] == 1
