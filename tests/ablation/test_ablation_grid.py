"""Grids as people type them."""

import numpy as np
import pytest

from bench.ablation.cases import is_multiple, multiplied, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2,4,8", ["2", "4", "8"]),
        (" 2 , 4 ", ["2", "4"]),
        ("4,2,4", ["4", "2"]),
        ("ess,kl", ["ess", "kl"]),
        ("[8,8,4],[16,16]", ["[8,8,4]", "[16,16]"]),
        ("log:1e-4:1e-2:5", ["0.0001", "0.000316", "0.001", "0.00316", "0.01"]),
        ("log:2:64:6", ["2", "4", "8", "16", "32", "64"]),
        ("log:0.01:1000:6", ["0.01", "0.1", "1", "10", "100", "1000"]),
        ("log:100:1:3", ["100", "10", "1"]),
        ("linear:0.1:0.9:5", ["0.1", "0.3", "0.5", "0.7", "0.9"]),
        ("linear:-1:1:3", ["-1", "0", "1"]),
        ("linear:0:100000:3", ["0", "50000", "100000"]),
        ("log:0.1x:10x:3", ["0.1x", "1x", "10x"]),
        ("0,log:0.1:10:3", ["0", "0.1", "1", "10"]),
    ],
)
def test_a_grid_is_the_list_that_one_would_write_by_hand(text, expected):
    assert list(values("eta", text)) == expected


def test_ends_of_a_range_stay_as_typed_and_what_is_between_is_rounded_to_three_digits():
    assert values("eta", "log:1.23456:7.65432:4") == ("1.23456", "2.27", "4.17", "7.65432")


def test_close_values_get_as_many_digits_as_keep_them_apart():
    found = values("eta", "linear:1.0000:1.0003:4")
    assert found == ("1", "1.0001", "1.0002", "1.0003")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("log:2:100:5", ["2", "5", "14", "38", "100"]), ("linear:1:4:7", ["1", "2", "3", "4"])],
)
def test_ranges_of_whole_numbers_are_whole_and_hold_each_once(text, expected):
    assert list(values("k", text, whole=True)) == expected


def test_a_log_range_is_evenly_spaced_in_logarithms():
    numbers = np.array(values("lr", "log:1e-5:1e-1:9"), dtype=float)
    np.testing.assert_allclose(np.diff(np.log10(numbers)), 0.5, atol=2e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,,2", "a value is missing"),
        ("1,2,", "a value is missing"),
        ("exp:1:2:3", "'exp' is no kind of range"),
        ("log:1:2", "log:FIRST:LAST:COUNT"),
        ("log:1:2:3:4", "log:FIRST:LAST:COUNT"),
        ("log:a:2:3", "'a' is not a number"),
        ("log:1:nan:3", "'nan' is not a number"),
        ("linear:1:inf:3", "'inf' is not a number"),
        ("log:0:2:3", "positive ends"),
        ("log:-1:2:3", "positive ends"),
        ("log:1:2:1", "no count of at least 2"),
        ("log:1:2:x", "no count of at least 2"),
        ("log:1:2:2.5", "no count of at least 2"),
        ("log:0.1x:10:3", "both ends"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_the_knob_and_shows_how(text, says):
    with pytest.raises(ValueError, match=r"--grid eta=.*") as error:
        values("eta", text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["4x", "0.3x", "1/4x", ".5x", "1e-2x", "10X"])
def test_multiples_of_the_preset_end_in_x(text):
    assert is_multiple(text)


@pytest.mark.parametrize("text", ["x", "4", "greedyx", "1/0x", "-2x", "1/4", "0x4"])
def test_other_texts_are_no_multiples(text):
    assert not is_multiple(text)


@pytest.mark.parametrize(
    ("text", "base", "whole", "expected"),
    [
        ("4x", 1000, True, "4000"),
        ("1/8x", 1000, True, "125"),
        ("1/32x", 1000, True, "31"),
        ("1/64x", 8, True, "1"),
        ("0.3x", 2e-3, False, "0.0006"),
        ("1x", 0.123456789, False, "0.123456789"),
        ("3x", 1 / 3, False, "1"),
    ],
)
def test_a_multiple_is_of_the_presets_value_and_whole_where_that_is(text, base, whole, expected):
    assert multiplied(text, base, whole=whole) == expected
