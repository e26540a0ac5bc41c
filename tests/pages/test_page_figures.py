"""Pages hold the figures of `bench.figures`, and files of the same bytes lie beside them."""

import base64

import pytest
from helpers.ablation_sweeps import digits_plan, make
from helpers.report_page import Page, words

from bench import figures, pages
from bench.records.study import read_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    plan = digits_plan("mine", "eta=1,10,100")
    return make(tmp_path_factory.mktemp("a") / "ablate-mine", plan, lambda config: 16.0 - config.arguments["eta"] / 100)


def test_an_ablation_shows_every_figure_there_is_data_for_with_its_caption(folder):
    _, paths = pages.write_study(folder)
    page = Page(paths[0])
    expected = {one.name: (one.heading, one.caption) for one in figures.drawings(read_study(folder))}
    assert {"knobs", "sensitivity", "training", "settings"} <= set(expected)
    found = {}
    for name in expected:
        section = page.section(f"s0-figure-{name}")
        found[name] = (words(section.find("h2")), words(section.find(".//figcaption")))
        embedded = base64.b64decode(section.find(".//img").get("src").partition(",")[2])
        assert embedded == (folder / "figures" / f"{name}.png").read_bytes()
    assert found == expected
    assert [path.stem for path in paths[2:]] == list(expected)
    names = [element.get("id") for element in page.root.iter() if element.get("id")]
    assert len(names) == len(set(names))
