"""Rates and use of the codebook, against what brute force makes of the same codes and distributions."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from helpers.configs import DIGITS, PIXELS, config, tiny
from scipy.stats import entropy

from bench.build import Task, build
from bench.config import Preset, RunConfig
from bench.metrics import evaluate as evaluation
from bench.metrics.catalogue import METRICS, Readout
from bench.metrics.evaluate import CodeUsage, Information, evaluate, evaluate_codes

CPU = torch.device("cpu")
SMALL = {"length": 4, "vocab": 8, "eval_batch": 17}
"""Batches that do not divide the 40 images."""


def task_of(spec: str, posterior: str = "factorised", **changes) -> tuple[RunConfig, Task]:
    """Of digits, with an encoder that has something to say."""
    made = tiny(spec, posterior, **{**SMALL, **changes})
    task = build(made, DIGITS.shape, PIXELS)
    with torch.no_grad():
        head_weight(task).mul_(4)
    return made, task


def head_weight(task: Task) -> torch.Tensor:
    """Of its last layer."""
    return [weight for weight in task.model.posterior.head.parameters() if weight.ndim == 2][-1]


def measured(made: RunConfig, task: Task, readout: Readout, per_position: bool = False) -> dict[str, float]:
    found = evaluate(task, DIGITS, made, split="test", readout=readout, image_metrics=[], per_position=per_position)
    assert {one.n for one in found} == {40}
    return {one.metric: one.value for one in found}


def spied(monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Codes and logits of each batch, as the evaluation saw them."""
    seen, original = [], evaluation._coded

    def spy(task, *given):
        for image, x, code, params in original(task, *given):
            seen.append((task.estimator.index(code)[0].numpy(), params[0].double().numpy()))
            yield image, x, code, params

    monkeypatch.setattr(evaluation, "_coded", spy)
    return seen


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("readout", ["sample", "mode"])
@pytest.mark.parametrize(
    ("spec", "posterior"),
    [
        ("daps", "factorised"),
        ("daps", "causal"),
        ("decoupled_st:forward_temperature=3", "factorised"),
        ("vq", "factorised"),
        ("fsq:levels=2,4", "factorised"),
    ],
)
def test_entropy_usage_and_perplexity_are_those_of_the_counted_codes(monkeypatch, spec, posterior, readout):
    seen = spied(monkeypatch)
    found = measured(*task_of(spec, posterior), readout, per_position=True)
    codes = np.concatenate([code for code, _ in seen])
    assert codes.shape == (40, 4)
    counts = [list(Counter(column).values()) for column in codes.T.tolist()]
    assert found["entropy"] == pytest.approx(sum(entropy(count, base=2) for count in counts))
    assert found["usage"] == len(set(codes.flatten().tolist())) / 8
    assert found["perplexity"] == pytest.approx(math.exp(entropy(list(Counter(codes.flatten().tolist()).values()))))
    for position, count in enumerate(counts):
        assert found[f"usage/{position}"] == pytest.approx(len(count) / 8)
        assert found[f"perplexity/{position}"] == pytest.approx(math.exp(entropy(count)))
    assert found["capacity"] == 4 * 3
    assert found["entropy"] <= found["capacity"]


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
@pytest.mark.parametrize("spec", ["daps", "decoupled_st:forward_temperature=3"])
def test_information_is_the_entropy_of_the_mean_less_the_mean_entropy(monkeypatch, spec, posterior):
    seen = spied(monkeypatch)
    made, task = task_of(spec, posterior)
    found = measured(made, task, "sample")
    q = softmax(np.concatenate([logits for _, logits in seen]) / (3 if "decoupled" in spec else 1))
    wanted = entropy(q.mean(0), base=2, axis=-1).sum() - entropy(q, base=2, axis=-1).sum(-1).mean()
    assert wanted > 0.1
    assert found["mutual_information"] == pytest.approx(wanted, rel=1e-4)
    # the joint of image and code, all images equally likely: the definition
    together = q / len(q)
    definition = (together * np.log2(together / (together.sum(0) / len(q)))).sum()
    assert found["mutual_information"] == pytest.approx(definition, rel=1e-4)


def test_an_encoder_that_ignores_the_image_has_noise_but_no_information():
    made, task = task_of("daps")
    with torch.no_grad():
        head_weight(task).zero_()
    sampled, mode = measured(made, task, "sample"), measured(made, task, "mode")
    assert sampled["mutual_information"] == pytest.approx(0, abs=1e-4)
    assert sampled["usage"] == 1.0
    assert mode["usage"] == 1 / 8
    assert (mode["perplexity"], mode["entropy"]) == (pytest.approx(1), pytest.approx(0, abs=1e-9))


def test_an_encoder_without_noise_says_as_much_as_its_codes_have_entropy():
    usage, information = CodeUsage(2, 5, CPU), Information(2, 5, CPU)
    index = torch.randint(5, (30, 2), generator=torch.Generator().manual_seed(0))
    for part in index.split(7):
        usage.update(part)
        information.update(torch.nn.functional.one_hot(part, 5) * 200.0)
    assert information.measure() == pytest.approx(usage.measure(per_position=False)["entropy"])


def test_quantizers_have_an_entropy_and_a_capacity_but_no_information():
    made, task = task_of("fsq:levels=2,4")
    for readout in ("sample", "mode"):
        found = measured(made, task, readout)
        assert "mutual_information" not in found
        assert found["bits"] == pytest.approx(found["capacity"]) == 12
        assert 0 <= found["entropy"] <= 12


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_the_mode_has_a_kl_only_where_it_is_one(posterior):
    made, task = task_of("reinforce", posterior)
    sampled, mode = measured(made, task, "sample"), measured(made, task, "mode")
    of_q = {"kl", "bits", "mutual_information"}
    assert of_q <= set(sampled)
    if posterior == "causal":
        assert not of_q & set(mode)
    else:
        assert {name: mode[name] for name in of_q} == {name: sampled[name] for name in of_q}
    assert not {"elbo", "beta_elbo"} & set(mode)


def test_the_causal_kl_at_the_most_likely_path_is_another_number():
    """What is left out, and why: the mean over sampled paths is the KL, the most likely path is not."""
    made, task = task_of("reinforce", "causal")
    (image,) = DIGITS.test.batches([torch.arange(4)])
    posterior, _ = task.model.encode(task.model.likelihood.data(image))
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        _, along_mode = posterior.rollout(task.estimator.mode, 1)
        _, sampled = posterior.rollout(lambda params: task.estimator.hard(params, noise), 500)
    kl = task.estimator.kl(sampled).mean(-1)
    assert abs(task.estimator.kl(along_mode).mean() - kl.mean()) > 4.5 * kl.std() / 500**0.5
    assert measured(made, task, "sample")["kl"] > 0


def test_codes_alone_are_measured_as_with_their_images():
    for spec, posterior in (("daps", "causal"), ("fsq:levels=2,4", "factorised")):
        made, task = task_of(spec, posterior)
        found = {one.metric: one.value for one in evaluate_codes(task, DIGITS.test, made)}
        mode = measured(made, task, "mode")
        assert found == {name: mode[name] for name in ("usage", "perplexity", "entropy")}


def test_the_beta_elbo_is_at_one_beta_for_all_of_a_preset(monkeypatch):
    def ruled(self, name, posterior):
        return {**self.settings, **({"beta_end": 1.0} if name == "gumbel_softmax" else {})}

    monkeypatch.setattr(Preset, "run_settings", ruled)
    paper = {"family": "mnist", "preset": "paper", "shape": (1, 28, 28)}
    assert (config("gumbel_softmax", **paper).beta_end, config("vq", **paper).beta_end) == (1.0, 0.01)
    for spec, overrides in (("gumbel_softmax", {}), ("vq", {}), ("daps", {"beta_end": "0.3"})):
        assert config(spec, overrides=overrides, **paper).eval_beta == 0.01
    assert config("daps", overrides={"eval_beta": "0.5"}, **paper).eval_beta == 0.5
    made, task = task_of("daps", eval_beta=0.25, beta_end=2.0)
    found = measured(made, task, "sample")
    assert found["beta_elbo"] == pytest.approx(found["log_lik"] - 0.25 * found["kl"])
    assert found["elbo"] == pytest.approx(found["log_lik"] - found["kl"])
    assert METRICS["beta_elbo"].better == "higher"
