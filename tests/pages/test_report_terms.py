"""What the page says of runs that did not end well, of equal terms, and of how it was run."""

import shlex

import pytest
from helpers.report_page import page_of, words
from helpers.synthetic_sweep import COMMAND, HARDWARE, add_run, new_sweep, usual_sweep


@pytest.fixture
def sweep(tmp_path):
    return new_sweep(tmp_path / "sweep")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_of(usual_sweep(tmp_path_factory.mktemp("usual") / "digits-quick"))


def test_settings_of_the_baseline_are_nobodys_handicap(sweep):
    add_run(sweep, "vq")
    add_run(sweep, "baseline:mean", "none", config={"lr": 9})
    assert page_of(sweep).section("s0-terms").find(".//table[@class='plain differences']") is None


def test_failures_are_listed_once_per_reason_with_the_end_of_the_traceback(sweep):
    for seed in range(3):
        add_run(
            sweep,
            "daps",
            seed=seed,
            state="failed",
            status={"reason": "ValueError: no"},
            traceback="line\n" * 99 + "ValueError: no\n",
        )
    add_run(sweep, "vq", "causal", state="skipped", status={"reason": "vq emits vectors"})
    add_run(sweep, "fsq", state="diverged", status={"step": 7})
    page = page_of(sweep)
    rows = page.section("s0-problems").findall(".//tbody/tr")
    assert [words(row[0]) for row in rows] == ["failed", "diverged", "skipped"]
    assert [words(cell) for cell in rows[0][1:5]] == ["daps", "factorised", "3", "0–2"]
    trace = words(rows[0].find(".//pre"))
    assert trace.startswith("… line")
    assert trace.endswith("ValueError: no")
    assert trace.count("line") < 50
    assert "at step 7" in words(rows[1][5])
    assert "5 of 5 runs are not in the means above" in words(page.section("s0-problems"))


def test_equal_terms_are_called_equal(page):
    terms = words(page.section("s0-terms"))
    assert "The same for all runs, as far as they recorded it: device, cpu, cores, threads, commit, python" in terms
    assert "finished seeds, bits per image, number of images, cost in steps, cost in images. " in terms
    assert "At equal bits and posterior, model sizes differ by at most 2 %." in terms
    assert "rfid needs weights that are missing" in terms
    rows = page.section("s0-terms").findall(".//table[@class='sortable plain']/tbody/tr")
    daps = [words(cell) for cell in rows[0]]
    assert daps == ["daps:k=16", "factorised", "1 000", "0", "24", "4 × 64", "16", "100", "0–3", "cpu"]


@pytest.mark.parametrize(
    ("second", "warning"),
    [
        ({"provenance": {"hardware": {**HARDWARE, "cpu": "B"}}}, "in cpu: A processor (3 runs); B (3 runs)."),
        ({"provenance": {"hardware": {**HARDWARE, "threads": 8}}}, "Runs differ in threads"),
        ({"provenance": {"versions": {"python": "3.11.7", "torch": "2.8.0"}}}, "Runs differ in torch"),
        ({"provenance": {"git": "0123456789abcdef+changes"}}, "uncommitted changes on top of 0123456789ab: 3 runs."),
        ({"parameters": 1060}, "the model of vq is 6 % larger than that of daps"),
        ({"config": {"vocab": 16}, "parameters": 990}, "latents of different capacity: 16.0, 24.0 bits"),
        ({"n": 100}, "Numbers of test images differ: 100, 360."),
        ({"seeds": range(1, 4)}, "Methods finished different seeds"),
    ],
)  # fmt: skip
def test_terms_that_are_not_equal_are_said_first(sweep, second, warning):
    second = dict(second)
    for seed in range(3):
        add_run(sweep, "daps", seed=seed)
    for seed in second.pop("seeds", range(3)):
        add_run(sweep, "vq", seed=seed, **second)
    warnings = [words(item) for item in page_of(sweep).section("s0-terms").findall("ul[@class='warnings']/li")]
    assert [text for text in warnings if warning in text], warnings


def test_settings_that_differ_between_methods_are_listed_with_who_has_them(sweep):
    for name in ("daps", "fsq", "reinforce", "gumbel_softmax"):
        add_run(sweep, name)
    add_run(sweep, "vq", config={"lr": 0.5, "decoder": None})
    rows = page_of(sweep).section("s0-terms").findall(".//table[@class='plain differences']/tbody/tr")
    cells = [[words(cell) for cell in row] for row in rows]
    assert ["lr", "0.01", "all others (4)"] in cells
    assert ["0.5", "vq, factorised"] in cells


def test_commands_can_be_pasted_into_a_shell(sweep):
    argv = ["/a b/.venv/bin/bench", "run", "--dataset", "folder:/my images/$HOME", "--set", "lr='x'"]
    for seed in range(2):
        add_run(sweep, "daps", seed=seed, provenance={"command": argv})
    add_run(sweep, "vq", provenance={"command": COMMAND})
    page = page_of(sweep)
    shown = [words(code) for code in page.section("how").iter("code")]
    assert shlex.split(shown[0]) == ["bench", *argv[1:]]
    assert shlex.split(shown[1]) == ["bench", *COMMAND[1:]]
    assert "git checkout 0123456789abcdef0123456789abcdef01234567 pip install -e . bench run" in shown[2]
    assert shown[2].endswith(f"bench report {shlex.quote(str(sweep))}")
    assert "2 runs by" in words(page.section("how"))


def test_model_sizes_that_differ_are_never_called_equal(sweep):
    for seed in range(3):
        add_run(sweep, "daps", seed=seed, parameters=1000)
        add_run(sweep, "vq", seed=seed, parameters=1049)
    assert "model sizes differ by at most 4.9 %" in words(page_of(sweep).section("s0-terms"))
    for seed in range(3):
        add_run(sweep, "fsq", seed=seed, parameters=1060)
    terms = words(page_of(sweep).section("s0-terms"))
    assert "model sizes" not in terms
    assert "the model of fsq is 6 % larger than that of daps" in terms


def test_what_differs_is_not_among_what_is_the_same(sweep):
    for seed in range(3):
        add_run(sweep, "daps", seed=seed)
        add_run(sweep, "vq", seed=seed, provenance={"hardware": {**HARDWARE, "cpu": "B"}}, config={"vocab": 16})
    terms = words(page_of(sweep).section("s0-terms").find("p[@class='fine']"))
    assert "device, cores, threads" in terms
    assert "bits" not in terms.partition("At equal")[0]


def test_counts_say_that_they_leave_out_the_mean_image(page, sweep):
    assert "12 of 13 runs done, the mean image aside" in words(page.root.find(".//ul[@class='summary']"))
    problems = words(page.section("s0-problems"))
    assert "1 of 13 runs are not in the means above, the mean image aside: 1 skipped (vq, causal, seed 0)." in problems
    add_run(sweep, "vq")
    assert "1 of 1 run done" in words(page_of(sweep).root)


@pytest.mark.parametrize("program", ["/src/bench/cli/__main__.py", "/src/bench/cli.py"])
def test_a_command_through_python_is_one_again(sweep, program):
    add_run(sweep, "vq", provenance={"command": [program, "run", "--estimator", "vq"]})
    assert "python -m bench.cli run --estimator vq" in words(page_of(sweep).section("how"))


def test_the_reason_on_the_page_is_that_of_the_run(sweep):
    add_run(sweep, "vq", state="running")
    assert "still running, or its process died" in words(page_of(sweep).section("s0-problems"))


def test_definitions_of_metrics_that_are_not_the_same_are_all_there(sweep):
    add_run(sweep, "daps")
    add_run(sweep, "vq", provenance={"metrics": {"psnr": {"definition": "of unrounded images"}}})
    terms = page_of(sweep).section("s0-terms")
    (wide,) = terms.findall(".//dl[@class='facts wide']/div")
    assert wide.get("class") == "differs"
    assert {words(value) for value in wide.findall("dd")} == {
        "10 log10(255^2 / mse) (1 run)",
        "of unrounded images (1 run)",
    }
