"""Parametrises the suite over estimators and posteriors."""

import pytest

import estimators
from estimators import CORE


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--estimator", action="append", help="name:key=value,... to hold to its claims; may be repeated")


def pytest_configure(config: pytest.Config) -> None:
    # outside this repository there is no pyproject.toml that declares them
    config.addinivalue_line("markers", "slow: takes more than a few seconds; left out by -m 'not slow'")
    config.addinivalue_line("markers", "unbiased: runs on the estimators that claim it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"spec", "kind"} <= set(metafunc.fixturenames):
        return
    variants = {
        "gumbel_softmax:hard=false", "vq:gradient=rotation", "daps:step_size=vmpo", "daps:step_size=kl",
        "daps:step_size=kl,per_image=true", "daps_local:step_size=kl,per_image=true",
        "decoupled_st:forward_temperature=2",
    }  # fmt: skip
    every = sorted({*CORE, *estimators.available(), *variants})
    specs = metafunc.config.getoption("--estimator", default=None) or every
    only_unbiased = metafunc.definition.get_closest_marker("unbiased") is not None
    cases = []
    for spec in specs:
        cls = estimators.available()[estimators.parse(spec).name]
        if cls.unbiased or not only_unbiased:
            kinds = ("factorised", "causal") if cls.causal_ok else ("factorised",)
            for kind in kinds:
                slow = only_unbiased and kind == "causal"
                cases.append(pytest.param(spec, kind, id=f"{spec}-{kind}", marks=pytest.mark.slow if slow else ()))
    metafunc.parametrize(("spec", "kind"), cases)
