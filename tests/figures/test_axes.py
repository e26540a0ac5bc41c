"""What axes show and how they are numbered."""

import numpy as np
import pytest
from helpers.figure_sweeps import printed
from matplotlib.figure import Figure

from bench.figures.axes import beyond, limits, log_axis
from bench.figures.themes import PAPER
from bench.text import compact, shortened, unlike


def test_limits_show_all_points_and_as_much_of_the_rest_as_leaves_room():
    low, high = limits([1.0, 2.0], [0.9, 1.95], [1.1, 2.05])
    assert (low, high) == pytest.approx((0.9 - 0.06 * 1.15, 2.05 + 0.06 * 1.15))
    low, high = limits([1.0, 2.0], [-50.0], [50.0])
    assert (low, high) == pytest.approx((0.5 - 0.12, 2.5 + 0.12))
    assert limits([1.0, 2.0], reference=4.0)[1] > 4 > limits([1.0, 2.0], reference=5.5)[1]
    low, high = limits([20.0, np.nan])
    assert low < 20 < high


def test_the_bad_end_of_an_axis_is_cut_only_where_failures_would_squeeze_the_rest():
    assert not beyond([17, 16.9, 16.8, 16.7, 16.6], 1).any()
    assert beyond([17, 16.9, 16.8, 16.7, 2], 1).tolist() == [False] * 4 + [True]
    assert beyond([-17, -16.9, -16.8, -16.7, -2], -1).tolist() == [False] * 4 + [True]
    assert not beyond([17, np.nan, 2], 1).any()


@pytest.mark.parametrize("values", [(2.1, 2.9), (0.3, 0.6), (1.5, 9.0), (3.0, 40.0), (1e-4, 1e3), (0.0, 7.0), ()])
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_logarithmic_axis_always_has_two_numbers(values, which):
    with PAPER.applied():
        figure = PAPER.sheet(3.25, 2.0)
        ax = figure.subplots()
        log_axis(ax, which, values)
        axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
        numbers = {tick.label1 for tick in axis.get_major_ticks()} & set(printed(figure))
    assert len(numbers) > 1
    assert len({text.get_text() for text in numbers}) == len(numbers)


def test_numbers_of_an_axis_are_short():
    values = (0.5, 40, 9000, -12000, 250000, 3e6, 2e9)
    assert [compact(value) for value in values] == ["0.5", "40", "9000", "−12k", "250k", "3M", "2G"]


def test_names_are_shortened_in_their_middle_and_told_apart():
    assert shortened("x" * 44, 44) == "x" * 44
    assert len(shortened("x" * 45, 44)) == 44
    assert unlike(["a", "b", "a", "a"]) == ["a", "b", "a-2", "a-3"]


def test_a_title_and_a_legend_make_the_figure_larger_and_not_its_panels_smaller():
    from bench.figures.themes import SCREEN

    with SCREEN.applied():
        figure: Figure = SCREEN.sheet(SCREEN.narrow, 2.0)
        [line] = figure.subplots().plot([0, 1], label="a name")
        width, height = figure.get_size_inches()
        SCREEN.add_legend(figure, [line])
        SCREEN.entitle(figure, "A title " * 20)
    assert figure.get_figwidth() > width + 0.5
    assert figure.get_figheight() > height + 0.2
