"""What a step costs is counted as by hand, and what became slower than the reference is said."""

import dataclasses
import json
import math
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from helpers.recorded_ops import RecordedOperations

from bench import speed
from bench.speed._measure import count
from bench.speed._reference import _page

DIGITS = ["speed", "--dataset", "digits", "--batch-size", "4"]


def timing(**changes) -> speed.Timing:
    given = {
        "dataset": "cifar10",
        "estimator": "daps",
        "posterior": "causal",
        "precision": "float32",
        "batch": 32,
        "ms": 30.0,
        "gflop": 2.0,
        "gigabytes": 0.1,
        "gflop_per_second": 200.0,
        "gigabytes_per_second": 10.0,
        "sampling_ms": 6.0,
        "sampling_gflop": 0.8,
        "loop_percent": 1.0,
    }
    return speed.Timing(**(given | changes))


def test_products_and_bytes_are_counted_as_by_hand():
    left, right = torch.ones(4, 5), torch.ones(5, 6)
    found = count(lambda: (left.T.T.view(4, 5) @ right).relu_())
    assert found.gflop == pytest.approx(2 * 4 * 5 * 6 / 1e9)
    # the product reads 20 + 30 and writes 24 numbers; relu in place reads and writes 24; views cost nothing
    assert found.gigabytes == pytest.approx(4 * (20 + 30 + 24 + 24 + 24) / 1e9)


def test_attention_is_counted_as_two_products():
    query = torch.ones(2, 3, 7, 4)
    found = count(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query))
    assert found.gflop == pytest.approx(2 * 2 * (2 * 3 * 7 * 7 * 4) / 1e9)


def test_ratios_are_times_over_floors():
    made = timing()
    assert made.floor_ms == pytest.approx(10.0)
    assert made.ratio == pytest.approx(3.0)
    assert made.traffic_ms == pytest.approx(10.0)
    assert made.sampling_ratio == pytest.approx(1.5)
    assert math.isnan(timing(sampling_ms=math.nan, sampling_gflop=math.nan).sampling_ratio)


def test_what_got_slower_is_said_and_what_is_not_comparable_is_not_compared(tmp_path):
    factorised = timing(posterior="factorised", sampling_ms=math.nan, sampling_gflop=math.nan)
    speed.write(tmp_path, [timing(), factorised], "cpu", "bench speed")
    reference = speed.load(tmp_path, "cpu")
    now = [
        timing(ms=1.3 * 30.0, gflop_per_second=200.0),  # slower by 1.3
        dataclasses.replace(factorised, ms=60.0, gflop_per_second=100.0),  # on a machine of half the speed: the same
        timing(batch=16, ms=900.0),
        timing(estimator="new", ms=900.0),
    ]
    changes = list(speed.compare(reference, now))
    assert [str(change) for change in changes if change.slower] == [
        "cifar10, daps, causal, step: 3.90 times its floor, was 3.00"
    ]
    assert [change.what for change in changes] == [
        "cifar10, daps, causal, step",
        "cifar10, daps, causal, sampling",
        "cifar10, daps, factorised, step",
    ]


def test_the_page_says_where_and_how_and_keeps_the_other_device(tmp_path):
    speed.write(tmp_path, [timing(ms=20.0)], "cuda", "bench speed --device cuda")
    speed.write(tmp_path, [timing(), timing(dataset="imagenet256", batch=2)], "cpu", "bench speed --write x")
    page = (tmp_path / "speed.md").read_text()
    for words in (
        "Command: `bench speed --device cuda`",
        "Command: `bench speed --write x`",
        "### cifar10, paper size, 32 images per step",
        "### imagenet256, paper size, 2 images per step",
        f"torch {version('torch')}",
        "| daps | causal | 20.0 | 2.00 | 10.0 | 2.00 |",
        "| daps | causal | 30.0 | 2.00 | 10.0 | 3.00 |",
    ):
        assert words in page
    assert speed.load(tmp_path, "cuda")["ratio"].tolist() == [pytest.approx(2.0)]
    json.loads((tmp_path / "speed.json").read_text())


@pytest.mark.slow
def test_the_command_measures_writes_and_checks(bench, monkeypatch):
    code, out, err = bench(*DIGITS, "--estimator", "vq,straight_through", "--write", "here")
    assert code == 0, err
    assert "time / floor" in out
    rows = json.loads(Path("here/speed.json").read_text())["cpu"]["rows"]
    assert [(row["estimator"], row["posterior"]) for row in rows] == [
        ("vq", "factorised"),
        ("straight_through", "factorised"),
        ("straight_through", "causal"),
    ]
    for row in rows:
        assert row["ms"] > 0
        assert row["gflop"] > 0
        assert row["gigabytes"] > 0
        assert math.isnan(row["sampling_ms"]) == (row["posterior"] == "factorised")

    monkeypatch.setattr(speed, "REFERENCE", Path("here"))
    for factor, expected in ((1e6, 0), (1e-6, 1)):
        known = json.loads(Path("here/speed.json").read_text())
        for row in known["cpu"]["rows"]:
            row["ratio"], row["sampling_ratio"] = factor, factor
        Path("here/speed.json").write_text(json.dumps(known))
        code, out, err = bench(*DIGITS, "--estimator", "vq", "--check")
        assert code == expected, err
        assert ("slower: digits, vq, factorised, step: " in out) == bool(expected)
        assert f"{expected} of 1 ratios are more than 1.25 times the reference's" in out


@pytest.mark.slow
def test_recorded_steps_are_timed_and_plain_ones_counted(bench, monkeypatch):
    monkeypatch.setattr("bench.speed._measure.recorder", lambda device: RecordedOperations())
    for precision in ("float32", "bfloat16"):
        code, _, err = bench(*DIGITS, "--estimator", "daps", "--precision", precision, "--write", precision)
        assert code == 0, err
    rows = [speed.load(Path(precision), "cpu") for precision in ("float32", "bfloat16")]
    assert (rows[0]["gflop"] == rows[1]["gflop"]).all()
    assert (rows[0]["gigabytes"] != rows[1]["gigabytes"]).all()
    assert (rows[1]["precision"] == "bfloat16").all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "folder:x"], "has no shape of its own"),
        (["--dataset", "cifar"], "did you mean cifar10"),
        (["--estimator", "dabs"], "did you mean daps"),
        (["--check"], "has no timings for cpu; make some with bench speed --write nowhere"),
    ],
)
def test_mistakes_are_one_line(bench, monkeypatch, arguments, words):
    monkeypatch.setattr(speed, "REFERENCE", Path("nowhere"))
    code, out, err = bench("speed", *arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not out


def test_the_committed_page_is_what_its_timings_give():
    known = json.loads((speed.REFERENCE / "speed.json").read_text())
    assert _page(known) == (speed.REFERENCE / "speed.md").read_text()
