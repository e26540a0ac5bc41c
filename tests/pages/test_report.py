import base64
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from helpers.report_page import page_of, words
from helpers.synthetic_sweep import VALIDATION, add_run, new_sweep, usual_sweep

from bench import pages as report
from bench import records, stats

HOSTILE = """<script>alert(1)</script>&"'</script><img src=x onerror=alert(1)>"""


@pytest.fixture
def sweep(tmp_path):
    return new_sweep(tmp_path / "sweep")


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return usual_sweep(tmp_path_factory.mktemp("usual") / "digits-quick")


@pytest.fixture(scope="module")
def page(usual):
    return page_of(usual)


def test_the_page_lies_in_the_sweep_or_where_it_is_asked_to(usual, tmp_path):
    assert report.write(usual) == usual / "report.html"
    assert report.write(usual, tmp_path / "mine.html").read_bytes() == (usual / "report.html").read_bytes()


def test_the_command_says_where_the_page_is_and_puts_it_where_it_is_asked_to(bench, usual, tmp_path):
    assert bench("report", str(usual)) == (0, f"{usual / 'report.html'}\n", "")
    code, out, _ = bench("report", str(usual), "--out", str(tmp_path / "mine.html"))
    assert (code, out) == (0, f"{tmp_path / 'mine.html'}\n")
    code, out, err = bench("report", str(usual), "--out", str(tmp_path / "nowhere" / "report.html"))
    assert (code, out) == (2, "")
    assert err.endswith("cannot be written (No such file or directory); try another file, with --out\n")


def test_the_same_sweep_gives_the_same_bytes(usual, tmp_path):
    first, second = report.write(usual, tmp_path / "a.html"), report.write(usual, tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_that_is_no_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a sweep"):
        report.write(tmp_path)


def test_a_file_that_cannot_be_written_is_one_line(usual, tmp_path):
    with pytest.raises(ValueError, match="cannot be written"):
        report.write(usual, tmp_path / "nowhere" / "report.html")


def test_the_page_loads_nothing_and_runs_only_its_own_scripts(page):
    for element in page.root.iter():
        for name in ("src", "href", "srcset", "poster", "action"):
            assert element.get(name, "#").startswith(("#", "data:image/")), (element.tag, element.get(name))
        assert not any(name.startswith("on") for name in element.attrib), element.attrib
    style = " ".join(element.text or "" for element in page.root.iter("style"))
    assert "url(" not in style
    assert "@import" not in style
    policy = page.root.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = [s for s in page.root.iter("script") if s.get("type") != "application/json"]
    hashes = {"'sha256-" + base64.b64encode(hashlib.sha256(s.text.encode()).digest()).decode() + "'" for s in scripts}
    allowed = re.search("script-src ([^;]*)", policy)[1].split()
    assert set(allowed) == hashes


def test_the_first_words_are_who_won_and_how_sure_that_is(page, usual):
    lead = stats.lead(stats.finals(records.read(usual)), "psnr", "digits", "quick")
    answer = page.section("s0-verdict")[1]
    assert answer.get("class") == "answer"
    assert lead.sentence in words(answer)
    assert lead.winner == ("vq", "factorised")
    assert lead.larger_than_noise is False
    assert "Not separable from it: fsq, factorised." in words(answer)


def test_the_lead_has_the_same_digits_in_the_sentence_and_in_the_list_of_winners(sweep):
    for estimator, psnr in (("daps", 20.123), ("vq", 20.0)):
        for seed in range(3):
            # all leads are equal: an interval without a width
            add_run(sweep, estimator, seed=seed, psnr=psnr + seed, metrics={"ssim": 0.5})
    verdict = page_of(sweep).section("s0-verdict")
    shown = verdict.find(".//table[@class='plain leads']/tbody/tr")[4].text
    lead = stats.lead(stats.finals(records.read(sweep)), "psnr", "digits", "quick")
    assert f"its lead of {shown} dB" in lead.sentence


def test_the_answer_says_at_which_costs_it_holds_and_names_no_winner_at_others(page):
    answer = words(page.section("s0-verdict")[1])
    # daps spends 16 times the decodes of the others
    assert (
        "Compared at equal steps (100) and images (3200); not at equal decoder evaluations (3200 to 51.2k) and seconds "
        "of training (1). For a verdict at those costs give the runs --budget decodes=51200 or seconds=1."
    ) in answer
    assert answer.count("The winner is") == 1
    curves = words(page.section("s0-curves"))
    assert "Against decoder evaluations and seconds of training, runs are read in the middle of their" in curves


def test_at_equal_cost_in_all_there_is_nothing_to_add(sweep):
    for name, decodes in (("daps", 4), ("vq", 1)):
        steps = (0, 25 if decodes == 4 else 100)
        for seed in range(2):
            budget = {"budget": "decodes=3200", "steps": steps[-1]}
            add_run(sweep, name, seed=seed, steps=steps, decodes_per_image=decodes, config=budget)
    answer = words(page_of(sweep).section("s0-verdict")[1])
    assert "Compared at equal decoder evaluations (3200); not at equal steps (25 to 100)" in answer
    assert "--budget seconds=1." in answer


def test_every_method_says_what_it_spent(page):
    rows = {name: [words(cell) for cell in cells] for name, cells in page.verdict().items()}
    spent = [page.headings().index(name) for name in ("decodes", "images", "training time s")]
    assert [rows["vq, factorised"][i] for i in spent] == ["3200", "3200", "1.000"]
    assert [rows["daps:k=16, factorised"][i] for i in spent] == ["51.2k", "3200", "1.000"]
    assert [rows["baseline:mean, none"][i] for i in spent] == ["–"] * 3


def test_means_and_intervals_are_those_of_the_seeds(page):
    values = np.array([22.0, 22.3, 21.8, 22.1])
    cell = page.verdict()["vq, factorised"][2]
    assert float(cell.get("data-v")) == pytest.approx(values.mean(), abs=1e-12)
    half = 3.182446305284263 * values.std(ddof=1) / 2  # Student's t quantile for 3 degrees of freedom
    low, high = (float(text) for text in words(cell.find("small")).split(" … "))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.006)


def test_marks_tell_the_best_from_the_tied_and_from_the_worse(page):
    rows, psnr = page.verdict(), page.headings().index("PSNR ↑ dB")
    marks = {method: cells[psnr].get("class").split()[1:] for method, cells in rows.items()}
    assert marks["vq, factorised"] == ["best"]
    assert marks["fsq, factorised"] == ["tied"]
    assert marks["daps:k=16, factorised"] == ["worse"]
    assert marks["baseline:mean, none"] == []
    assert "best mean" in words(rows["vq, factorised"][psnr])  # not by colour alone
    assert "p = " in rows["fsq, factorised"][psnr].get("title")


def test_columns_without_a_good_direction_have_no_winner(page):
    for name in ("codes used", "parameters, model", "parameters, estimator"):
        column = page.headings().index(name)
        assert {cells[column].get("class").strip() for cells in page.verdict().values()} == {"num"}


def test_rows_start_best_first_with_missing_values_and_the_baseline_last(page):
    expected = ["vq, factorised", "fsq, factorised", "daps:k=16, factorised", "vq, causal", "baseline:mean, none"]
    assert list(page.verdict()) == expected
    empty = page.verdict()["vq, causal"][2]
    assert empty.get("data-v") is None
    assert words(empty) == "–"


def test_metrics_that_few_methods_have_say_so(page):
    leads = page.section("s0-verdict").findall(".//table[@class='plain leads']/tbody/tr")
    assert [words(row[0]) for row in leads] == ["PSNR [dB] ↑", "SSIM ↑", "ELBO [nats] ↑ 1 of 3 methods have one"]


def test_two_seeds_have_no_interval_and_no_test(sweep):
    for seed in range(2):
        add_run(sweep, "vq", seed=seed, psnr=22 + seed)
        add_run(sweep, "daps", seed=seed, psnr=20 + seed)
    page = page_of(sweep)
    assert "2 seeds: no interval" in words(page.section("s0-verdict"))
    cells = page.verdict()
    assert cells["daps, factorised"][2].get("class") == "num untested"
    assert cells["vq, factorised"][2].get("title") == "2 seeds: no interval; best mean"
    assert words(cells["vq, factorised"][2].find("small")) == "±0.71"  # their standard deviation


def test_lower_is_better_where_it_is(sweep):
    for seed in range(3):
        add_run(sweep, "vq", seed=seed, psnr=None, metrics={"lpips": 0.1 + seed / 100})
        add_run(sweep, "daps", seed=seed, psnr=None, metrics={"lpips": 0.4 - seed / 100})
    page = page_of(sweep)
    assert list(page.verdict()) == ["vq, factorised", "daps, factorised"]
    heading = page.section("s0-verdict").find(".//th[@aria-sort]")
    assert (heading.get("aria-sort"), heading.get("data-better")) == ("ascending", "lower")


def test_runs_of_one_estimator_with_other_settings_are_methods_of_their_own(sweep):
    for beta in (0.1, 0.3):
        for seed in range(3):
            add_run(sweep, "daps", seed=seed, psnr=20 + 10 * beta, config={"beta": beta})
    add_run(sweep, "vq", psnr=19)
    page = page_of(sweep)
    rows = page.verdict()
    assert [float(rows[f"daps · beta={beta}, factorised"][2].get("data-v")) for beta in (0.1, 0.3)] == [21, 23]
    assert "vq, factorised" in rows  # alone of its kind, it needs no setting in its name
    assert "The winner is daps · beta=0.3" in words(page.section("s0-verdict"))
    assert "beta" in words(page.section("s0-terms").find(".//table[@class='plain differences']"))


def test_twins_that_nothing_sets_apart_are_not_averaged(sweep):
    folders = [add_run(sweep, "daps", psnr=psnr, config={"beta": psnr}) for psnr in (20, 24)]
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "config": {}}))
    rows = page_of(sweep).verdict()
    assert {float(cells[2].get("data-v")) for cells in rows.values()} == {20, 24}
    assert all("run=" in name for name in rows)


def test_datasets_and_presets_are_not_mixed(sweep):
    for dataset, psnr in (("digits", 20.0), ("photos", 30.0)):
        for seed in range(3):
            add_run(sweep, "daps", seed=seed, psnr=psnr, dataset=dataset)
    page = page_of(sweep)
    assert [words(h1) for h1 in page.root.iter("h1")] == ["digits, preset quick", "photos, preset quick"]
    means = [
        words(page.section(f"s{i}-verdict").find(".//table[@class='sortable verdict']/tbody/tr")[2]) for i in (0, 1)
    ]
    assert [mean[:2] for mean in means] == ["★2", "★3"]
    assert len({element.get("id") for element in page.root.iter() if element.get("id")}) == sum(
        element.get("id") is not None for element in page.root.iter()
    )


def test_unfinished_and_lost_runs_are_in_no_mean(sweep):
    for seed in range(3):
        add_run(sweep, "vq", seed=seed, psnr=20)
    add_run(sweep, "vq", seed=3, psnr=99, steps=[0, 50], state="running")
    add_run(sweep, "vq", seed=4, psnr=99, state="diverged", status={"step": 7})
    add_run(sweep, "vq", seed=5, psnr=99, state="failed", status={"reason": "ValueError: no"})
    add_run(sweep, "vq", seed=6, state="queued")
    page = page_of(sweep)
    cells = page.verdict()["vq, factorised"]
    assert float(cells[2].get("data-v")) == 20
    assert re.sub(" at step 7", "", words(cells[-1])) == "3 done, 1 running, 1 diverged, 1 failed, 1 queued"
    points = page.data[0]["curves"]["points"]["psnr"]
    assert max(points["y"]) == 20 + VALIDATION
    assert set(points["n"]) == {3}
    assert len(page.data[0]["curves"]["lost"]["psnr"]) == 2


def test_a_copy_of_a_run_counts_once(sweep):
    first = add_run(sweep, "vq", psnr=20)
    shutil.copytree(first, sweep / "runs" / "copy")
    page = page_of(sweep)
    assert words(page.verdict()["vq, factorised"][-1]) == "1 done"


def test_a_sweep_under_way_shows_the_curves_there_are(sweep):
    add_run(sweep, "vq", psnr=20, steps=[0, 50], state="running")
    page = page_of(sweep)
    assert "no verdict" in words(page.section("s0-verdict"))
    assert page.data[0]["curves"]["points"]["psnr"]["y"] == [19 + VALIDATION, 20 + VALIDATION]


def test_whatever_users_write_stays_text(tmp_path):
    sweep = new_sweep(tmp_path / f"x{HOSTILE}".replace("/", "\N{DIVISION SLASH}"))
    hostile = {"estimator": f"daps:{HOSTILE}", "posterior": HOSTILE, "dataset": HOSTILE, "preset": HOSTILE}
    told = {
        "hardware": {"cpu": HOSTILE, HOSTILE: 1},
        "git": HOSTILE,
        "command": [HOSTILE],
        "absent": {HOSTILE: HOSTILE},
        "metrics": {HOSTILE: {"definition": HOSTILE}},
    }
    for seed in range(3):
        add_run(
            sweep,
            **hostile,
            seed=seed,
            metrics={HOSTILE: 1.0, "ssim": 0.5},
            config={HOSTILE: HOSTILE, "lr": HOSTILE},
            provenance=told,
        )
    add_run(sweep, **hostile, seed=9, config={"lr": 1}, state="failed", status={"reason": HOSTILE}, traceback=HOSTILE)
    (sweep / "runs" / "a<b>").mkdir()
    page = page_of(sweep)
    assert len(list(page.root.iter("script"))) == 3
    assert not [img for img in page.root.iter("img") if not img.get("src", "").startswith("data:")]
    assert page.data[0]["methods"][0]["posterior"] == HOSTILE
    assert "<" not in page.root.find(".//script[@id='data']").text
    assert HOSTILE in words(page.root.find(".//h1"))
    assert words(page.section("s0-problems").find(".//pre")) == HOSTILE
    assert HOSTILE in words(page.section("how"))
    assert "a<b>" in words(page.section("how"))


def test_an_empty_sweep_is_a_page_that_says_so(sweep):
    assert "Nothing to report yet" in words(page_of(sweep).root)


def test_one_run_alone_is_a_page(sweep):
    add_run(sweep, "vq")
    page = page_of(sweep)
    assert "(1 seed: no interval)" in words(page.section("s0-verdict"))
    assert words(page.verdict()["vq, factorised"][-1]) == "1 done"


@pytest.mark.parametrize("state", ["failed", "diverged", "skipped", "stopped", "queued", "running"])
def test_only_runs_that_did_not_end_well_are_a_page(sweep, state):
    for seed in range(3):
        add_run(sweep, "vq", seed=seed, psnr=None, positions=0, state=state)
    page = page_of(sweep)
    assert "no verdict" in words(page.section("s0-verdict"))
    assert words(page.section("s0-problems").find(".//tbody/tr")[3]) == "3"
    assert not page.has("s0-images")


def test_missing_metrics_leave_their_columns_out(sweep):
    for seed in range(3):
        add_run(sweep, "vq", seed=seed, psnr=None, metrics={"ssim": float("nan"), "new_metric": 3.0}, positions=0)
    page = page_of(sweep)
    assert page.headings()[:2] == ["estimator", "posterior"]
    assert not {"PSNR", "SSIM"} & {heading.split(" ")[0] for heading in page.headings()}
    assert page.data[0]["curves"]["metrics"] == ["new_metric"]
    assert not page.has("s0-codebook")


def test_half_written_files_are_read_as_far_as_they_go(sweep):
    for seed in range(3):
        add_run(sweep, "vq", seed=seed, psnr=20)
    torn = [add_run(sweep, "daps", seed=seed, psnr=18) for seed in range(5)]
    with (torn[0] / "rows.jsonl").open("ab") as file:
        file.write(b'{"step": 100, "images": 3200, "metr')
    (torn[1] / "config.json").write_text('{"identity": {')
    (torn[2] / "samples.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (torn[3] / "status.json").write_text("")
    (torn[4] / "rows.jsonl").write_text('{"step": 100}\n[]\nnull\n12\n{"metric": null, "value": "x"}\n')
    (sweep / "runs" / "no-run-at-all").mkdir()
    page = page_of(sweep)
    assert float(page.verdict()["vq, factorised"][2].get("data-v")) == 20
    assert "no-run-at-all" in words(page.section("how"))
