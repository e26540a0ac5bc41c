"""The page in a real browser. Skipped where Chromium or playwright is missing."""

import shutil
import time
from pathlib import Path

import pytest
from helpers.ablation_sweeps import digits_plan, make, step_size_score
from helpers.drawn import drawn as fake_figures  # noqa: F401  figures are not what is tested here
from helpers.synthetic_sweep import add_run, new_sweep, usual_sweep

from bench import pages as report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, as /usr/bin/chromium"),
]

LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
HOSTILE = """<script>alert(1)</script>&"'</script><img src=x onerror=alert(1)>"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    sweep = usual_sweep(tmp_path_factory.mktemp("usual") / "digits-quick")
    for seed in range(3):
        add_run(sweep, "daps", "causal", seed=seed, psnr=17)
    add_run(sweep, "fsq", seed=9, psnr=16, state="diverged", status={"step": 7})
    return report.write(sweep)


def opened(browser, file: Path, **options):
    """A page without complaints: any word on the console, any request but for the file and any dialog fails."""
    page = browser.new_context(**{"viewport": LAPTOP, **options}).new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("data:") or page.complaints.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.complaints.pop(0) == file.as_uri()
    return page


@pytest.fixture
def page(browser, file):
    found = opened(browser, file)
    yield found
    assert found.complaints == []
    found.context.close()


def until(condition, seconds: float = 5) -> None:
    """Wait in Python: the page's policy forbids the eval that playwright's own wait is made of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def column(page, name: str) -> list[str]:
    """First words of the cells under a heading of the verdict table."""
    names = page.locator(".verdict thead th").all_inner_texts()
    place = next(i for i, text in enumerate(names) if text.startswith(name))
    cells = page.locator(f".verdict tbody tr > :nth-child({place + 1})").all_inner_texts()
    return [cell.split("\n")[0].strip("★≈? ") for cell in cells]


def drawn(page, chart: str = "curves") -> str:
    return page.locator(f"[data-chart={chart}] svg").first.inner_html()


def test_charts_are_drawn(page):
    assert page.locator("[data-chart=curves] svg").count() == 2
    assert page.locator("[data-chart=curves] svg .mark-line path").count() > 3
    assert page.locator("[data-chart=finals] svg .mark-symbol path").count() > 10
    assert page.locator("[data-chart=usage] svg .mark-rect.role-mark path").count() == 4 * 4


def test_a_click_on_a_heading_sorts_and_another_one_turns_it_round(page):
    assert column(page, "PSNR") == ["22.05", "21.80", "18.05", "17.00", "–", "11.50"]
    heading = page.locator(".verdict thead th", has_text="PSNR")
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(page, "PSNR") == ["11.50", "17.00", "18.05", "21.80", "22.05", "–"]
    heading.get_by_role("button").click()
    assert column(page, "PSNR") == ["22.05", "21.80", "18.05", "17.00", "11.50", "–"]  # what is missing stays last


def test_the_first_click_sorts_the_best_to_the_top_and_only_one_heading_is_marked(page):
    page.locator(".verdict thead th", has_text="training time").get_by_role("button").click()
    marked = page.locator(".verdict thead th[aria-sort]")
    assert marked.count() == 1
    assert (marked.inner_text()[:13], marked.get_attribute("aria-sort")) == ("training time", "ascending")


def test_headings_sort_by_keyboard(page):
    page.locator(".verdict thead th", has_text="estimator").first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, "estimator") == ["baseline:mean", "daps", "daps:k=16", "fsq", "vq", "vq"]
    page.keyboard.press("Space")
    assert column(page, "estimator")[0] == "vq"


@pytest.mark.parametrize(
    ("axis", "title"),
    [("images", "images seen"), ("decodes", "decoder evaluations"), ("seconds", "training time [s]")],
)
def test_the_axis_switches(page, axis, title):
    before = drawn(page)
    assert page.locator(".panels [data-x]").first.inner_text() == "optimiser steps"
    page.locator(f"input[value={axis}]").check()
    until(lambda: drawn(page) != before)
    assert set(page.locator(".panels [data-x]").all_inner_texts()) == {title}


def test_the_axis_switches_by_arrow_key(page):
    page.locator("input[value=step]").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("input[value=images]").is_checked()
    page.wait_for_selector(".panels [data-x]:has-text('images seen')")


def test_curves_can_be_read_as_a_table_against_what_is_chosen(page):
    page.get_by_text("These curves as a table").click()
    table = page.locator("details.numbers table")
    table.wait_for()
    assert "PSNR [dB]" in table.locator("caption").inner_text()

    def last_cells() -> dict[str, list[str]]:
        rows = table.locator("tr").all()
        return {row.locator("th").inner_text(): row.locator("td").last.inner_text().split() for row in rows}

    assert last_cells()["vq, factorised"] == ["22.054", "at", "100"]
    page.locator("input[value=decodes]").check()
    until(lambda: "decoder evaluations" in table.locator("caption").inner_text())
    cells = last_cells()
    # 100 steps of 32 images, with 1 and with 16 samples each
    assert cells["vq, factorised"] == ["22.054", "at", "3200"]
    assert cells["daps:k=16, factorised"] == ["18.054", "at", "51200"]


def test_the_metric_switches(page):
    before = drawn(page, "finals")
    page.locator("[data-control=final-metric]").select_option("ssim")
    page.wait_for_selector("[data-x]:has-text('SSIM')")
    assert drawn(page, "finals") != before


def test_a_method_is_hidden_and_shown(page):
    lines = page.locator("[data-chart=curves][data-posterior=factorised] svg .mark-line path")
    chip = page.get_by_role("button", name="vq")
    before = lines.count()
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"
    until(lambda: lines.count() < before)
    chip.press("Enter")
    until(lambda: lines.count() == before)


def test_pointing_at_a_method_fades_the_others(page):
    faded = "[data-posterior=factorised] svg .mark-line path[opacity='0.15']"
    assert page.locator(faded).count() == 0
    page.get_by_role("button", name="vq").hover()
    page.wait_for_selector(faded, state="attached")
    page.mouse.move(0, 0)
    page.wait_for_selector(faded, state="detached")


def test_pointing_at_a_point_says_what_it_is(page):
    chart = page.locator("[data-chart=curves][data-posterior=factorised] svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + 0.02 * box["height"])
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "vq, factorised" in tooltip.inner_text()
    assert "seeds\t4" in tooltip.inner_text()


def test_an_image_is_picked_by_click_and_by_key(page):
    card = page.locator(".card").first
    shift = "img => new DOMMatrix(getComputedStyle(img).transform).e / img.getBoundingClientRect().width"
    image = card.locator("img").first
    assert image.evaluate(shift) == 0
    scores = card.get_attribute("data-psnr").split()
    page.locator(".thumbs label").nth(3).click()
    assert image.evaluate(shift) == pytest.approx(-3 / 12, abs=1e-3)
    assert card.locator("[data-score]").inner_text() == f"{float(scores[3]):.1f}"
    page.keyboard.press("ArrowRight")
    assert {round(img.evaluate(shift), 3) for img in page.locator(".wall .crop img").all()} == {-0.333}


def test_pixels_are_enlarged_without_smoothing(page):
    assert page.locator(".card img").first.evaluate("img => getComputedStyle(img).imageRendering") == "pixelated"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_only_downwards(browser, file, scheme):
    page = opened(browser, file, viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for region in page.locator(".scroll").all():
        assert region.bounding_box()["width"] <= 390
    assert page.complaints == []


def test_dark_and_light_differ_in_paper_and_ink(browser, file):
    seen = {}
    for scheme in ("light", "dark"):
        page = opened(browser, file, color_scheme=scheme)
        seen[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
            " getComputedStyle(document.querySelector('.mark-line path')).stroke]"
        )
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


def test_print_shows_what_is_folded_and_hides_what_cannot_be_pressed(page):
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("details:not([open]):not(.numbers)").count() == 0
    assert not page.locator(".controls").first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()") == "#1b1f24"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open]):not(.numbers)").count() > 0


def test_everything_that_can_be_pressed_shows_where_the_focus_is(page):
    for _ in range(40):
        page.keyboard.press("Tab")
        outlined = page.evaluate(
            """() => {
              const e = document.activeElement, around = [e, e.nextElementSibling, e.closest("label")];
              return e === document.body || around.some((x) => x && getComputedStyle(x).outlineStyle !== "none");
            }"""
        )
        assert outlined, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def test_what_users_write_never_runs(browser, tmp_path):
    sweep = new_sweep(tmp_path / "sweep")
    for seed in range(3):
        add_run(sweep, f"daps:{HOSTILE}", HOSTILE, seed=seed, dataset=HOSTILE, metrics={HOSTILE: 1.0})
    add_run(sweep, "vq", dataset=HOSTILE, state="failed", status={"reason": HOSTILE}, traceback=HOSTILE)
    page = opened(browser, report.write(sweep))
    chart = page.locator("[data-chart=finals] svg .mark-symbol path").first
    chart.hover(force=True)
    page.locator("#vg-tooltip-element.visible").wait_for()
    page.locator("[data-chart=curves] svg").first.hover()
    page.locator("#vg-tooltip-element.visible", has_text="lowest seed").wait_for()
    assert HOSTILE in page.locator("#vg-tooltip-element").inner_text()
    assert page.complaints == []
    assert HOSTILE in page.locator("h1").inner_text()


@pytest.mark.parametrize("state", ["failed", "running"])
def test_a_page_of_runs_that_did_not_end_opens(browser, tmp_path, state):
    sweep = new_sweep(tmp_path / "sweep")
    add_run(sweep, "daps", psnr=None, positions=0, state=state)
    assert opened(browser, report.write(sweep)).complaints == []


def test_a_page_without_any_interval_opens(browser, tmp_path):
    sweep = new_sweep(tmp_path / "sweep")
    for seed in range(2):
        add_run(sweep, "daps", seed=seed, psnr=20 + seed)
        add_run(sweep, "vq", seed=seed, psnr=21 + seed, positions=0)
    page = opened(browser, report.write(sweep))
    assert page.complaints == []
    assert page.locator("[data-chart=finals] svg .mark-symbol path").count() >= 4


def test_an_empty_sweep_opens(browser, tmp_path):
    assert opened(browser, report.write(new_sweep(tmp_path / "sweep"))).complaints == []


def test_an_ablation_opens_sorts_and_fits_a_phone(browser, tmp_path):
    folder = make(tmp_path / "a", digits_plan("step_size"), step_size_score)
    _, paths = report.write_study(folder)
    page = opened(browser, paths[0], viewport=PHONE, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert column(page, "setting")[0] == "step_size=ess, ess_target=0.5"
    page.locator(".verdict thead th", has_text="PSNR").get_by_role("button").click()
    assert column(page, "setting")[0] == "baseline:mean"
    assert page.complaints == []
