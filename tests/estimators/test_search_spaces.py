"""Search spaces: declared beside each estimator or read off its constructor. That every corner of them can be
made is in the conformance suite."""

from typing import ClassVar, Literal

import pytest

import estimators
from estimators import Choice, Latent, Range, Relaxation, Space, _space

OFF = {("daps", "ess_target"), ("daps_local", "ess_target")}
"""Defaults that are no value of their own: None, which is 0.33 for any k that allows it."""


@pytest.mark.parametrize("name", estimators.available())
def test_defaults_lie_inside_and_costs_are_never_searched(name):
    known = estimators.options(estimators.available()[name])
    for key, searched in estimators.space(name).items():
        default = known[key].default
        if isinstance(searched, Choice):
            assert default in searched.values, key
        elif (name, key) in OFF:
            assert default is None
        else:
            assert searched.low <= default <= searched.high, key
    assert not {"k", "draws", "levels"} & set(estimators.space(name))


def test_spaces_are_small():
    assert max(len(estimators.space(name)) for name in estimators.available()) <= 4


class Mine(Relaxation):
    """Of a package that declares no space."""

    def __init__(
        self,
        latent: Latent,
        *,
        k: int = 1,
        draws: int = 4,
        rate: float = 0.1,
        offset: float = 0.0,
        cap: float | None = None,
        soft: bool = False,
        rule: Literal["one", "two"] = "one",
    ) -> None:
        super().__init__(latent, k)


def declaring(declared: Space) -> type[Relaxation]:
    class Declared(Mine):
        space: ClassVar[Space] = declared

    return Declared


def test_a_space_is_read_off_the_constructor_where_none_is_declared():
    assert _space.space("mine", Mine) == {
        "rate": Range(0.0316, 0.316),
        "soft": Choice((False, True)),
        "rule": Choice(("one", "two")),
    }


def test_nothing_is_searched_where_that_is_declared():
    assert _space.space("mine", declaring({})) == {}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"rat": Range(0.1, 1.0)}, "space of mine has 'rat', which is no argument; did you mean rate?"),
        ({"k": Range(1, 8, whole=True)}, "'k', which decides what a step costs"),
        ({"rate": Range(1.0, 0.1)}, "its low end must be below its high one"),
        ({"rate": Range(0.0, 0.1)}, "try log=False"),
        ({"rule": Choice(())}, "no values"),
        ({"rate": (0.1, 1.0)}, "neither a Range nor a Choice"),
    ],
)
def test_a_space_that_nothing_can_be_drawn_from_is_one_line(declared, words):
    with pytest.raises(ValueError, match="the search space of mine has") as error:
        _space.space("mine", declaring(declared))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_points_lie_in_their_ranges_as_they_say():
    space = {
        "a": Range(0.1, 10.0),
        "b": Range(-1.0, 3.0, log=False),
        "c": Range(2, 9, log=False, whole=True),
        "d": Choice(("x", "y", "z")),
    }
    assert estimators.point(space, [0.5, 0.5, 0.0, 0.34]) == {"a": 1.0, "b": 1.0, "c": 2, "d": "y"}
    assert estimators.point(space, [0.0, 0.0, 1.0, 1.0]) == {"a": 0.1, "b": -1.0, "c": 9, "d": "z"}
    assert estimators.point({"a": Range(0.1, 10.0)}, [0.123]) == {"a": 0.176}
