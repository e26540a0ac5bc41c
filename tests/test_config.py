import pytest
from helpers.configs import config

import estimators
from bench.config import Preset, families, parse_settings, presets


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in families() for name in presets(family)])
def test_every_preset_resolves_for_every_estimator_and_posterior(family, name):
    for estimator in estimators.CURATED:
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


def test_what_is_typed_beats_the_rule_beats_the_preset_beats_the_constructor():
    assert config(preset="standard", overrides={}).arguments["eta_lr"] == 1e-3
    assert config(preset="quick").arguments["eta_lr"] == 0.01
    assert config("daps:eta_lr=0.001", preset="quick").arguments["eta_lr"] == 0.001
    paper = {"family": "mnist", "preset": "paper"}
    assert config("gumbel_softmax", **paper).beta == 1.0
    assert config("gumbel_softmax", overrides={"beta": "3"}, **paper).beta == 3.0
    assert config("vq", **paper).beta == 0.5


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
