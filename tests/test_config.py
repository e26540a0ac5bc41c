import re

import pytest
from helpers.configs import config

import estimators
from bench import config as configs
from bench.config import SETTABLE, Identity, Preset, RunConfig, Settings, parse_settings, preset_file, presets, resolve
from bench.data import DATASETS


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in DATASETS for name in presets(family)])
def test_every_preset_resolves_for_every_estimator_and_posterior(family, name):
    for estimator in estimators.CORE:
        for posterior in ("factorised", "causal"):
            made = config(estimator, family=family, preset=name, posterior=posterior)
            assert made.steps >= 1
            assert made.estimator == estimator


def test_digest_changes_with_every_field_that_changes_a_run_and_is_stable():
    base = config()
    assert base.digest == config().digest
    others = [
        config(seed=1),
        config("daps:k=4"),
        config(posterior="causal"),
        config(fingerprint="g"),
        config(preset="standard"),
        config(overrides={"lr": "0.1"}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 7


def test_runs_are_named_as_they_always_were():
    """A digest names a run's folder: sweeps of before go on only while it stays."""
    paper = {"family": "fashion_mnist", "preset": "paper", "shape": (1, 28, 28), "posterior": "causal", "seed": 1}
    overrides = {"lr": "0.5", "decoder_widths": ["3", "4"]}
    made = config("gumbel_softmax", device="cuda", overrides=overrides, **paper)
    # estimators may get new arguments, which are in the digest
    mine = made.model_copy(update={"estimator": "mine:k=2", "arguments": {"k": 2, "rate": None}})
    assert mine.digest == "8c8447e31f98012a"
    made = config("daps", family="digits", shape=(1, 8, 8), metrics=("psnr", "ssim"))
    assert made.model_copy(update={"estimator": "mine", "arguments": {}}).digest == "a2203fdfe26754aa"


def test_what_may_be_set_is_declared_and_apart_from_what_a_run_is_of():
    assert set(SETTABLE) == set(Settings.model_fields)
    assert not set(SETTABLE) & set(Identity.model_fields)
    assert set(RunConfig.model_fields) == {*SETTABLE, *Identity.model_fields}


def test_what_is_typed_beats_the_rule_beats_the_preset_beats_the_constructor():
    assert config(preset="standard", overrides={}).arguments["eta_lr"] == 1e-3
    assert config(preset="quick").arguments["eta_lr"] == 0.01
    assert config("daps:eta_lr=0.001", preset="quick").arguments["eta_lr"] == 0.001
    paper = {"family": "cifar10", "preset": "paper"}
    assert config("gumbel_rao", **paper).beta == 3.0
    assert config("gumbel_rao", overrides={"beta": "2"}, **paper).beta == 2.0
    assert config("vq", **paper).beta == 6.0


def test_canonical_name_drops_what_is_the_default_here():
    assert config("daps:eta_lr=0.01", preset="quick").estimator == "daps"
    assert config("daps:eta_lr=0.001", preset="quick").estimator == "daps:eta_lr=0.001"
    assert config("daps:eta_lr=0.001,k=4", preset="paper").estimator == "daps:k=4"
    assert config("reinforce:k=4,baseline=ema").estimator == config("reinforce:baseline=ema,k=4").estimator


def test_folder_presets_follow_the_image_size():
    assert config(family="folder", shape=(3, 32, 32)).length == 64
    assert config(family="folder", shape=(1, 64, 32)).length == 128
    assert config(family="folder", shape=(3, 256, 256)).length == 1024
    with pytest.raises(ValueError, match="try --image-size"):
        config(family="folder", shape=(3, 33, 32))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"lr": "fast"}, r"lr=fast: .*number.*; try --set lr="),
        ({"batch_size": "0"}, r"batch_size=0: .*greater than or equal to 1"),
        ({"steps": "1.5"}, r"steps=1.5: .*integer"),
        ({"width": "30"}, r"width=30 does not divide into heads=4"),
        ({"beta_end": "0"}, r"cannot decay exponentially"),
        ({"lr_end": "0.1"}, r"lr_end=0.1 ends no constant schedule; try --set lr_schedule=cosine"),
        ({"lr_end": "2", "lr_schedule": "cosine"}, r"lr_end=2: .*less than or equal to 1; try --set lr_end="),
        ({"variance": "clamped"}, r"variance=clamped: .*'smooth' or 'clipped'"),
        ({"likelihood": "poisson"}, r"likelihood=poisson: .*'gaussian' or 'bernoulli'"),
    ],
)
def test_settings_that_do_not_fit_are_named(overrides, words):
    with pytest.raises(ValueError, match=words):
        config(overrides=overrides)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("learning_rat=1", "learning_rat: no such setting"),
        ("step=5", "did you mean steps?"),
        ("lr", "not key=value; try --set lr=..."),
        ("seed=3", "no such setting"),
    ],
)
def test_unknown_settings_name_the_nearest(pair, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        parse_settings([pair])


def test_settings_keep_equals_signs_and_read_none_and_lists():
    assert parse_settings(["lr=1e-4", "eval_images=none", "decoder_widths=32,64"]) == {
        "lr": "1e-4",
        "eval_images": None,
        "decoder_widths": ["32", "64"],
    }


def test_unknown_presets_name_the_nearest():
    with pytest.raises(ValueError, match=r"unknown preset 'quik'; did you mean quick\?"):
        Preset("digits", "quik")


def test_the_papers_imagenet_settings_are_a_preset_of_folders():
    made = config(family="folder", preset="imagenet256", shape=(3, 256, 256))
    assert (made.length, made.vocab, made.layers, made.batch_size, made.beta) == (1024, 1024, 6, 64, 50.0)
    assert made.arguments["ess_target"] == 0.25
    assert (
        config("gumbel_softmax", family="folder", preset="imagenet256", shape=(3, 256, 256), posterior="causal").lr
        == 1e-4
    )
    with pytest.raises(ValueError, match="unknown preset 'imagenet256'"):
        Preset("digits", "imagenet256")


GOOD = """
defaults: {length: 4, vocab: 64, width: 32, heads: 4, layers: 2, mlp_ratio: 4, causal_encoder_layers: 1,
  causal_layers: 1, causal_mlp_ratio: 4, decoder: mlp, decoder_widths: [64, 256], likelihood: gaussian, lr: 0.001,
  beta: 0.3, beta_end: 0.01, eval_batch: 500}
quick: {seeds: 2, steps: 1000, batch_size: 64, log_every: 50, eval_every: 250, rules: [RULE]}
"""
RULE = "{estimator: daps, posterior: causal, arguments: {eta: 1.0}, set: {lr: 0.002}}"


@pytest.fixture
def written(monkeypatch, tmp_path):
    """Preset `quick` of digits, from a file with this text."""
    monkeypatch.setattr(configs, "PRESETS", tmp_path)
    preset_file.cache_clear()

    def read(text: str) -> Preset:
        (tmp_path / "digits.yaml").write_text(text.replace("RULE", RULE))
        return Preset("digits", "quick")

    yield read
    preset_file.cache_clear()


def test_a_preset_file_without_mistakes_is_read(written):
    preset = written(GOOD)
    assert (preset.seeds, preset.settings["steps"]) == (2, 1000)
    assert preset.arguments("causal")["daps"] == {"eta": 1.0}
    assert preset.run_settings("daps", "causal")["lr"] == 0.002
    assert preset.run_settings("daps", "factorised")["lr"] == 0.001


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("vocab: 64", "vocabb: 64", "digits.yaml, defaults: no key 'vocabb'; did you mean vocab?"),
        ("steps: 1000", "step: 1000", "digits.yaml, quick: no key 'step'; did you mean steps?"),
        ("seeds: 2", "seed: 2", "digits.yaml, quick: no key 'seed'; did you mean seeds?"),
        ("rules: [", "rule: [", "digits.yaml, quick: no key 'rule'; did you mean rules?"),
        ("defaults:", "default:", "digits.yaml, default: seeds=None: a whole number, here or in defaults"),
        ("GOOD", "extend: mnist\nGOOD", "digits.yaml: extend: no mapping of settings; did you mean extends?"),
        ("GOOD", "extends: mnits\nGOOD", "digits.yaml: extends: no presets 'mnits'"),
        ("{estimator", "{estimater", "quick: rules: no key 'estimater'; did you mean estimator?"),
        ("arguments", "argumnets", "quick: rules: no key 'argumnets'; did you mean arguments?"),
        ("posterior", "postrior", "quick: rules: no key 'postrior'; did you mean posterior?"),
        ("causal, arg", "casual, arg", "quick: rules: posterior 'casual'; did you mean causal?"),
        ("daps", "dapps", "quick: rules: unknown estimator 'dapps'; did you mean daps?"),
        ("estimator: daps, ", "", "quick: rules: unknown estimator ''"),
        ("{eta", "{etaa", "quick: rules: daps has no argument 'etaa'; did you mean eta?"),
        ("eta: 1.0", "eta: big", "quick: rules: daps:eta=big is not a finite number"),
        ("{lr: 0.002", "{lrr: 0.002", "quick: rules: set: no key 'lrr'; did you mean lr?"),
        ("{lr: 0.002", "{lr: fast", "quick: rules: daps: lr=fast: "),
        ("{lr: 0.002", "{device: cpu", "quick: rules: set: no key 'device'"),
        ("steps: 1000", "steps: many", "digits.yaml, quick: steps=many: "),
        ("steps: 1000, ", "", "digits.yaml, quick: steps=None: field required"),
        ("length: 4", "length: 0", "digits.yaml, quick: length=0: "),
        ("length: 4, ", "", "digits.yaml, quick: length=None: field required"),
        ("seeds: 2", "seeds: 0", "digits.yaml, quick: seeds=0: a whole number"),
        ("heads: 4", "heads: 3", "digits.yaml, quick: width=32 does not divide into heads=3"),
        ("beta_end: 0.01", "beta_end: 0", "digits.yaml, quick: beta=0.3 cannot decay exponentially"),
    ],
)
def test_a_mistake_in_a_preset_file_is_named_with_what_fits(written, right, wrong, words):
    text = ("GOOD" if right == "GOOD" else GOOD.replace("RULE", RULE)).replace(right, wrong).replace("GOOD", GOOD)
    assert GOOD.replace("RULE", RULE) != text
    with pytest.raises(ValueError, match=rf"^presets/.*{re.escape(words)}") as error:
        written(text)
    assert "\n" not in str(error.value)


OWN = """
extends: digits
tuned:
  steps: 20
  seeds: 2
  lr: 0.002
  batch_size: 32
  eval_every: 10
  log_every: 10
  rules:
    - {estimator: vq, arguments: {decay: 0.9}, set: {lr: 0.001}, source: bench tune}
    - {estimator: "vq:codebook=ema", arguments: {decay: 0.999}, set: {lr: 0.003}}
"""


@pytest.fixture
def own(tmp_path):
    def written(text: str) -> str:
        (tmp_path / "tuned.yaml").write_text(text)
        return str(tmp_path / "tuned.yaml")

    return written


def test_a_preset_may_be_a_file_that_extends_the_shipped_ones(own):
    preset = Preset("digits", own(OWN))
    assert (preset.name, preset.seeds, preset.settings["vocab"]) == ("tuned", 2, 64)
    given = {
        "posterior": "factorised",
        "seed": 0,
        "device": "cpu",
        "dataset": "digits",
        "fingerprint": "",
        "metrics": (),
    }
    made = {
        spec: resolve(estimator=spec, preset=preset, shape=(1, 8, 8), overrides={}, **given)
        for spec in ("vq", "vq:gradient=rotation", "vq:codebook=ema", "vq:codebook=ema,gradient=rotation", "fsq")
    }
    assert {config.preset for config in made.values()} == {"tuned"}
    # the canonical form says what differs from the preset
    assert [config.estimator for config in made.values()] == list(made)
    assert [config.arguments.get("decay") for config in made.values()] == [0.9, 0.9, 0.999, 0.999, None]
    assert [config.lr for config in made.values()] == [0.001, 0.001, 0.003, 0.003, 0.002]


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("tuned:", "quick:", "has quick; a file holds one preset with a name of its own"),
        ("tuned:", "other: {}\ntuned:", "has other, tuned; a file holds one preset"),
        ("tuned:", "[", "is no YAML"),
        ("decay", "decai", "tuned: rules: vq has no argument 'decai'"),
        ("extends: digits", "extends: digit", "no presets 'digit'"),
        ("steps: 20", "step: 20", "no key 'step'"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_one_line(own, right, wrong, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        Preset("digits", own(OWN.replace(right, wrong)))
    assert "\n" not in str(error.value)


def test_a_preset_file_that_is_not_there_is_said_so():
    with pytest.raises(ValueError, match=r"--preset nowhere\.yaml cannot be read"):
        Preset("digits", "nowhere.yaml")
