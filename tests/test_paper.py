"""docs/paper.md beside the preset files: what it says is in both."""

import re

import pytest
from helpers.configs import config
from helpers.sweeps import ROOT

import estimators
from bench.build import make_estimator
from bench.config import SETTABLE, RunConfig

TEXT = (ROOT / "docs" / "paper.md").read_text()
COLUMNS = {
    "mnist": {"family": "mnist", "preset": "paper", "shape": (1, 28, 28)},
    "cifar10": {"family": "cifar10", "preset": "paper", "shape": (3, 32, 32)},
    "imagenet256": {"family": "folder", "preset": "imagenet256", "shape": (3, 256, 256)},
}
METHODS = estimators.members("paper")
"""Of Table 1."""


def rows(title: str) -> list[list[str]]:
    """Cells of the table under a heading, its head left out."""
    section = TEXT.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def made(column: str, estimator: str, posterior: str) -> RunConfig:
    return config(estimator, posterior=posterior, **COLUMNS[column])


def value(column: str, key: str, posterior: str) -> object:
    """Of a setting `key`, a rule's setting `estimator: key`, or an argument `estimator.key`."""
    name, separator, own = re.fullmatch(r"(?:(\w+)(\.|: ))?(\w+)", key).groups()
    run = made(column, name or "daps", posterior)
    if separator != ".":
        return getattr(run, own)
    if key == "fsq.levels":
        return make_estimator(run).levels.tolist()
    # not given, it is a third, as `daps` says
    return 0.33 if key == "daps.ess_target" and run.arguments[own] is None else run.arguments[own]


def same(found: object, told: str) -> bool:
    if isinstance(found, tuple | list):
        return [str(item) for item in found] == re.split(r",\s*", told)
    if isinstance(found, float | int) and not isinstance(found, bool):
        return float(told) == pytest.approx(float(found))
    return str(found).lower() == told


AS_PUBLISHED = [
    (column, *re.fullmatch(r"`(.+)`(?:, (\w+))?", cells[0]).groups(), told)
    for cells in rows("As published")
    for column, told in zip(COLUMNS, cells[1:], strict=True)
    if told != "-"
]
OURS = [
    pair
    for cells in rows("Not as published")
    for pair in re.findall(rf"({'|'.join(COLUMNS)}) `([\w.]+)=([^`]+)`", cells[2])
]


@pytest.mark.parametrize(("column", "key", "posterior", "told"), AS_PUBLISHED)
def test_what_is_told_as_published_is_in_the_preset(column, key, posterior, told):
    for one in [posterior] if posterior else ["factorised", "causal"]:
        assert same(value(column, key, one), told), one


@pytest.mark.parametrize(("column", "key", "told"), OURS)
def test_what_is_told_as_ours_is_in_the_preset(column, key, told):
    if "." in key:
        assert same(value(column, key, "factorised"), told)
        return
    for method in METHODS:
        assert same(getattr(made(column, method, "factorised"), key), told), method


def test_both_tables_are_read():
    assert len(AS_PUBLISHED) > 100
    assert {key for _, key, _ in OURS} >= {"decoder_widths", "mlp_ratio", "fsq.levels"}


SHARED = {"lr", "lr_schedule", "lr_end", "beta", "skip_non_finite"}
"""Settings that the published configurations give a method of its own, and that the first table has in rows."""


@pytest.mark.parametrize("column", COLUMNS)
def test_no_rule_sets_for_a_method_what_the_table_does_not_tell(column):
    for posterior in ("factorised", "causal"):
        base = made(column, "daps", posterior)
        for method in METHODS:
            run = made(column, method, posterior)
            differ = {key for key in SETTABLE if getattr(run, key) != getattr(base, key)}
            told = {key.partition(": ")[2] for _, key, *_ in AS_PUBLISHED if key.startswith(method.partition(":")[0])}
            assert differ <= told & SHARED, (method, posterior)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("method", METHODS)
def test_the_other_operating_point_of_beta_is_reached_by_every_method(column, method):
    run = config(method, overrides={"beta": "1", "beta_end": "1"}, **COLUMNS[column])
    assert (run.beta, run.beta_end) == (1.0, 1.0)
