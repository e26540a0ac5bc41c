import pytest
import torch
from helpers.toys import toy

from estimators import Latent, Problem, load
from estimators._categorical import kl_to_uniform, sample


def problem_with(noise_seed: int, progress: float = 0.0) -> Problem:
    base = toy("factorised").problem(progress=progress)
    return Problem(**{**vars(base), "noise": torch.Generator().manual_seed(noise_seed)})


def gumbel_from(seed: int, shape) -> torch.Tensor:
    return -torch.empty(shape).exponential_(generator=torch.Generator().manual_seed(seed)).log()


LATENT = Latent(2, 5, 8)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_soft_gumbel_softmax_is_the_formula(temperature):
    logits = torch.randn(3, 4, 2, 5)
    estimator = load(f"gumbel_softmax:hard=false,temperature={temperature}", LATENT)
    expected = ((logits + gumbel_from(0, logits.shape)) / temperature).softmax(-1)
    torch.testing.assert_close(estimator.relax(logits, problem_with(0)), expected)


def test_straight_through_gumbel_is_one_hot_forward_and_soft_backward():
    weight = torch.randn(5)
    gradients = []
    for spec in ("gumbel_softmax:temperature=0.7", "gumbel_softmax:hard=false,temperature=0.7"):
        logits = torch.randn(1, 6, 2, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        code = load(spec, LATENT).relax(logits, problem_with(2))
        (code * weight).sum().backward()
        gradients.append(logits.grad)
        if "hard=false" not in spec:
            values = code.detach()
            assert torch.equal(values.round(), values)
            assert torch.equal(values.sum(-1), torch.ones(1, 6, 2))
    torch.testing.assert_close(*gradients)


def test_straight_through_hands_the_gradient_to_the_probabilities():
    logits = torch.randn(1, 6, 2, 5).requires_grad_()
    weight = torch.randn(5)
    code = load("straight_through", LATENT).relax(logits, problem_with(3))
    assert torch.equal(code.detach().argmax(-1), sample(logits, torch.Generator().manual_seed(3)))
    (code * weight).sum().backward()
    probs = logits.detach().softmax(-1)
    expected = probs * (weight - (probs * weight).sum(-1, keepdim=True))
    torch.testing.assert_close(logits.grad, expected)


def test_temperature_decays_exponentially_over_training():
    logits = torch.randn(1, 1, 2, 5)
    estimator = load("gumbel_softmax:hard=false,temperature=1,temperature_end=0.01", LATENT)
    expected = ((logits + gumbel_from(4, logits.shape)) / 0.1).softmax(-1)
    torch.testing.assert_close(estimator.relax(logits, problem_with(4, progress=0.5)), expected)


def test_kl_to_uniform_agrees_with_torch_distributions():
    logits = torch.randn(3, 4, 2, 5)
    q = torch.distributions.Categorical(logits=logits)
    uniform = torch.distributions.Categorical(logits=torch.zeros(5))
    expected = torch.distributions.kl_divergence(q, uniform).sum(-1)
    torch.testing.assert_close(kl_to_uniform(logits), expected)
    shared = logits[:1].expand(6, -1, -1, -1)
    torch.testing.assert_close(kl_to_uniform(shared), expected[:1].expand(6, -1))


def test_a_code_of_probability_zero_is_never_sampled():
    logits = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]]).expand(50_000, 1, 4)
    drawn = sample(logits, torch.Generator().manual_seed(5))
    assert set(drawn.flatten().tolist()) == {0, 2}


def test_sampling_shared_logits_gives_independent_samples():
    logits = torch.zeros(1, 2, 3, 8).expand(400, -1, -1, -1)
    drawn = sample(logits, torch.Generator().manual_seed(6))
    assert drawn.shape == (400, 2, 3)
    assert (drawn[0] != drawn[1]).any()
    pairs = drawn.flatten(1).T.reshape(6, -1).double()
    off_diagonal = torch.corrcoef(pairs) - torch.eye(6)
    assert off_diagonal.abs().max() < 4.5 / 400**0.5
