"""Groups of estimators: who is in them, and what a list of names and groups stands for."""

import pytest

import estimators
from estimators import CORE, GROUPS, Latent, Quantizer, Relaxation, _groups


def classes(group: str) -> set[type]:
    return {estimators.available()[text.partition(":")[0]] for text in estimators.members(group)}


def test_all_is_core_and_every_other_estimator_but_the_oracle():
    everyone = estimators.members("all")
    assert everyone[: len(CORE)] == list(CORE)
    assert {text.partition(":")[0] for text in everyone} == set(estimators.available()) - {"exact"}
    assert len(everyone) == len(set(everyone))


def test_families_are_all_but_policy_search_and_do_not_overlap():
    families = [classes(name) for name in ("score_functions", "relaxations", "quantizers")]
    assert sum(map(len, families)) == len(set().union(*families))
    rest = classes("all") - set().union(*families)
    assert {cls.__name__ for cls in rest} == {"DAPS", "DAPSLocal"}
    assert all(issubclass(cls, Relaxation) for cls in families[1])
    assert all(issubclass(cls, Quantizer) for cls in families[2])


def test_relaxations_stand_in_core_at_the_k_of_daps_as_well():
    k = estimators.options(estimators.available()["daps"])["k"].default
    alone = [text for text in CORE if text in ("gumbel_softmax", "straight_through")]
    assert set(CORE) >= {f"{name}:k={k}" for name in alone}
    assert len(alone) == 2


@pytest.mark.parametrize("group", GROUPS)
def test_members_are_canonical_and_can_be_made(group):
    for text in estimators.members(group):
        assert str(estimators.parse(text)) == text
        estimators.load(text, Latent(4, 16, 8))


def test_a_new_estimator_joins_its_family_and_all_without_a_list():
    class Mine(Relaxation):
        pass

    class Oracle(Relaxation):
        oracle = True

    registry = {**estimators.available(), "mine": Mine, "reference": Oracle}
    for group in ("relaxations", "all"):
        found = _groups.members(group, registry)
        assert "mine" in found
        assert "reference" not in found
    assert "mine" not in _groups.members("quantizers", registry)


def texts(*entries: str, preset=None) -> list[str]:
    return [one.text for one in estimators.chosen(entries, preset)]


def test_names_and_groups_combine_in_one_list_each_once():
    found = texts("paper,daps:k=16,quantizers", "fsq")
    assert found[:6] == [*estimators.members("paper"), "daps:k=16"]
    assert sorted(found) == sorted({*found})
    assert set(found) == {*estimators.members("paper"), *estimators.members("quantizers"), "daps:k=16"}


def test_one_estimator_in_two_spellings_is_one():
    assert texts("gumbel_softmax:k=8,hard=true", "gumbel_softmax:k=8") == ["gumbel_softmax:k=8"]
    assert texts("daps,daps:eta=1", preset={"daps": {"eta": 1.0}}) == ["daps:eta=1"]
    assert texts("daps,daps:eta=1") == ["daps", "daps:eta=1"]


@pytest.mark.parametrize("entries", ["fsq,quantizers", "quantizers,fsq"])
def test_what_is_typed_by_name_is_typed_though_a_group_has_it_too(entries):
    groups = {one.text: one.group for one in estimators.chosen([entries])}
    assert groups["fsq"] == ""
    assert groups["vq"] == "quantizers"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("coree", r"unknown estimator 'coree'; did you mean core\?"),
        ("core,dapps", r"unknown estimator 'dapps'; did you mean daps\?"),
        ("core:k=2", "core is a group, which has no arguments"),
        ("core,daps:kk=2", r"did you mean k\?"),
    ],
)
def test_a_name_that_nobody_has_is_one_line_with_the_nearest(entries, words):
    with pytest.raises(ValueError, match=words) as error:
        estimators.chosen([entries])
    assert "\n" not in str(error.value)


def test_a_group_without_members_says_so_and_names_the_others():
    registry = {name: cls for name, cls in estimators.available().items() if not issubclass(cls, Quantizer)}
    core = [text for text in CORE if text.partition(":")[0] in registry]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_groups, "CORE", core)
        with pytest.raises(ValueError, match=r"the group quantizers is empty; .*relaxations"):
            _groups.chosen(["quantizers"], registry, lambda name: {})
