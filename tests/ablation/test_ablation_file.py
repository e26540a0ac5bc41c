"""Mistakes in ablations.yaml."""

import pytest

from bench import ablation
from bench.ablation import ablations

GOOD = """
mine:
  about: What it is.
  estimators: [daps, reinforce]
  cases:
    - {step_size: [ess, kl], k: [2, 4x]}
    - {for: [reinforce], name: other, baseline: [loo, ema], "lr,beta": "[0.1,1]"}
  conditions:
    - {likelihood: gaussian}
"""


@pytest.fixture
def written(monkeypatch, tmp_path):
    """The ablation `mine` of a file with this text."""
    monkeypatch.setattr(ablations, "FILE", tmp_path / "ablations.yaml")

    def read(text: str) -> ablation.Ablation:
        ablations.FILE.write_text(text)
        ablations.shipped.cache_clear()
        ablations.listed.cache_clear()
        return ablation.find("mine", [], [])

    yield read
    ablations.shipped.cache_clear()
    ablations.listed.cache_clear()


def test_an_ablation_without_mistakes_is_read(written):
    assert written(GOOD).settings == 4 + 2


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("about:", "abuot:", "no key 'abuot'; did you mean about?"),
        ("  about: What it is.\n", "", "about is missing"),
        ("cases:", "case:", "no key 'case'; did you mean cases?"),
        ("[daps,", "[dapps,", "unknown estimator 'dapps'; did you mean daps?"),
        ("step_size:", "stepsize:", "stepsize: neither an argument of daps, reinforce nor a setting of a run; did you"),
        (
            "baseline:",
            "baselin:",
            "baselin: neither an argument of reinforce nor a setting of a run; did you mean basel",
        ),
        (
            "for: [reinforce]",
            "for: [reinforced]",
            "for: reinforced is not among its estimators; did you mean reinforce?",
        ),
        ("for:", "fro:", "fro: neither an argument of"),
        ("likelihood:", "likelihod:", "likelihod: neither an argument of"),
        ("[ess, kl]", "[ess, kll]", "daps:step_size=kll; did you mean kl?"),
        ("[2, 4x]", "[2, many]", "daps:k=many is not a whole number"),
        ("gaussian", "gausian", "likelihood=gausian: input should be 'gaussian' or 'bernoulli'"),
        ("[0.1,1]", "[0.1,-1]", "beta=-1: input should be greater than or equal to 0"),
        ("[0.1,1]", "[0.1]", "[0.1] is not a value for each of lr,beta"),
    ],
)
def test_a_mistake_in_a_shipped_ablation_is_named_with_what_fits(written, right, wrong, words):
    assert right in GOOD
    with pytest.raises(ValueError, match=r"^ablations\.yaml, mine: [^\n]+$") as error:
        written(GOOD.replace(right, wrong))
    assert words in str(error.value)
