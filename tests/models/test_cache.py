"""Attention to a growing cache: its gradients are those of autograd without one, and it keeps no copies."""

import gc
import weakref

import pytest
import torch
from helpers.live_memory import LiveMemory
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import models
from models.cache import KeyValueCache

N, HEADS, LENGTH, WIDTH = 3, 2, 5, 4


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    """Queries, keys and values."""
    made = torch.randn(3, N, HEADS, LENGTH, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return made.requires_grad_()


def one_by_one(given: Tensor) -> Tensor:
    cache = KeyValueCache(LENGTH)
    return torch.cat([cache.attend(*given[..., t : t + 1, :]) for t in range(LENGTH)], 2)


def test_positions_one_by_one_attend_as_all_at_once():
    given = inputs()
    expected = scaled_dot_product_attention(*given, is_causal=True)
    torch.testing.assert_close(one_by_one(given), expected)
    with torch.no_grad():
        torch.testing.assert_close(one_by_one(given), expected)


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(one_by_one, inputs())


@pytest.mark.parametrize("until", range(1, LENGTH + 1))
def test_a_loss_of_the_first_positions_has_their_gradients_however_often_it_is_asked_for(until):
    weight = torch.randn(N, HEADS, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    given = inputs()

    def loss(attended: Tensor, first: int) -> Tensor:
        return (attended * weight)[:, :, :first].square().sum()

    attended, plain = one_by_one(given), scaled_dot_product_attention(*given, is_causal=True)
    for first in (until, LENGTH, until):
        (found,) = torch.autograd.grad(loss(attended, first), given, retain_graph=True)
        (expected,) = torch.autograd.grad(loss(plain, first), given, retain_graph=True)
        torch.testing.assert_close(found, expected)


def causal(length: int = 6, vocab: int = 7) -> tuple[models.Causal, Tensor]:
    posterior = models.Causal(length, vocab, 16, layers=2, heads=2, mlp_ratio=2).double()
    models.initialise(posterior, 0)
    features = torch.randn(2, length, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return posterior, features.requires_grad_()


def relaxed(length: int, vocab: int, k: int) -> Tensor:
    return torch.rand(k, 2, length, vocab, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_gradients_through_sampling_are_those_of_computing_every_position_anew():
    posterior, features = causal()
    noise, k = relaxed(6, 7, 3), 3
    wanted = [features, *posterior.parameters()]

    def draw_at(position: int, params: Tensor) -> Tensor:
        return (params[:, :, -1:] + noise[:, :, position : position + 1]).softmax(-1)

    def objective(code: Tensor, params: Tensor) -> Tensor:
        return (code.square() * noise).sum() + (params.softmax(-1) * noise).square().sum()

    drawn = iter(range(6))
    found = objective(*posterior.bind(features).rollout(lambda params: draw_at(next(drawn), params), k))

    bound = posterior.bind(features)
    code = torch.zeros(k, 2, 0, 7, dtype=torch.float64)
    for position in range(6):
        ahead = torch.cat([code, torch.zeros(k, 2, 1, 7, dtype=torch.float64)], 2)
        code = torch.cat([code, draw_at(position, bound.replay(ahead)[:, :, : position + 1])], 2)
    expected = objective(code, bound.replay(code))

    torch.testing.assert_close(found, expected)
    for mine, its in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(expected, wanted), strict=True):
        torch.testing.assert_close(mine, its)


def test_a_rollout_with_gradients_keeps_each_key_once():
    def kept(length: int) -> int:
        posterior, features = causal(length, vocab=2)
        bound = posterior.bind(features)
        with LiveMemory() as memory:
            code, _ = bound.rollout(lambda params: params.softmax(-1), 1)
            assert code.requires_grad
            return memory.live

    small, middle, large = (kept(length) for length in (32, 64, 128))
    quadratic = ((large - middle) / 64 - (middle - small) / 32) / 96
    # L^2 / 2 attention weights of 8 bytes in 2 layers, 2 images, 2 heads; copies of the cache would add 16 times that
    assert quadratic == pytest.approx(8 * 2 * 2 * 2 / 2, rel=0.05)


def test_memory_is_freed_with_the_graph_and_waits_for_no_garbage_collector():
    given = inputs()
    cache = KeyValueCache(LENGTH)
    attended = torch.cat([cache.attend(*given[..., t : t + 1, :]) for t in range(LENGTH)], 2)
    torch.autograd.grad(attended.sum(), given)
    memory = weakref.ref(cache.memory)
    gc.disable()
    try:
        del cache, attended
        assert memory() is None
    finally:
        gc.enable()


def test_bfloat16_gradients_are_summed_in_float32():
    given = inputs(torch.bfloat16)
    reference = given.detach().double().requires_grad_()
    (found,) = torch.autograd.grad(one_by_one(given).square().sum(), given)
    (expected,) = torch.autograd.grad(one_by_one(reference).square().sum(), reference)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=0.1, atol=0.1)
