"""The tidy table: every row that was written whole, once, with what its run is."""

import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.record_rows import TEXT, add, assert_same, identity, naive, plain, row, several

from bench import records
from bench.records.folder import RunFolder


def test_the_table_is_every_row_with_what_its_run_is(sweep):
    runs = several(sweep)
    table = records.load(sweep)
    assert tuple(table.columns) == records.COLUMNS
    assert_same(table, naive(sweep, runs))
    assert table["value"].isna().any()
    assert np.isneginf(table["value"]).any()


def test_numbers_are_numbers_and_text_is_categories_in_alphabetical_order(sweep):
    several(sweep)
    table = records.load(str(sweep))
    for column in records.COLUMNS:
        dtype = table[column].dtype
        if column in TEXT:
            assert isinstance(dtype, pd.CategoricalDtype), column
            assert list(dtype.categories) == sorted(set(map(str, table[column]))), column
        else:
            assert dtype == (float if column in ("seconds", "value") else "int64"), column


def test_rows_can_be_grouped_and_sorted_as_if_their_columns_were_text(sweep):
    several(sweep)
    table = records.load(sweep)
    means = table.groupby(["posterior", "estimator"], observed=True)["n"].sum().reset_index()
    assert_same(means, plain(table).groupby(["posterior", "estimator"])["n"].sum().reset_index())
    in_order = table.sort_values(["metric", "readout"], kind="stable")
    assert list(in_order.index) == list(plain(table).sort_values(["metric", "readout"], kind="stable").index)


def test_of_rows_written_twice_the_last_counts_in_the_place_of_the_last(sweep):
    rng = random.Random(1)
    runs = {}
    for run in ("a", "b", "c"):
        steps = [0, 1, 2, 2**40, 2**40 + 1]
        add(
            sweep,
            run,
            [
                row(rng.choice(steps), rng.choice("xyz"), rng.random(), rng.choice("pq"), rng.choice(["", "p"]))
                for _ in range(200)
            ],
        )
        runs[run] = identity(run)
    expected = naive(sweep, runs)
    assert len(expected) < 200
    assert_same(records.load(sweep), expected)
    assert_same(records.load(sweep, metric="x", step=2**40), pick(expected, metric=["x"], step=[2**40]))


def test_the_copy_of_a_run_adds_nothing(sweep):
    folder = add(sweep, "a", [row(0), row(1)])
    add(sweep, "b", [row(0)])
    shutil.copytree(folder, folder.with_name("a (copy)"))
    assert [state["run"] for state in records.states(sweep)] == ["a", "b"]
    table = records.load(sweep)
    assert list(table["run"]) == ["a", "a", "b"]
    assert list(table["step"]) == [0, 1, 0]


def test_a_file_that_ends_anywhere_keeps_all_rows_before(sweep):
    path = add(sweep, "a", [row(step, value=float("nan")) for step in range(2)]) / "rows.jsonl"
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in (0, 1, *range(ends[0] - 2, len(whole) + 1)):
        path.write_bytes(whole[:size])
        # a row is whole with its last brace, also without the end of its line
        assert list(records.load(sweep)["step"]) == [s for s, end in enumerate(ends) if size >= end - 1], size


GOOD = json.dumps(row(7)).encode()
DAMAGE = {
    "words": b"what is this",
    "zeros": b"\0" * 300,
    "bytes": bytes(range(128, 256)),
    "half a row": GOOD[:40],
    "the other half": GOOD[40:],
    "half a row that goes on with a whole one": GOOD[:40] + GOOD,
    "a number": b"5",
    "a list": b"[1, 2]",
    "brackets": b"[" * 5000,
    "braces": b'{"a":' * 5000,
    "null": b"null",
    "nothing in it": b"{}",
    "no metric": json.dumps({k: v for k, v in row(7).items() if k != "metric"}).encode(),
    "null for a step": json.dumps({**row(7), "step": None}).encode(),
    "a step in words": json.dumps({**row(7), "step": "seven"}).encode(),
    "a metric that is a number": json.dumps({**row(7), "metric": 7}).encode(),
    "a value that is a list": json.dumps({**row(7), "value": [1]}).encode(),
    "no text": GOOD.replace(b"psnr", b"ps\xff\xfe"),
    "half a character": GOOD.replace(b"psnr", rb"ps\ud800"),
    "two rows on a line": GOOD + json.dumps(row(8)).encode(),
    "a row on two lines": GOOD.replace(b", ", b",\n", 1),
    "a key twice": GOOD.replace(b'"n"', b'"step"'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_lines_are_skipped_and_all_others_stay(sweep, damage):
    path = add(sweep, "a", [row(step) for step in range(4)]) / "rows.jsonl"
    add(sweep, "b", [row(9)])
    lines = path.read_bytes().splitlines()
    for place in (0, 2, 4):
        path.write_bytes(b"\n".join([*lines[:place], damage, *lines[place:]]) + b"\n")
        assert list(records.load(sweep)["step"]) == [0, 1, 2, 3, 9]
    path.write_bytes(b"\r\n".join([damage, damage, *lines[:2], damage, lines[2], damage, lines[3], damage]))
    assert list(records.load(sweep, ["value"], metric="psnr")["value"]) == [1.5] * 5


def test_whatever_happens_to_single_bytes_other_lines_stay_as_they_are(sweep):
    rng = random.Random(2)
    path = add(sweep, "a", [row(step, value=rng.random()) for step in range(30)]) / "rows.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    untouched = records.load(sweep).set_index("step")["value"]
    for _ in range(60):
        hit = set(rng.sample(range(30), 3))
        damaged = [bytearray(line) for line in lines]
        for index in hit:
            damaged[index][rng.randrange(len(lines[index]) - 1)] = rng.choice([0, 10, 34, 44, 125, 255, 123])
        path.write_bytes(b"".join(damaged))
        found = records.load(sweep).set_index("step")["value"]
        others = [step for step in range(30) if step not in hit]
        assert found.loc[others].equals(untouched.loc[others])


def test_values_that_are_null_or_whole_and_rows_with_more_in_them_are_rows(sweep):
    path = add(sweep, "a", []) / "rows.jsonl"
    rows = [row(0, value=None), row(1, value=3), row(2, extra={"deep": [1]}), row(3, n=None)]
    path.write_text("".join(json.dumps(one) + "\n\n" for one in rows))
    table = records.load(sweep)
    assert list(table["step"]) == [0, 1, 2, 3]
    assert table["value"].isna().tolist() == [True, False, False, False]
    assert table["n"].isna().tolist() == [False, False, False, True]
    assert "extra" not in table


def test_an_estimator_may_count_decodes_in_halves(sweep):
    add(sweep, "a", [row(0, decodes=1.5), row(1, decodes=3)])
    assert list(records.load(sweep)["decodes"]) == [1.5, 3]


def test_runs_without_rows_add_none_and_folders_that_are_no_runs_are_passed_over(sweep):
    add(sweep, "a", [row(0)])
    (add(sweep, "empty", [row(0)]) / "rows.jsonl").write_bytes(b"")
    (add(sweep, "none", [row(0)]) / "rows.jsonl").unlink()
    RunFolder(sweep, "queued").queue(identity("queued"))
    lost = add(sweep, "nobody knows", [row(0)])
    (lost / "status.json").write_bytes(b"")
    (lost / "config.json").write_text("{}")
    (sweep / "runs" / "new").mkdir()
    (sweep / "runs" / "note.txt").write_text("mine")
    assert list(records.load(sweep)["run"]) == ["a"]


def test_a_run_that_lost_its_status_is_known_by_its_config(sweep):
    for content in (None, b"", b'{"run": "a"', b"[]", b'{"state": "done"}'):
        status = add(sweep, "a", [row(0)], estimator="vq") / "status.json"
        status.unlink() if content is None else status.write_bytes(content)
        assert list(records.load(sweep)["estimator"]) == ["vq"]
        (state,) = records.states(sweep)
        assert {column: state[column] for column in records.RUN_COLUMNS} == identity("a", estimator="vq")
        assert state["state"] == ("done" if content == b'{"state": "done"}' else "unknown")


def test_states_are_what_runs_last_said_in_order_of_their_names(sweep):
    RunFolder(sweep, "b").queue(identity("b"))
    add(sweep, "a", [], seed=3)
    failed = RunFolder(sweep, "c")
    failed.start(identity("c"), {}, {})
    failed.finish("failed", reason="no luck")
    assert records.states(sweep) == [
        {**identity("a", seed=3), "state": "done"},
        {**identity("b"), "state": "queued"},
        {**identity("c"), "state": "failed", "reason": "no luck"},
    ]


@pytest.mark.parametrize("runs", [True, False])
def test_a_sweep_without_rows_is_a_table_without_rows(sweep, runs):
    if not runs:
        (sweep / "runs").rmdir()
    table = records.load(sweep)
    assert tuple(table.columns) == records.COLUMNS
    assert len(table) == 0
    assert table["step"].dtype == "int64"
    assert records.states(sweep) == []
    records.write_table(table, sweep)
    assert len(pd.read_parquet(sweep / "results.parquet")) == 0
    assert tuple(pd.read_csv(sweep / "results.csv").columns) == records.COLUMNS


def pick(table: pd.DataFrame, **only: list) -> pd.DataFrame:
    for column, values in only.items():
        table = table[table[column].isin(values)]
    return table.reset_index(drop=True)


@pytest.mark.parametrize(
    "only",
    [
        {"metric": "psnr"},
        {"metric": "psnr", "split": "test", "readout": "sample"},
        {"metric": ["elbo", "usage/10"], "step": (0, 100)},
        {"step": 50},
        {"step": np.int64(50)},
        {"step": np.array([0, 50])},
        {"readout": ""},
        {"estimator": "vq", "seed": 0},
        {"estimator": frozenset({"vq", 'é"x"'}), "posterior": "causal", "device": "cuda"},
        {"estimator": pd.Series(["vq"], dtype="category")},
        {"metric": "never measured"},
        {"estimator": "never run"},
        {"metric": []},
    ],
    ids=lambda only: " ".join(only),  # values may be sets, whose order differs between the processes of a test run
)
def test_choosing_rows_while_reading_is_choosing_them_afterwards(sweep, only):
    several(sweep)
    lists = {
        column: [values] if isinstance(values, str | int | np.integer) else list(values)
        for column, values in only.items()
    }
    expected = pick(plain(records.load(sweep)), **lists)
    chosen = records.load(sweep, **only)
    assert_same(chosen, expected)
    # nothing of what was left out is in the way of a user
    assert set(chosen["metric"].cat.categories) == set(expected["metric"])
    assert_same(records.load(sweep, ["value", "estimator"], **only), expected[["value", "estimator"]])


@pytest.mark.parametrize(
    "columns", [["value"], ["seed", "run"], ["estimator"], ["metric", "step", "metric"], ("n", "decodes")]
)
def test_columns_come_as_they_were_asked_for(sweep, columns):
    several(sweep)
    whole = plain(records.load(sweep))
    unique = list(dict.fromkeys(columns))
    assert_same(records.load(sweep, columns), whole[unique])


def test_one_column_is_a_column_and_not_its_letters(sweep):
    several(sweep)
    assert list(records.load(sweep, "value").columns) == ["value"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"metrics": "psnr"}, "no column 'metrics' to choose rows by; try run, estimator, .*, readout, metric$"),
        ({"value": 3}, "no column 'value' to choose rows by; try run"),
        ({"columns": ["psnr"]}, "no column 'psnr' to return; try run, estimator, .*, value, n$"),
        ({"seed": "0"}, "seed='0' chooses nothing; seed is a whole number"),
        ({"step": [0, 1.5]}, "step=1.5 chooses nothing; step is a whole number"),
        ({"metric": [0]}, "metric=0 chooses nothing; metric is text"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(sweep, wrong, words):
    add(sweep, "a", [row(0)])
    with pytest.raises(ValueError, match=words):
        records.load(sweep, **wrong)


def test_a_folder_that_is_no_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a sweep; try a folder that `bench run` made"):
        records.load(tmp_path)


def test_a_sweep_that_another_command_is_just_making_is_no_stranger(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / ".sweep.json.host.1.partial").write_text("{")
    records.open_sweep(tmp_path)
    records.load(tmp_path)


@pytest.mark.parametrize("mine", ["photo.png", "runs/events.out", ".sweep.json"])
def test_what_somebody_else_keeps_in_a_folder_is_not_mixed_with_results(tmp_path, mine):
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).write_text("mine")
    with pytest.raises(ValueError, match="holds something that is not a sweep"):
        records.open_sweep(tmp_path)


def test_runs_of_another_protocol_are_not_added_to(tmp_path):
    records.open_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text(json.dumps({"made_by": "discrete-latents-bench", "format": 1}))
    records.open_sweep(tmp_path)
    (tmp_path / "runs" / "old").mkdir()
    with pytest.raises(ValueError, match=r"holds runs of protocol 1, which do not compare with these \(protocol 2\)"):
        records.open_sweep(tmp_path)
