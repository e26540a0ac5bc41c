"""Equal terms: same initial weights, same batches, same size, own noise."""

import pytest
import torch
from helpers.configs import SPECS, config

import estimators
from bench.build import PixelStatistics, build, skip_reason
from bench.data import DATASETS, load
from bench.seeds import batch_order, noise_generator
from bench.training.step import Trainer

OWN = ("posterior.head", "decoder.embedding")
"""What of a model depends on the estimator."""
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28)}


def task(estimator: str, family: str = "digits", preset: str = "quick", **changes):
    shape = SHAPES.get(family, (3, 32, 32))
    made = config(estimator, family=family, preset=preset, shape=shape, **changes)
    pixels = PixelStatistics(torch.full(shape[:1], 100.0), torch.full(shape[:1], 50.0))
    return made, build(made, shape, pixels)


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_estimators_share_the_initial_encoder_and_decoder(posterior):
    states = {}
    for spec in estimators.CORE:
        made, built = task(spec, posterior=posterior)
        if skip_reason(made) is None:
            states[spec] = built.model.state_dict()
    first = states["daps"]
    shared = [name for name in first if name.startswith(("encoder.", "decoder.body."))]
    assert len(shared) > 20
    for spec, state in states.items():
        for name in shared:
            assert torch.equal(first[name], state[name]), (spec, name)


def test_initial_weights_differ_between_seeds():
    weights = [task("daps", seed=seed)[1].model.encoder.patch.weight for seed in (0, 1)]
    assert not torch.equal(*weights)


def sizes(built) -> dict[str, int]:
    return {name: parameter.numel() for name, parameter in built.model.named_parameters()}


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
@pytest.mark.parametrize("spec", SPECS)
def test_every_estimator_has_a_head_of_one_layer(spec, posterior):
    vocab = {"vocab": 4} if spec.startswith(("carms", "exact")) else {}
    made, built = task(spec, posterior=posterior, overrides=vocab)
    if skip_reason(made):
        pytest.skip("no such combination")
    head = [module for module in built.model.posterior.head.modules() if not list(module.children())]
    assert [type(layer) for layer in head] == [torch.nn.Linear]
    assert (head[0].in_features, head[0].out_features) == (made.width, built.estimator.head_width)


@pytest.mark.parametrize("family", DATASETS)
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_models_differ_in_the_width_of_the_head_and_the_embedding_of_the_code_alone(family, preset):
    """Whatever a rule sets for an estimator, it gets no larger network."""
    found = {}
    for spec in estimators.CORE:
        made, built = task(spec, family, preset)
        own = {name: size for name, size in sizes(built).items() if name.startswith(OWN)}
        others = {name: size for name, size in sizes(built).items() if name not in own}
        p, c = built.estimator.head_width, built.estimator.code_width
        d, v = made.width, made.vocab
        assert sum(own.values()) == (d + 1) * p + (v * d if c is None else (c + 1) * d), spec
        found[spec] = others
    assert all(others == found["daps"] for others in found.values())


def test_batches_depend_on_the_seed_alone():
    def order(seed):
        return torch.stack(list(batch_order(100, 32, 10, noise_generator(seed, "data", torch.device("cpu")))))

    assert torch.equal(order(3), order(3))
    assert not torch.equal(order(3), order(4))


def test_batches_go_through_all_the_data_before_any_of_it_again():
    stream = torch.cat(list(batch_order(10, 4, 5, torch.Generator().manual_seed(0))))
    assert stream[:10].sort().values.tolist() == list(range(10))
    assert stream[10:20].sort().values.tolist() == list(range(10))


def test_a_batch_larger_than_the_data_is_filled_by_going_round():
    (batch,) = batch_order(3, 8, 1, torch.Generator().manual_seed(0))
    assert batch.bincount().tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_streams_of_one_seed_are_independent():
    device = torch.device("cpu")
    draws = [torch.rand(4, generator=noise_generator(0, stream, device)) for stream in ("data", "noise", "evaluation")]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])


def test_training_leaves_the_global_generator_alone():
    digits = load("digits")
    state = torch.get_rng_state()
    made, built = task("reinforce:baseline=critic")
    trainer = Trainer(made, built)
    for image in digits.train.batches([torch.arange(16)]):
        trainer.update(image, 0)
    assert torch.equal(state, torch.get_rng_state())


def test_a_lagged_behaviour_is_a_snapshot_that_is_refreshed(monkeypatch):
    monkeypatch.setattr(estimators.available()["daps"], "lag", 2)
    made, built = task("daps")
    trainer = Trainer(made, built)
    image = next(iter(load("digits").train.batches([torch.arange(16)])))
    first = built.model.encoder.patch.weight.detach().clone()
    for step in range(2):
        trainer.update(image, step)
    kept = built.snapshot.encoder.patch.weight
    assert torch.equal(kept, first)
    trainer.update(image, 2)
    assert not torch.equal(built.snapshot.encoder.patch.weight, first)


@pytest.mark.parametrize("spec", estimators.CORE)
def test_a_snapshot_is_not_trained(spec):
    _, built = task(spec)
    grouped = [p for group in built.param_groups(1e-3, 0.0) for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in built.parameters()}
