"""The page of an ablation, from runs whose results are known."""

import math
import re
import shutil

import pandas as pd
import pytest
from helpers.ablation_sweeps import add_run, config_of, digits_plan, make, step_size_score
from helpers.drawn import drawn  # noqa: F401  figures are not what is tested here
from helpers.report_page import Page, words
from helpers.synthetic_sweep import originals, write_samples

from bench import pages, records
from bench.records.folder import RUN_COLUMNS, RunFolder
from bench.records.study import read_study
from bench.stats.bands import bands
from bench.tables.model import model


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    """The step-size ablation of 35 settings."""
    folder = tmp_path_factory.mktemp("a") / "ablate-step_size"
    return make(folder, digits_plan("step_size"), step_size_score, noise=0.001)


@pytest.fixture(scope="module")
def written(two_seeds):
    """Sentences and paths."""
    return pages.write_study(two_seeds)


@pytest.fixture(scope="module")
def page(written):
    return Page(written[1][0])


def test_the_page_says_first_who_won_and_that_two_seeds_cannot_tell(page):
    first = words(page.root.find(".//p[@class='first']"))
    assert first.startswith("Each rule at the best of its settings: the winner is step_size=ess, ess_target=0.5 with")
    assert "cannot be told from seed noise (2 seeds: no interval)" in first


def test_the_command_line_says_what_the_page_says(written, page):
    answer, _ = written
    shown = words(page.section("s0-answer"))
    assert len(answer) == 4
    for sentence in answer:
        assert sentence in shown


def test_all_settings_are_in_the_table_best_first_with_what_they_lose(page):
    rows = page.verdict("s0-settings")
    assert rows.pop("baseline:mean, none")[2].get("data-v") == "11.45"
    psnr = [float(cells[2].get("data-v")) for cells in rows.values()]
    lost = [words(cells[3]) for cells in rows.values()]
    assert len(rows) == 35
    assert psnr == sorted(psnr, reverse=True)
    assert next(iter(rows)) == "step_size=ess, ess_target=0.5, factorised"
    assert list(rows)[-1] == "step_size=greedy, factorised"
    assert lost[0] == "best"
    assert lost.count("best") == 1
    assert float(lost[-1].replace("\N{MINUS SIGN}", "-")) == pytest.approx(-5, abs=0.02)


def test_the_table_is_that_of_every_other_view(page, two_seeds):
    (condition,) = read_study(two_seeds).conditions
    expected = [row.cells[0].text for row in model(condition).rows]
    found = [
        words(cells[2]).split("±")[0].strip(" ★≈?").split(",")[0] for cells in page.verdict("s0-settings").values()
    ]
    assert found == expected


def test_diagnostics_of_training_stand_in_the_table(page):
    headings = page.headings("s0-settings")
    assert "ESS / K" in headings
    row = page.verdict("s0-settings")["step_size=fixed, eta=100, factorised"]
    assert words(row[headings.index("ESS / K")]) == "0.5"
    assert words(row[headings.index("η [nats]")]) == "16"


def test_the_csv_has_a_row_per_setting_with_its_knobs_and_numbers(written):
    table = pd.read_csv(written[1][1])
    assert len(table) == 35
    row = table[table["setting"] == "step_size=fixed, eta=100"].iloc[0]
    assert row["eta"] == 100
    assert row["psnr"] == pytest.approx(16.9 - 0.3 * 4, abs=0.01)
    assert row["to_best_estimate"] == pytest.approx(row["psnr"] - table["psnr"].max(), abs=1e-9)
    assert (row["seeds"], row["interval"]) == (2, "2 seeds: no interval")
    assert row["runs_done"] == 2
    assert row["last_eta"] == 2**4
    assert row["last_ess"] == 0.5
    assert row["last_realised_kl"] == pytest.approx(0.01 / 4)


def test_the_page_loads_nothing_and_holds_every_figure(page, written):
    paths = written[1]
    assert [path.name for path in paths] == ["report.html", "settings.csv", "knobs.png", "settings.png"]
    assert [path.parent.name for path in paths[2:]] == ["figures", "figures"]
    pictures = page.root.findall(".//div[@class='picture']/img")
    assert len(pictures) == page.text.count("data:image/png;base64,") == 2
    captions = [words(page.section(f"s0-figure-{path.stem}").find(".//figcaption")) for path in paths[2:]]
    assert captions == ["What knobs shows.", "What settings shows."]
    assert not re.search(r'(src|href)="(?!data:|#)', page.text)
    # one small script sorts tables; there are no charts, so no library comes with them
    assert len([s for s in page.root.iter("script") if s.get("type") != "application/json"]) == 1
    assert len(page.text) < 200_000


def test_figures_that_are_not_drawn_any_more_do_not_stay_behind(two_seeds, written):
    stale, another = two_seeds / "figures" / "conditions.png", two_seeds / "figures" / "mine.png"
    stale.write_bytes(b"")
    another.write_bytes(b"")
    pages.write_study(two_seeds)
    assert not stale.exists()
    assert another.exists()
    another.unlink()


def test_the_page_says_how_it_was_run_and_what_was_left_out(page):
    shown = words(page.root)
    assert "70 runs by" in shown
    assert "bench ablate step_size --dataset digits" in shown
    assert "daps:step_size=ess_solve,ess_target=0.1" in words(page.section("s0-problems"))
    assert "70 of 70 runs done, the mean image aside" in shown
    assert "The same for all runs, as far as they recorded it: device, commit." in words(page.section("s0-terms"))
    shared = page.section("s0-terms").findall(".//details/dl/div")
    settings = {words(pair.find("dt")): words(pair.find("dd")) for pair in shared if pair.find("dt") is not None}
    assert settings["k"] == "8"
    assert "step_size" not in settings


def test_the_folder_alone_is_enough_to_draw_it_again(two_seeds, written, tmp_path):
    _, paths = written
    moved = shutil.copytree(two_seeds, tmp_path / "elsewhere" / two_seeds.name)
    (moved / "report.html").unlink()
    shutil.rmtree(moved / "figures")
    _, again = pages.write_study(moved)
    assert [path.name for path in again] == [path.name for path in paths]
    assert again[0].read_text().replace(str(moved), "FOLDER") == paths[0].read_text().replace(str(two_seeds), "FOLDER")


def test_a_report_of_the_folder_is_the_same_page(two_seeds, written, tmp_path):
    assert pages.write(two_seeds, tmp_path / "mine.html") == tmp_path / "mine.html"
    assert (tmp_path / "mine.html").read_bytes() == written[1][0].read_bytes()


def test_a_sweep_without_a_record_can_be_drawn_as_an_ablation_too(two_seeds, tmp_path):
    folder = shutil.copytree(two_seeds, tmp_path / "a")
    (folder / "ablation.json").unlink()
    assert Page(pages.write_study(folder)[1][0]).has("s0-answer")
    assert Page(pages.write(folder)).has("s0-verdict")


def test_every_condition_has_its_table_and_its_pictures(tmp_path):
    plan = digits_plan("robustness", "step_size=greedy,vmpo")
    folder = make(tmp_path / "a", plan, lambda c: 17.0 - 5 * ("greedy" in c.estimator) - c.lr, noise=0.0)
    for run in (folder / "runs").iterdir():
        write_samples(run, originals(), 10)
    answer, paths = pages.write_study(folder)
    page = Page(paths[0])
    tables = page.section("s0-settings").findall(".//table")
    assert len(tables) == 7
    assert answer[0].startswith("If one setting has to do under all 7 conditions, ")
    conditions = page.section("s0-answer").findall(".//table[@class='plain']")[0].findall("tbody/tr")
    assert words(conditions[0][0]) == "as in the preset"
    assert all("the winner is step_size=vmpo" in words(row[1]) for row in conditions)
    assert len(page.section("s0-images6").findall(".//figure[@class='card']")) > 1
    names = [element.get("id") for element in page.root.iter() if element.get("id")]
    assert len(names) == len(set(names))


@pytest.fixture
def troubled(tmp_path):
    """Of lr 1e-4 all is well, of 1e-3 a seed diverged, of 1e-2 both, 1e-1 failed, and 1 is queued."""
    plan = digits_plan("mine", "lr=1e-4,1e-3,1e-2,1e-1,1")
    folder = tmp_path / "a"
    records.open_sweep(folder)
    plan.write_record(folder)
    ends = [("done", "done"), ("done", "diverged"), ("diverged", "diverged"), ("failed", "failed")]
    for variant, states in zip(plan.variants, ends, strict=False):
        for seed, state in enumerate(states):
            reason = "<b>no & luck</b>" if state == "failed" else ""
            add_run(folder, config_of(variant, seed), 16.0, state=state, reason=reason)
    queued = config_of(plan.variants[-1])
    identity = {column: getattr(queued, column) for column in RUN_COLUMNS if column != "run"}
    RunFolder(folder, queued.digest).queue({"run": queued.digest, **identity})
    return folder


def test_runs_that_did_not_end_well_are_listed_and_in_no_mean(troubled):
    answer, paths = pages.write_study(troubled)
    page = Page(paths[0])
    assert answer[0].startswith("The winner is lr=0.0001")
    assert "1 run of lr=0.001 diverged and left no value" in answer[0]
    problems = page.section("s0-problems")
    assert "6 of 9 runs are not in the means above: 3 diverged (lr=0.001, seed 1; lr=0.01, seeds 0, 1)" in words(
        problems
    )
    states = [words(row[0]) for row in problems.findall(".//tbody/tr")]
    assert states == ["failed", "diverged", "diverged", "queued"]
    assert "&lt;b&gt;no &amp; luck&lt;/b&gt;" in page.text
    table = pd.read_csv(paths[1]).set_index("setting")
    assert table["runs_diverged"].to_dict()["lr=0.01"] == 2
    assert math.isnan(table["psnr"]["lr=0.01"])
    assert table["seeds"]["lr=0.001"] == 1
    (band,) = bands(read_study(troubled))
    assert math.isinf(band.worst(("lr=0.01", "factorised")))
    assert ("lr=0.1", "factorised") not in band.drops


def test_a_folder_without_an_ended_run_says_so(tmp_path):
    records.open_sweep(tmp_path / "a")
    with pytest.raises(ValueError, match=r"no run in .* has come to its end"):
        pages.write_study(tmp_path / "a")
    with pytest.raises(ValueError, match="is not a sweep"):
        pages.write_study(tmp_path)


def test_an_ablation_of_which_all_runs_failed_is_still_reported(tmp_path):
    plan = digits_plan("mine", "lr=1e-4,1e-3")
    records.open_sweep(tmp_path / "a")
    plan.write_record(tmp_path / "a")
    add_run(tmp_path / "a", config_of(plan.variants[0]), 16.0, state="failed", reason="ValueError: no")
    assert "ValueError: no" in words(Page(pages.write(tmp_path / "a")).section("s0-problems"))
