import numpy as np
import pytest
import torch
from helpers.toys import toy, toy_for

from estimators import Latent, load
from estimators.fsq import FSQ, best_levels, nearest_vocab


def fsq(*levels: int) -> FSQ:
    vocab = int(np.prod(levels))
    estimator = load(f"fsq:levels={','.join(map(str, levels))}", Latent(2, vocab, 8))
    assert isinstance(estimator, FSQ)
    return estimator


LEVELS = [(2,), (3,), (2, 3), (8, 8, 8), (8, 5, 5, 5), (8, 6, 5), (7, 5, 5, 5, 5), (4, 4, 3), (16, 2)]


@pytest.mark.parametrize("levels", LEVELS)
def test_fsq_codes_and_indices_round_trip(levels):
    estimator = fsq(*levels)
    index = torch.arange(int(np.prod(levels)))[:, None]
    codes = estimator.code(index)
    assert torch.equal(estimator.index(codes), index)
    assert len(torch.unique(codes.flatten(0, 1), dim=0)) == len(index)
    assert codes.min() >= -1
    assert codes.max() <= 1


@pytest.mark.parametrize("levels", LEVELS)
def test_fsq_reaches_every_level_and_no_other(levels):
    estimator = fsq(*levels)
    sweep = torch.linspace(-12, 12, 4001)[:, None, None].expand(-1, 1, len(levels))
    codes = estimator.hard(sweep)
    for channel, level in enumerate(levels):
        assert len(codes[:, 0, channel].unique()) == level
    assert estimator.index(codes).max() < np.prod(levels)


@pytest.mark.parametrize("level", [3, 4, 5, 8])
def test_fsq_bound_is_the_published_formula_with_atanh(level):
    half = (level - 1) * (1 + 1e-3) / 2
    offset = 0.5 if level % 2 == 0 else 0.0
    y = np.linspace(-3, 3, 101)
    expected = np.round(np.tanh(y + np.arctanh(offset / half)) * half - offset) / (level // 2)
    found = fsq(level).hard(torch.tensor(y, dtype=torch.float32)[:, None, None])[:, 0, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_fsq_gradient_passes_rounding_as_the_identity():
    estimator = fsq(5)
    y = torch.tensor([0.3]).reshape(1, 1, 1, 1).requires_grad_()
    code, _, _ = estimator.quantise(y, toy("factorised").problem())
    code.sum().backward()
    half = 4 * 1.001 / 2
    expected = (1 - np.tanh(0.3) ** 2) * half / 2
    assert y.grad.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("vocab", "levels"),
    [(512, (8, 8, 8)), (256, (8, 8, 4)), (1024, (8, 8, 4, 4)), (240, (8, 6, 5)), (32, (8, 4))],
)
def test_levels_are_chosen_few_and_even(vocab, levels):
    assert best_levels(vocab) == levels


@pytest.mark.slow
def test_levels_exist_exactly_for_vocabularies_whose_prime_factors_are_small():
    for vocab in range(2, 1100):
        levels = best_levels(vocab)
        rest = vocab
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        assert (levels is not None) == (rest == 1), vocab
        assert levels is None or (np.prod(levels) == vocab and max(levels) <= 8)
        assert best_levels(nearest_vocab(vocab))


def test_levels_that_do_not_multiply_to_the_vocabulary_are_refused_with_ones_that_do():
    with pytest.raises(ValueError, match=r"levels=8,8,8 give 512 codes, vocabulary is 256; try levels=8,8,4"):
        load("fsq:levels=8,8,8", Latent(4, 256, 8))
    with pytest.raises(ValueError, match=r"no levels .* vocabulary of 509; try --set vocab=512"):
        load("fsq", Latent(4, 509, 8))


def settled_vq(spec: str, vocab: int = 6):
    """A VQ whose codebook has been set by a first batch."""
    estimator, case = toy_for(spec, "factorised", vocab=vocab)
    estimator.loss(case.problem(b=64, noise=torch.Generator().manual_seed(0)))
    return estimator, case


@pytest.mark.parametrize("spec", ["vq", "vq:codebook=ema"])
def test_vq_picks_the_nearest_code(spec):
    estimator, _ = settled_vq(spec)
    with torch.no_grad():
        estimator.codebook.normal_(generator=torch.Generator().manual_seed(1))
    vectors = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(2))
    nearest = torch.cdist(vectors.flatten(0, 2), estimator.codebook.detach()).argmin(-1)
    assert torch.equal(estimator.index(vectors).flatten(), nearest)
    assert torch.equal(estimator.hard(vectors).flatten(0, 2), estimator.codebook.detach()[nearest])


def test_vq_losses_and_gradients_by_hand():
    estimator, case = settled_vq("vq:commitment=0.25,revive=0")
    with torch.no_grad():
        estimator.codebook.normal_(generator=torch.Generator().manual_seed(3))
    vectors = torch.randn(1, 3, 2, 8, generator=torch.Generator().manual_seed(4)).requires_grad_()
    code, loss, _ = estimator.quantise(vectors, case.problem())
    chosen = estimator.codebook.detach()[estimator.index(vectors.detach())]
    assert torch.equal(code.detach(), chosen)
    squared = (vectors.detach() - chosen).square().sum() / 3
    torch.testing.assert_close(loss.detach(), 1.25 * squared)
    upstream = torch.randn_like(code)
    (loss + (code * upstream).sum()).backward()
    torch.testing.assert_close(vectors.grad, 0.25 * 2 * (vectors.detach() - chosen) / 3 + upstream)
    index = estimator.index(vectors.detach()).flatten()
    expected = torch.zeros_like(estimator.codebook)
    expected.index_add_(0, index, (2 * (chosen - vectors.detach()) / 3).flatten(0, 2))
    torch.testing.assert_close(estimator.codebook.grad, expected)


def test_ema_codebook_follows_the_moving_averages_and_smoothing_is_never_written_back():
    estimator, case = settled_vq("vq:codebook=ema,decay=0.9,revive=0")
    generator = torch.Generator().manual_seed(5)
    count, total = estimator.count.numpy().copy(), estimator.total.numpy().copy()
    for _ in range(5):
        vectors = torch.randn(1, 16, 2, 8, generator=generator)
        index = estimator.index(vectors).flatten().numpy()
        estimator.quantise(vectors, case.problem())
        hot = np.eye(6)[index]
        count = 0.9 * count + 0.1 * hot.sum(0)
        total = 0.9 * total + 0.1 * hot.T @ vectors.flatten(0, 2).numpy()
        smooth = (count + 1e-5) / (count.sum() + 6e-5) * count.sum()
        np.testing.assert_allclose(estimator.count.numpy(), count, rtol=1e-5)
        np.testing.assert_allclose(estimator.codebook.numpy(), total / smooth[:, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ["vq:revive=0.1", "vq:codebook=ema,revive=0.1"])
def test_a_dead_code_becomes_an_encoder_output_and_its_memory_is_reset(spec):
    estimator, _ = settled_vq(spec)
    with torch.no_grad():
        estimator.codebook[3] = 1e3
        estimator.count[3] = 0.0
    vectors = torch.randn(1, 30, 2, 8)
    revived = estimator._revive(vectors.flatten(0, 2), torch.Generator().manual_seed(6))
    assert revived >= 1
    assert (vectors.flatten(0, 2) == estimator.codebook[3]).all(-1).any()
    assert estimator.count[3].item() == pytest.approx(60 / 6)
    if estimator.ema:
        torch.testing.assert_close(estimator.total[3], estimator.codebook[3] * estimator.count[3])


def test_first_batch_sets_the_whole_codebook_and_revival_can_be_turned_off():
    estimator, case = toy_for("vq:revive=0", "factorised", vocab=6)
    assert estimator.codebook.abs().sum() == 0
    assert estimator.loss(case.problem(b=64)).terms["revived"] == 6
    with torch.no_grad():
        estimator.codebook[2] = 1e3
    for _ in range(200):
        assert estimator.loss(case.problem(b=64)).terms["revived"] == 0


@pytest.mark.parametrize("codebook", ["gradient", "ema"])
def test_a_random_codebook_is_there_from_the_start_and_stays_without_revival(codebook):
    torch.manual_seed(0)
    estimator, case = toy_for(f"vq:codebook={codebook},init=random,revive=0", "factorised", vocab=6)
    before = estimator.codebook.detach().clone()
    assert before.norm(dim=-1).mean() == pytest.approx(1, abs=0.3)
    terms = estimator.loss(case.problem(b=64)).terms
    assert terms["revived"] == 0
    used = estimator.index(estimator.hard(case.problem(b=64).posterior.replay(torch.zeros(1, 64, 2)))).unique()
    unused = [code for code in range(6) if code not in used]
    torch.testing.assert_close(estimator.codebook.detach()[unused], before[unused], rtol=1e-4, atol=1e-5)


def test_two_levels_are_centred_and_pass_a_gradient_at_zero():
    estimator, _ = toy_for("fsq:levels=2,3", "factorised", vocab=6)
    vectors = torch.randn(4000, 1, 2, generator=torch.Generator().manual_seed(0))
    share = (estimator.index(estimator.hard(vectors)) % 2).float().mean()
    assert share == pytest.approx(0.5, abs=0.03)
    zero = torch.zeros(1, 1, 2, requires_grad=True)
    estimator._bound(zero).sum().backward()
    assert zero.grad is not None
    assert zero.grad[0, 0, 0] > 0.4
