"""`bench tune`, for real on digits: what it leaves, how it goes on, and what it refuses."""

import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from helpers.sweeps import start

import estimators
from bench import records, tables
from bench.config import Preset, resolve
from bench.machine.files import read_json
from bench.records.tuning import FILE, SEED, Tuning, read_tuning
from estimators import Range

SETTINGS = ["--set", "eval_every=6", "--set", "log_every=6", "--set", "batch_size=16", "--metrics", "psnr"]
TUNE = ["tune", "--dataset", "digits", "--preset", "quick", *SETTINGS]
SHORT = [*TUNE, "--steps", "6", "--seeds", "2"]


def left(folder: Path) -> tuple[bytes, list[tables.Grid], bytes]:
    """All that follows from the trials: the preset, the tables, the record."""
    grids = tables.of_tuning(read_tuning(folder))
    return (folder / "tuned.yaml").read_bytes(), grids, (folder / FILE).read_bytes()


@pytest.fixture
def tuned(bench):
    def call(*arguments: str) -> Tuning:
        code, _, err = bench(*SHORT, *arguments, "--out", "tuned")
        assert code == 0, err
        return read_tuning(Path("tuned"))

    return call


@pytest.mark.slow
def test_every_estimator_has_as_many_trials_and_the_best_runs_again_beside_the_default(tuned):
    found = tuned("-e", "daps,gumbel_softmax,gumbel_softmax:k=8", "--trials", "3")
    assert isinstance(records.read("tuned"), Tuning)
    assert [len(search.trials) for search in found.searches] == [3, 3, 3]
    one = found.comparison
    assert one.split == "validation"
    for search in found.searches:
        assert {trial.run.seed for trial in search.trials if trial.run} == {SEED}
        values = [trial.value for trial in search.trials]
        assert search.best == search.trials[values.index(max(values))]
        assert search.default is not None
        assert search.tuned is not None
        assert [run.seed for run in one.runs[search.default]] == [SEED + 1, SEED + 2]
        assert [run.seed for run in one.runs[search.tuned]] == [SEED + 1, SEED + 2]
        assert (search.tuned == search.default) == (search.best.number == 0)
    rows = records.load("tuned")
    assert set(rows["split"]) == {"train", "validation"}
    names = {path.name for path in Path("tuned/figures").glob("*.png")}
    assert names >= {"expected_best.png", "final.png"}
    page = Path("tuned/report.html").read_text()
    assert "What did tuning gain?" in page
    assert re.search(r"<td class=\"num\">\d of 3</td>", page)


def test_tuned_yaml_is_a_preset_that_gives_every_estimator_its_best_trial(tuned):
    found = tuned("-e", "daps,vq,vq:codebook=ema,fsq", "--trials", "4")
    text = Path("tuned/tuned.yaml").read_text()
    preset = Preset("digits", "tuned/tuned.yaml")
    differ = {"preset", "estimator", "seed", "final_split"}
    for search in found.searches:
        assert search.best is not None
        assert search.best.run is not None
        ran = search.best.run.config
        made = resolve(
            estimator=search.estimator, posterior="factorised", preset=preset, seed=0, device="cpu", dataset="digits",
            fingerprint=ran["fingerprint"], shape=(1, 8, 8), metrics=("psnr",), overrides={},
        ).model_dump(mode="json")  # fmt: skip
        assert made["estimator"] == search.estimator
        assert {key: value for key, value in made.items() if key not in differ} == {
            key: value for key, value in ran.items() if key not in differ
        }
        assert f"trial {search.best.number} of 4: psnr" in text


@pytest.mark.slow
def test_more_trials_go_on_from_those_there_are_and_another_estimator_changes_none(tuned):
    before = {search.estimator: search for search in tuned("-e", "fsq", "--trials", "2").searches}
    stamps = {path: path.stat().st_mtime_ns for path in Path("tuned").glob("runs/*/rows.jsonl")}
    after = {search.estimator: search for search in tuned("-e", "fsq,straight_through", "--trials", "4").searches}
    assert [trial.words for trial in after["fsq"].trials[:2]] == [trial.words for trial in before["fsq"].trials]
    assert [trial.value for trial in after["fsq"].trials[:2]] == [trial.value for trial in before["fsq"].trials]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    # fewer trials, or one estimator less, take nothing away
    assert [len(search.trials) for search in tuned("-e", "fsq", "--trials", "2").searches] == [4, 4]


def test_trials_that_are_impossible_or_diverge_are_there_without_a_value(bench, monkeypatch):
    monkeypatch.setattr(estimators.available()["daps"], "space", {"ess_target": Range(0.01, 0.6, log=False)})
    code, _, err = bench(*SHORT, "-e", "daps", "--trials", "8", "--set", "lr=0.002", "--out", "tuned")
    assert code == 0, err
    (search,) = read_tuning(Path("tuned")).searches
    skipped = [trial for trial in search.trials if trial.run and trial.run.state == "skipped"]
    assert skipped
    assert all("ess_target" in trial.run.reason for trial in skipped if trial.run)
    assert len(search.trials) == 8
    assert search.best is not None
    assert search.best.number not in {trial.number for trial in skipped}


@pytest.mark.slow
def test_members_of_a_group_that_are_impossible_are_skipped_and_the_rest_is_tuned(tuned):
    found = tuned("-e", "score_functions", "--trials", "1")
    lost = {search.estimator for search in found.searches if search.best is None}
    assert lost == {"carms"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trials", "0"], "--trials"),
        (["--trials", "many"], "--trials"),
        (["--metric", "psnrr"], "did you mean psnr?"),
        (["--metric", "usage"], "no trial is better by that"),
        (["--metric", "ssim"], "--metrics leaves it out"),
        (["-e", "carms"], "may be 2 to 16"),
        (["-e", "coree"], "did you mean core?"),
        (["-e", ","], "--estimator is empty"),
        (["--set", "lr=0.1"], "fsq has nothing left to tune"),
        (["--preset", "nowhere.yaml"], "cannot be read"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing(bench, tmp_path, arguments, words):
    estimator = [] if "-e" in arguments else ["-e", "fsq"]
    code, out, err = bench(*SHORT, *estimator, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    if err.startswith("bench:"):
        assert re.fullmatch(r"bench: [^\n]+\n", err)
    assert list(tmp_path.iterdir()) == []


def test_a_plug_in_whose_space_has_an_unknown_key_is_refused_in_one_line(bench, odd, tmp_path):
    odd("pass")
    source = tmp_path / "site/odd_estimator.py"
    source.write_text(source.read_text() + "\n    space = {'temperature': estimators.Range(0.1, 1.0)}\n")
    source.write_text("import estimators\n" + source.read_text())
    estimators.available.cache_clear()
    sys.modules.pop("odd_estimator", None)
    code, out, err = bench(*SHORT, "-e", "odd")
    assert (code, out) == (2, "")
    assert err == "bench: the search space of odd has 'temperature', which is no argument; valid: k\n"


def test_a_folder_with_another_search_is_left_alone(bench, tuned):
    tuned("-e", "fsq", "--trials", "1")
    before = (Path("tuned") / FILE).read_bytes()
    code, _, err = bench(*SHORT, "-e", "fsq", "--trials", "1", "--set", "width=16", "--out", "tuned")
    assert code == 2
    assert err == "bench: tuned holds another search: settings not the same; try another --out\n"
    assert (Path("tuned") / FILE).read_bytes() == before
    assert read_json(Path("tuned") / FILE)["metric"] == "psnr"


@pytest.mark.slow
def test_a_search_killed_at_random_and_continued_leaves_what_an_undisturbed_one_leaves(bench, tmp_path, capsys):
    seed = random.SystemRandom().randrange(10**6)
    with capsys.disabled():
        print(f"\nseed of the kills {seed}", file=sys.stderr)
    dice = random.Random(seed)
    command = [*TUNE, "-e", "daps,vq", "--trials", "4", "--seeds", "2", "--steps", "100", "--checkpoint-every", "20"]
    killed = 0
    while killed < 3:
        process = start(*command, "--out", str(tmp_path / "killed"), cwd=tmp_path)
        time.sleep(dice.uniform(3, 8))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        else:
            break
        process.communicate()
    for out in ("killed", "undisturbed"):
        code, _, err = bench(*command, "--out", out)
        assert code == 0, err
    assert left(Path("killed")) == left(Path("undisturbed"))
