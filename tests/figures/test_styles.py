"""One look per estimator, in every figure of every sweep."""

import colorsys
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.figure_sweeps import ESTIMATORS, lines, made, one_run, panel, row_names, sheet_of, table_of
from matplotlib.colors import to_rgb

from bench.figures.curves import curves
from bench.figures.dots import final
from bench.figures.styles import styles, told_apart
from bench.figures.themes import THEMES
from bench.records.methods import FAMILIES, reading_order


def test_an_estimator_looks_the_same_in_every_figure_of_every_sweep(frame):
    other = table_of(("fsq", "reinforce:baseline=ema", "brand_new:k=3"), ("factorised",), seeds=(0,))
    grand = pd.concat([frame, pd.DataFrame(one_run("brand_new:k=3", "factorised", 0))])
    for name in ("fsq", "reinforce:baseline=ema", "brand_new:k=3"):
        looks, dots = set(), set()
        for sheet in (sheet_of(other, "screen"), sheet_of(grand, "screen")):
            for line in lines(made(curves, sheet).figure.axes[2], name):
                looks.add((to_rgb(line.get_color()), line.get_marker(), line.get_linestyle()))
            figure = made(final, sheet).figure
            row = row_names(figure.axes[0]).index(name)
            for one in panel(figure, "PSNR").collections:
                if one.get_gid() == "mean" and round(one.get_offsets()[0, 1]) == row:
                    dots.add(to_rgb(one.get_edgecolor()[0][:3]))
        assert len(looks) == 1
        assert {colour for colour, _, _ in looks} == dots


@pytest.mark.parametrize("theme", THEMES)
def test_a_colour_is_that_of_the_estimator_in_both_themes(frame, theme):
    assert {name: style.colour for name, style in sheet_of(frame, theme).styles.items()} == {
        name: style.colour for name, style in styles(ESTIMATORS).items()
    }


def test_a_look_does_not_depend_on_the_process():
    code = "from bench.figures.styles import styles; print(styles(['brand_new:k=3', 'daps:k=4']))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert printed == {f"{styles(['daps:k=4', 'brand_new:k=3'])}\n"}


def test_no_two_estimators_of_a_figure_look_alike():
    plugins = [f"plugin_{i}" for i in range(20)] + [f"plugin:temperature=0.{i}" for i in range(10)]
    looks = styles([*ESTIMATORS, *plugins, *(f"daps:k={k}" for k in range(2, 10))])
    assert len({look.colour for look in looks.values()}) == len(looks)
    assert len({(look.marker, look.dash) for look in looks.values()}) == len(looks)


def test_the_shipped_estimators_are_told_apart_in_grey_by_their_markers():
    assert len({look.marker for look in styles(ESTIMATORS).values()}) == len(ESTIMATORS)


def test_variants_share_the_hue_of_their_family():
    names = ["daps", *(f"daps:k={k}" for k in range(2, 10))]
    hues = [colorsys.rgb_to_hls(*look.colour)[0] for look in styles(names).values()]
    assert np.ptp(hues) < 30 / 360


def test_every_family_that_is_read_first_has_a_colour_far_from_the_others():
    colours = [styles([family])[family].colour for family in FAMILIES]
    gaps = [np.abs(np.subtract(a, b)).max() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(gaps) > 0.15


def test_markers_differ_while_there_are_markers_left():
    names = [f"plugin_{place}:a=1" for place in range(6)] + ["daps", "vq", "fsq", "reinforce"]
    found = told_apart({f"{name}, seen": name for name in names})
    assert len({style.marker for style in found.values()}) == len(names)
    assert found["daps, seen"] == styles(["daps"])["daps"]
    many = {f"p{place}": f"p{place}" for place in range(40)}
    assert len({style.marker for style in list(told_apart(many).values())[:12]}) == 12


def test_estimators_are_read_by_family_and_by_number():
    names = ["zeta", "daps:k=16", "fsq", "daps:k=4", "alpha", "daps", "reinforce:baseline=ema", "reinforce"]
    assert reading_order(names) == [
        "daps", "daps:k=4", "daps:k=16", "reinforce", "reinforce:baseline=ema", "fsq", "alpha", "zeta",
    ]  # fmt: skip


def test_decimals_are_read_by_size_whatever_order_they_come_in():
    names = ["daps:eta=0.01", "daps:eta=0.03", "daps:eta=0.1", "daps:eta=1", "daps:eta=1.0", "daps:eta=10"]
    for shift in range(len(names)):
        assert reading_order(dict.fromkeys(names[shift:] + names[:shift])) == names
