import warnings
from importlib.metadata import EntryPoint

import pytest

import estimators
from estimators import Latent, load, parse, split_list


def test_a_list_keeps_arguments_with_their_estimator():
    text = "daps:k=16,step_size=ess,vq, fsq:levels=8,8,4,reinforce:baseline=ema,fsq:levels=[8,8],vq"
    assert split_list(text) == [
        "daps:k=16,step_size=ess",
        "vq",
        "fsq:levels=8,8,4",
        "reinforce:baseline=ema",
        "fsq:levels=[8,8]",
        "vq",
    ]


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_an_empty_list_is_empty(text):
    assert split_list(text) == []


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("daps", "daps"),
        ("daps:", "daps"),
        (" daps:k=8 ", "daps"),
        ("daps:k=16,eta=50", "daps:eta=50,k=16"),
        ("fsq:levels=[8,8,4]", "fsq:levels=8,8,4"),
        ("gumbel_softmax:hard=False,temperature_end=none", "gumbel_softmax:hard=false"),
        ("vq:decay=.5", "vq:decay=0.5"),
    ],
)
def test_canonical_form_drops_defaults_and_sorts_keys(text, canonical):
    assert str(parse(text)) == canonical
    assert str(parse(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dapps", r"unknown estimator 'dapps'; did you mean daps\?"),
        ("", "unknown estimator ''"),
        ("daps:kk=3", r"daps has no argument 'kk'; did you mean k\?"),
        ("daps:k=two", "daps:k=two is not a whole number; try k="),
        ("daps:k=1.5", "daps:k=1.5 is not a whole number"),
        ("daps:16", "'16' is not key=value"),
        ("reinforce:baseline=lo", r"did you mean loo\?"),
        ("gumbel_softmax:hard=maybe", "not true or false"),
        ("fsq:levels=8,x", "fsq:levels=x is not a whole number"),
    ],
)
def test_mistakes_say_what_arrived_and_what_fits(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reinforce:k=1", "baseline=loo averages the other samples and k=1 leaves none; try k=2 or baseline=ema"),
        ("reinforce:k=0,baseline=none", "at least 1"),
        ("gumbel_softmax:temperature=0", "not positive"),
        ("straight_through:k=0", "at least 1"),
        ("vq:decay=1", "try decay=0.99"),
    ],
)
def test_arguments_that_do_not_fit_each_other_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        load(text, Latent(4, 16, 8))


@pytest.fixture
def entry_points(monkeypatch):
    def install(*entries: EntryPoint) -> None:
        monkeypatch.setattr(estimators, "entry_points", lambda group: entries)
        estimators.available.cache_clear()

    yield install
    estimators.available.cache_clear()


def test_installed_plug_ins_join_by_their_entry_point_name(entry_points):
    entry_points(EntryPoint("mine", "estimators.daps:DAPS", "bench.estimators"))
    assert str(parse("mine:k=3")) == "mine:k=3"


def test_a_plug_in_that_fails_to_import_is_a_warning(entry_points):
    entry_points(EntryPoint("broken", "no_such_module:X", "bench.estimators"))
    with pytest.warns(UserWarning, match="broken .*does not import"):
        found = estimators.available()
    assert "daps" in found
    assert "broken" not in found


def test_a_plug_in_cannot_take_a_name_of_ours(entry_points):
    entry_points(EntryPoint("vq", "estimators.daps:DAPS", "bench.estimators"))
    with pytest.warns(UserWarning, match="the name is taken"):
        assert estimators.available()["vq"].__name__ == "VQ"


def test_nothing_warns_without_plug_ins(entry_points):
    entry_points()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimators.available()
