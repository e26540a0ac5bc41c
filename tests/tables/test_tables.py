"""Tables of final values mark by their stated rule, and nothing that a user named breaks them."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from helpers.scored_sweeps import near, sweep
from helpers.synthetic_sweep import add_run, new_sweep
from rich.console import Console

from bench import records, stats, tables
from bench.metrics.catalogue import METRICS, Metric
from bench.tables import diff
from bench.tables.model import RULE


@pytest.fixture
def folder(tmp_path):
    scores = {"daps": near(17.0), "vq": near(18.0), "fsq": [18.02, 17.97, 18.0, 17.99, 18.03], "a_b|&c": near(3.0)}
    return sweep(tmp_path / "sweep", scores)


def test_the_best_and_what_is_not_separable_from_it_are_bold(folder):
    text = tables.write(records.read(folder))
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert "**18.00" in lines["vq"]
    assert "**18.00" in lines["fsq"]
    assert "**" not in lines["daps"]
    assert "| 17.00 [16.99, 17.01] |" in lines["daps"]
    assert list(lines)[2:4] == ["fsq", "vq"] or list(lines)[2:4] == ["vq", "fsq"]
    assert RULE in text


def test_intervals_are_those_of_the_statistics(folder):
    text = tables.write(records.read(folder), ["psnr"], "csv")
    table = pd.read_csv(io.StringIO(text)).set_index("estimator")
    values = np.array(near(17.0))
    half = 2.776 * values.std(ddof=1) / np.sqrt(5)
    assert table.loc["daps", "estimate"] == pytest.approx(values.mean())
    assert table.loc["daps", "high"] == pytest.approx(values.mean() + half, rel=1e-4)
    assert table["marked"].to_dict() == {"a_b|&c": False, "daps": False, "fsq": True, "vq": True}


def test_two_seeds_have_no_interval_and_only_the_best_is_bold(tmp_path):
    text = tables.write(records.read(sweep(tmp_path / "s", {"daps": [17.0, 17.2], "vq": [17.1, 17.2]})))
    assert text.count("**") == 2
    assert "(n=2)" in text
    assert "[" not in text.splitlines()[-1]


def test_what_users_named_cannot_break_the_table(folder):
    assert "a_b\\|&c" in tables.write(records.read(folder))
    latex = tables.write(records.read(folder), form="latex")
    assert r"a\_b|\&c" in latex
    assert latex.count("\\\\\n") == 5
    assert latex.count("&") - latex.count("\\&") == 5 * 5


def test_a_metric_that_was_not_measured_is_refused_by_name(folder):
    with pytest.raises(ValueError, match="'rfid' was not measured here; there are psnr"):
        tables.write(records.read(folder), ["rfid"])


def printed(folder, width=400):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(tables.terminal(records.read(folder)), highlight=False)
    return captured.get()


def test_the_terminal_shows_spread_marks_and_runs_and_reads_no_markup(folder, tmp_path):
    text = printed(folder)
    assert "18.00 ±0.01" in text
    assert text.count("★") == text.count("≈") == 2
    assert "★ best mean, ≈ not separable from the best" in text
    assert "5 done" in text
    assert "[red]x[/]" in printed(sweep(tmp_path / "odd", {"[red]x[/]": near(3.0)}))


def test_every_method_says_what_it_spent_beside_its_score(tmp_path):
    made = new_sweep(tmp_path / "sweep")
    for seed in range(2):
        add_run(made, "daps", seed=seed, decodes_per_image=8)
        add_run(made, "vq", seed=seed, steps=(0, 80_000))
    rows = {line.split()[0]: line.split() for line in printed(made).splitlines() if line.strip()}
    head = next(line for line in printed(made).splitlines() if "PSNR" in line)
    assert re.search(r"decodes  images  training time \[s\]  runs", head)
    assert rows["daps"][-6:] == ["25.6k", "3200", "1.0", "±0.0", "2", "done"]
    assert rows["vq"][-6:-3] == ["2.56M", "2.56M", "800.0"]
    assert "Not compared at equal cost: steps (100 to 80k)" in printed(made)
    assert "Not compared at equal cost: steps (100 to 80k)" in tables.write(records.read(made))


@pytest.mark.parametrize("width", [60, 100, 160])
def test_no_number_is_cut_on_a_narrow_terminal(folder, width):
    text = printed(folder, width)
    assert "…" not in text
    assert all(number in text for number in ("18.00", "17.00", "3.00"))


def test_what_has_no_better_end_has_no_mark(tmp_path):
    made = new_sweep(tmp_path / "sweep")
    for seed in range(3):
        add_run(made, "vq", seed=seed, metrics={"bits": 20.0 + seed, "usage": 0.5})
        add_run(made, "fsq", seed=seed, metrics={"bits": 30.0, "usage": 1.0})
    table = pd.read_csv(io.StringIO(tables.write(records.read(made), form="csv")))
    assert not table["marked"][table["metric"].isin(["bits", "usage", "parameters"])].any()
    assert table["marked"][table["metric"] == "psnr"].any()


def test_a_metric_of_the_catalogue_is_in_every_table(tmp_path, monkeypatch):
    made = new_sweep(tmp_path / "sweep")
    monkeypatch.setitem(METRICS, "wit", Metric("wit", "Wit", "laughs", "higher", "image", "how funny", 1, column=True))
    for seed in range(3):
        add_run(made, "vq", seed=seed, metrics={"wit": 7.0 + seed})
        add_run(made, "fsq", seed=seed, metrics={"wit": 3.0 + seed})
    sweep = records.read(made)
    for text in (tables.write(sweep), tables.write(sweep, form="latex"), printed(made)):
        assert "Wit [laughs]" in text
        assert "8.0" in text
    rows = pd.read_csv(io.StringIO(tables.write(sweep, ["wit"], "csv"))).set_index("estimator")
    assert rows["estimate"].to_dict() == {"vq": 8.0, "fsq": 4.0}
    assert rows["marked"].to_dict() == {"vq": True, "fsq": False}
    assert set(stats.summary(sweep.finals)["metric"]) >= {"wit"}
    assert diff.moved(sweep, sweep)["metric"].eq("wit").any()


def test_every_dataset_has_its_table_and_only_the_metrics_it_measured(tmp_path):
    made = new_sweep(tmp_path / "sweep")
    add_run(made, "vq", metrics={"rfid": 7.0})
    add_run(made, "vq", dataset="faces", preset="paper")
    here = records.read(made)
    assert [line for line in tables.write(here).splitlines() if "Mean over seeds" in line][1].startswith(
        "faces, preset paper."
    )
    assert "faces" not in tables.write(here, ["rfid"])
    assert printed(made).count("final test metrics") == 2


def test_the_command_prints(bench, folder):
    code, out, _ = bench("table", str(folder), "--metrics", "psnr")
    assert code == 0
    assert "| vq | factorised |" in out
