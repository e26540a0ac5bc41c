import pytest

from bench.text import decimals, seeds, short, typeset


@pytest.mark.parametrize(
    ("spread", "size", "expected"),
    [
        (0.12, 17, 2),
        (1.2, 17, 1),
        (12, 170, 0),
        (0.0034, 0.5, 4),
        (0, 17.1234, 2),
        (0, 0.5, 4),
        (0, 0, 0),
        (0, 20_000, 0),
    ],
)
def test_as_many_decimals_as_are_known(spread, size, expected):
    assert decimals(spread, size) == expected


def test_numbers_have_a_true_minus_and_a_dash_where_there_is_none():
    assert typeset(-1234.56, 1) == "\N{MINUS SIGN}1\N{NARROW NO-BREAK SPACE}234.6"
    assert typeset(float("nan"), 1) == typeset(None, 0) == "–"


@pytest.mark.parametrize(
    ("numbers", "expected"), [([0, 1, 2], "0–2"), ([3, 1], "1, 3"), ([0, 1, 3], "0, 1, 3"), ([None], "–"), ([2], "2")]
)
def test_seeds_in_words(numbers, expected):
    assert seeds(numbers) == expected


def test_counts_take_four_digits_at_most():
    counts = (0, 512, 9999, 39_936, 8_000_000, 1_234_567)
    assert [short(n) for n in counts] == ["0", "512", "9999", "39.94k", "8M", "1.235M"]
    assert short(float("nan")) == "–"
