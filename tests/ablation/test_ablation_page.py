"""What an ablation's page says and draws, from runs whose results are known."""

import math
import re
import shutil

import matplotlib.style
import numpy as np
import pandas as pd
import pytest
from bench.ablation._bands import bands
from bench.ablation._lines import knobs, lines
from bench.ablation._look import lower_edge
from helpers.ablation_sweeps import add_run, config_of, digits_plan, make
from matplotlib.figure import Figure
from PIL import Image

from bench import ablation, records
from bench.ablation import _figures_choice, _figures_cost, _figures_final, _figures_training
from bench.ablation._study import study
from bench.ablation._words import answers, headline, sensitivity
from bench.figures.styles import RC
from bench.records.folder import RUN_COLUMNS, RunFolder


def score(config) -> float:
    """ess is best at 0.5, kl a little behind, eta has its optimum at 1, greedy fails."""
    a = config.arguments
    if a["step_size"] in ("ess", "ess_solve"):
        return 17.0 - 4 * abs((a["ess_target"] or 0.33) - 0.5)
    if a["step_size"] == "fixed":
        return 16.9 - 0.3 * math.log10(a["eta"]) ** 2
    if a["step_size"] == "greedy":
        return 12.0
    return 16.8


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    """The step-size ablation of 35 settings."""
    return make(tmp_path_factory.mktemp("a") / "ablate-step_size", digits_plan("step_size"), score, noise=0.001)


@pytest.fixture(scope="module")
def page(two_seeds):
    """Sentences, the page's text, and the paths."""
    answer, paths = ablation.write_page(two_seeds)
    return answer, paths[0].read_text(), paths


def text_of(html: str) -> str:
    """Without tags, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>|<style>.*?</style>", "", html, flags=re.DOTALL))


def test_the_page_says_first_who_won_and_that_two_seeds_cannot_tell(page):
    _, html, _ = page
    first = re.search(r'<p class="first">(.*?)</p>', html, re.DOTALL)
    assert first is not None
    assert first[1].startswith(
        "Each rule at the best of its settings: the winner is step_size=ess, ess_target=0.5 with"
    )
    assert "cannot be told from seed noise (2 seeds: no interval)" in first[1]


def test_the_command_line_says_what_the_page_says(page):
    answer, html, _ = page
    shown = text_of(html).replace("&#39;", "'")
    assert len(answer) == 3
    for sentence in answer:
        assert sentence in shown


def test_a_lead_larger_than_the_noise_of_three_seeds_is_said_to_be_so(tmp_path):
    def clear(config):
        return 16.0 + (config.lr > 1e-3)

    found = study(make(tmp_path / "a", digits_plan("mine", "lr=1e-3,1e-2"), clear, seeds=3, noise=0.01))
    (answer,) = answers(found, "psnr")
    assert answer.between_families == ""
    assert "The winner is lr=0.01 with 1" in answer.between_settings
    assert re.search(
        r"its lead of (0\.9|1\.0)\d+ dB over lr=0\.001 is larger than the seed noise", answer.between_settings
    )


def test_a_lead_within_the_noise_of_three_seeds_is_said_to_be_so(tmp_path):
    found = study(make(tmp_path / "a", digits_plan("mine", "lr=1e-3,1e-2"), lambda _: 16.0, seeds=3, noise=0.5))
    (answer,) = answers(found, "psnr")
    assert "is not larger than the seed noise" in answer.between_settings


def test_the_noise_sentence_counts_what_is_close_to_the_winner(tmp_path):
    plan = digits_plan("mine", "lr=1e-4,1e-3,1e-2,1e-1")
    psnr = {1e-4: (17.0, 17.2), 1e-3: (16.95, 17.19), 1e-2: (15.0, 15.4), 1e-1: (14.0, 14.2)}
    records.open_sweep(tmp_path / "a")
    plan.write_record(tmp_path / "a")
    for variant in plan.variants:
        for seed in range(2):
            config = config_of(variant, seed)
            add_run(tmp_path / "a", config, psnr[config.lr][seed])
    (answer,) = answers(study(tmp_path / "a"), "psnr")
    # differences to the winner per seed: (0.05, 0.01), (2, 1.8), (3, 3); their standard errors: 0.02, 0.1, 0
    assert answer.noise == (
        "A setting's difference to the winner has a standard error of 0.020 dB over the seeds (median of 3 settings); "
        "1 of 3 are less than two of these behind it."
    )


def test_all_settings_are_in_the_table_best_first_with_what_they_lose(page):
    _, html, _ = page
    table = html[html.index('<table class="table">') :]
    rows = re.findall(r'<th scope="row" class="name">(.*?)</th>\s*<td.*?>(.*?)<.*?</td><td.*?>(.*?)<', table)
    found = [(label.replace("<wbr>", ""), float(psnr), lost) for label, psnr, lost in rows]
    assert len({label for label, _, _ in found}) == len(found) == 35
    assert [psnr for _, psnr, _ in found] == sorted((psnr for _, psnr, _ in found), reverse=True)
    assert (found[0][0], found[0][2]) == ("step_size=ess, ess_target=0.5", "best")
    assert found[-1][0] == "step_size=greedy"
    assert table.count('<tr class="best">') == 1
    assert float(found[-1][2].replace("\N{MINUS SIGN}", "-")) == pytest.approx(-5, abs=0.02)


def test_the_csv_has_a_row_per_setting_with_its_knobs_and_numbers(page, two_seeds):
    _, _, paths = page
    table = pd.read_csv(paths[1])
    assert len(table) == 35
    row = table[table["setting"] == "step_size=fixed, eta=100"].iloc[0]
    assert row["eta"] == 100
    assert row["psnr"] == pytest.approx(16.9 - 0.3 * 4, abs=0.01)
    assert row["to_best_estimate"] == pytest.approx(row["psnr"] - table["psnr"].max(), abs=1e-9)
    assert row["runs_done"] == 2
    assert row["last_eta"] == 2**4
    assert row["last_ess"] == 0.5
    assert row["last_realised_kl"] == pytest.approx(0.01 / 4)


def test_the_page_loads_nothing_and_holds_every_figure(page, two_seeds):
    _, html, paths = page
    names = [path.stem for path in paths[2:]]
    assert names == ["knobs", "sensitivity", "training", "training_by_knob", "settings"]
    assert html.count("data:image/png;base64,") == len(names)
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert "<script" not in html
    for path in paths[2:]:
        with Image.open(path) as image:
            assert image.info["dpi"][0] == pytest.approx(200, abs=1)
            assert image.width > 800


def test_the_page_says_how_it_was_run_and_what_was_left_out(page):
    _, html, _ = page
    shown = text_of(html)
    assert "70 runs by" in shown
    assert "bench ablate step_size --dataset digits" in shown
    assert "daps:step_size=ess_solve,ess_target=0.1" in shown
    assert "The mean training image scores 11.45 dB" in shown


def test_the_folder_alone_is_enough_to_draw_it_again(two_seeds, page, tmp_path):
    _, html, paths = page
    moved = shutil.copytree(two_seeds, tmp_path / "elsewhere")
    (moved / "ablation.html").unlink()
    shutil.rmtree(moved / "figures")
    _, again = ablation.write_page(moved)
    assert [path.name for path in again] == [path.name for path in paths]
    assert again[0].read_text().replace(str(moved), "FOLDER") == html.replace(str(two_seeds), "FOLDER")


def test_bands_are_what_lies_within_half_a_decibel_of_the_best(two_seeds):
    found = {band.family: band for band in bands(study(two_seeds))}
    assert (found["ess"].within, len(found["ess"].drops), found["ess"].range) == (1, 5, "0.5")
    assert (found["fixed"].within, len(found["fixed"].drops), found["fixed"].range) == (3, 6, "0.1 to 10")
    assert (found["kl"].within, found["kl"].range) == (5, "0.01 to 1")
    assert (found["greedy"].within, found["greedy"].knob) == (0, None)
    assert found["greedy"].worst(found["greedy"].safest) == pytest.approx(5, abs=0.02)


def test_a_good_range_is_unbroken(tmp_path):
    psnr = {0.1: 16.9, 1.0: 15.0, 10.0: 17.0, 100.0: 16.8, 1000.0: 15.0}
    plan = digits_plan("mine", "eta=0.1,1,10,100,1000")
    (band,) = bands(study(make(tmp_path / "a", plan, lambda config: psnr[config.arguments["eta"]], noise=0.0)))
    assert (band.within, band.range) == (3, "10 to 100")


def test_one_setting_for_all_conditions_is_judged_where_it_loses_most(tmp_path):
    drops = {
        # under the preset, and with three times the learning rate
        ("fixed", 0.1): (0.0, 3.0),
        ("fixed", 1.0): (0.6, 0.7),
        ("fixed", 10.0): (2.0, 0.0),
        ("ess", 0.33): (0.2, 0.3),
        ("greedy", None): (4.0, 4.0),
    }

    def robust(config):
        a = config.arguments
        knob = {"fixed": a["eta"], "ess": a["ess_target"], "greedy": None}[a["step_size"]]
        # conditions have levels of their own, which never count
        return (17 if config.lr == 2e-3 else 10) - drops[a["step_size"], knob][config.lr > 2e-3]

    plan = digits_plan("robustness", "step_size=ess,fixed,greedy", "eta=0.1,1,10", "ess_target=0.33", "lr=3x,3x")
    plan.variants[:] = [v for v in plan.variants if config_of(v).lr != 2e-3 or v.overrides == {}]
    found = study(make(tmp_path / "a", plan, robust, noise=0.0))
    by_family = {band.family: band for band in bands(found)}
    assert found.conditions == ["as in the preset", "lr=0.006"]
    assert by_family["fixed"].safest[0] == "step_size=fixed, eta=1"
    assert by_family["fixed"].worst(by_family["fixed"].safest) == pytest.approx(0.7)
    assert (by_family["fixed"].within, by_family["fixed"].range) == (0, "none")
    assert by_family["fixed"].share == pytest.approx(2 / 6)
    assert (by_family["ess"].within, by_family["ess"].share) == (1, 1.0)
    sentences = sensitivity(bands(found), "rule")
    assert sentences[0] == (
        "If one setting has to do under all 2 conditions, step_size=ess, ess_target=0.33 loses least: never more than "
        "0.30 dB against the best of a condition; the best such setting of the next rule, step_size=fixed, eta=1, up "
        "to 0.70 dB, and that of the last, step_size=greedy, up to 4.00 dB."
    )


def test_lines_join_settings_that_differ_in_one_knob_alone(tmp_path):
    found = study(make(tmp_path / "a", digits_plan("mine", "k=2,4,8", "lr=1e-3,1e-2"), lambda _: 16.0))
    assert knobs(found, "") == ["lr", "k"]
    by_k = {line.held["lr"]: [value for value, _ in line.points] for line in lines(found, "k", "")}
    assert by_k == {1e-3: [2, 4, 8], 1e-2: [2, 4, 8]}
    for line in lines(found, "k", ""):
        assert [found.settings[i].config["k"] for _, i in line.points] == [2, 4, 8]
        assert {found.settings[i].config["lr"] for _, i in line.points} == {line.held["lr"]}


def test_a_setting_that_two_cases_share_is_on_the_line_of_both(tmp_path):
    found = study(make(tmp_path / "a", digits_plan("k"), lambda _: 16.0, seeds=1))
    points = {line.family: [value for value, _ in line.points] for line in lines(found, "k", "")}
    trades = ("fewer steps", "fewer images per step", "fewer steps, a quarter of the budget")
    assert points == {trade: [2, 4, 8, 16, 32, 64] for trade in trades}
    assert knobs(found, "") == ["k"]


def test_rules_of_other_knobs_have_lines_of_their_own(two_seeds):
    found = study(two_seeds)
    by_knob = {knob: [line.family for line in lines(found, knob, "")] for knob in knobs(found, "")}
    assert by_knob == {
        "ess_target": ["ess", "ess_solve"], "epsilon": ["kl", "vmpo"], "delta": ["lbps"], "eta": ["fixed"],
    }  # fmt: skip


def test_a_sweep_made_by_hand_is_drawn_too_its_runs_told_apart_by_what_differs(tmp_path):
    plan = digits_plan("mine", "k=4,8", "lr=1e-3,1e-2", estimators=["daps", "reinforce"])
    folder = make(tmp_path / "a", plan, lambda config: 16.0 + config.lr, seeds=2)
    (folder / "ablation.json").unlink()
    found = study(folder)
    names = ("daps", "daps:k=4", "reinforce", "reinforce:k=4")
    assert {setting.label for setting in found.settings} == {f"{n}, lr={lr}" for n in names for lr in ("0.001", "0.01")}
    assert found.families == ["daps", "reinforce"]
    assert set(knobs(found, "")) == {"k", "lr"}
    assert headline(found)[0].startswith("Each estimator at the best of its settings: the winner is ")


def test_likelihoods_are_never_compared_even_if_nobody_named_conditions(tmp_path):
    plan = digits_plan("mine", "likelihood=gaussian,bernoulli", "lr=1e-3,1e-2")
    folder = make(tmp_path / "a", plan, lambda config: 10.0 if config.likelihood == "gaussian" else 20.0)
    (folder / "ablation.json").unlink()
    assert set(study(folder).conditions) == {"gaussian likelihood", "bernoulli likelihood"}


def test_the_same_folder_with_more_steps_keeps_settings_apart(tmp_path):
    folder = tmp_path / "a"
    make(folder, digits_plan("mine", "lr=1e-3,1e-2"), lambda _: 16.0)
    make(folder, digits_plan("mine", "lr=1e-3,1e-2", settings={"steps": 100}), lambda _: 14.0)
    labels = [setting.label for setting in study(folder).settings]
    assert sorted(labels) == [
        "lr=0.001, steps=100",
        "lr=0.001, steps=1000",
        "lr=0.01, steps=100",
        "lr=0.01, steps=1000",
    ]


def test_settings_of_several_ablations_in_one_folder_are_told_apart(tmp_path):
    folder = tmp_path / "a"
    make(folder, digits_plan("mine", "lr=1e-3", estimators=["daps:k=4", "daps:k=8"]), lambda _: 16.0)
    make(folder, digits_plan("mine", "k=2,16"), lambda _: 14.0)
    labels = {setting.label for setting in study(folder).settings}
    assert labels == {"lr=0.001, k=4", "lr=0.001, k=8", "k=2", "k=16"}


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
            add_run(
                folder,
                config_of(variant, seed),
                16.0,
                state=state,
                reason="<b>no & luck</b>" if state == "failed" else "",
            )
    queued = config_of(plan.variants[-1])
    identity = {column: getattr(queued, column) for column in RUN_COLUMNS if column != "run"}
    RunFolder(folder, queued.digest).queue({"run": queued.digest, **identity})
    return folder


def test_runs_that_did_not_end_well_are_listed_and_in_no_mean(troubled):
    answer, paths = ablation.write_page(troubled)
    html = paths[0].read_text()
    shown = text_of(html)
    assert answer[0].startswith("The winner is lr=0.0001")
    assert "1 run of lr=0.001 diverged and left no value" in answer[0]
    assert "6 of 9 runs are not in the means above" in shown
    assert "&lt;b&gt;no &amp; luck&lt;/b&gt;" in html
    table = pd.read_csv(paths[1]).set_index("setting")
    assert table["runs_diverged"].to_dict()["lr=0.01"] == 2
    assert math.isnan(table["psnr"]["lr=0.01"])
    assert table["seeds"]["lr=0.001"] == 1
    (band,) = bands(study(troubled))
    assert math.isinf(band.worst(("lr=0.01", "factorised")))
    assert ("lr=0.1", "factorised") not in band.drops


def test_a_folder_without_an_ended_run_says_so(tmp_path):
    records.open_sweep(tmp_path / "a")
    with pytest.raises(ValueError, match=r"no run in .* has come to its end"):
        ablation.write_page(tmp_path / "a")
    with pytest.raises(ValueError, match="is not a sweep"):
        ablation.write_page(tmp_path)


def drawn(folder, build) -> Figure:
    with matplotlib.style.context(["default", RC]):
        figure = build(study(folder))
    assert isinstance(figure, Figure)
    return figure


def test_the_figure_against_knobs_draws_means_seeds_and_intervals_where_the_table_has_them(tmp_path):
    folder = make(tmp_path / "a", digits_plan("mine", "eta=1,10,100"), score_of_eta, seeds=3, noise=0.1)
    ax = drawn(folder, _figures_final.against_knobs).axes[0]
    found = study(folder)
    (mean,) = [line for line in ax.lines if line.get_gid() == "mean"]
    assert list(mean.get_xdata()) == [1, 10, 100]
    assert list(mean.get_ydata()) == pytest.approx([found.means[i, "psnr"] for i in range(3)])
    seeds = [sorted(line.get_ydata()) for line in ax.lines if line.get_gid() == "seeds"]
    assert [len(values) for values in seeds] == [3, 3, 3]
    assert [sum(values) / 3 for values in seeds] == pytest.approx(list(mean.get_ydata()))
    intervals = [list(line.get_ydata()) for line in ax.lines if line.get_gid() == "interval"]
    rows = found.finals[found.finals["metric"] == "psnr"].sort_values("setting")
    np.testing.assert_allclose(intervals, rows[["low", "high"]])
    assert ax.get_xscale() == "log"


def score_of_eta(config) -> float:
    return 16.0 - math.log10(config.arguments["eta"])


def test_training_is_drawn_for_the_best_setting_of_every_rule(two_seeds):
    figure = drawn(two_seeds, _figures_training.of_families)
    found = study(two_seeds)
    for ax in figure.axes[:6]:
        assert [line.get_gid() for line in ax.lines] == found.families
    eta = figure.axes[1]
    assert eta.get_ylabel() == "η [nats]"
    greedy = next(line for line in eta.lines if line.get_gid() == "greedy")
    assert list(greedy.get_ydata()) == [0, 0, 0, 0]
    assert list(greedy.get_xdata()) == [250, 500, 750, 1000]
    low, high = eta.get_ylim()
    assert low < 0 < high
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "ess\n  ess_target=0.5" in texts
    assert "greedy" in texts


def test_conditions_are_drawn_as_what_each_setting_loses(tmp_path):
    plan = digits_plan("robustness", "step_size=greedy,vmpo")
    folder = make(tmp_path / "a", plan, lambda c: 17.0 - 5 * ("greedy" in c.estimator) - c.lr, noise=0.0)
    ax = drawn(folder, _figures_choice.conditions).axes[0]
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("5.0") == 7
    assert texts.count("0.0") == 3 * 7
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "step_size=greedy"


def test_a_frontier_is_drawn_where_costs_differ(tmp_path):
    folder = make(tmp_path / "a", digits_plan("mine", "k=2,4,8,16"), lambda c: 15.0 + c.arguments["k"] % 16, noise=0.0)
    figure = drawn(folder, _figures_cost.frontier)
    decodes = figure.axes[0]
    assert decodes.get_ylabel() == "PSNR [dB]"
    (front,) = [line for line in decodes.lines if line.get_drawstyle().startswith("steps")]
    assert list(front.get_ydata()) == pytest.approx([17, 19, 23])
    assert list(front.get_xdata()) == [64_000 * k for k in (2, 4, 8)]


def test_the_bad_end_of_an_axis_is_cut_only_where_failures_would_squeeze_the_rest():
    assert lower_edge([17, 16.9, 16.8, 16.7, 16.6], "higher") == -math.inf
    edge = lower_edge([17, 16.9, 16.8, 16.7, 2], "higher")
    assert 2 < edge < 16.7
    mirrored = lower_edge([-17, -16.9, -16.8, -16.7, -2], "lower")
    assert mirrored == pytest.approx(-edge)
    assert lower_edge([17, math.nan, 2], "higher") == -math.inf


def test_the_knobs_are_what_differs_between_the_runs(two_seeds):
    assert set(study(two_seeds).knobs) == {"step_size", "ess_target", "epsilon", "delta", "eta", "per_image"}
