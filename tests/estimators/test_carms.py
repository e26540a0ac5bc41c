"""CARMS: the joint distribution of its samples, the estimators it contains, and the oracle."""

import itertools

import numpy as np
import pytest
import torch
from helpers.toys import exact_objective, gradient, toy_for

from estimators import Latent, Problem, load
from estimators.carms import CARMS, pair_orderings
from estimators.reinforce import Reinforce


def carms(k: int, vocab: int, length: int = 1) -> CARMS:
    return CARMS(Latent(length, vocab, 8), k=k)


def draws(estimator: CARMS, logits: torch.Tensor, n: int):
    """n antithetic sets, [k n 1], with the logits as a factorised posterior gives them."""
    expanded = logits.expand(estimator.k, n, 1, -1)
    return estimator._draw(expanded, torch.Generator().manual_seed(0)), expanded


def numpy_ratio(logits, i, j, k):
    """q(i) q(j) / P(i, j) from the copula's survival function, one ordering and one corner at a time."""
    q = np.exp(logits - logits.max())
    q, total = q / q.sum(), 0.0
    orderings = pair_orderings(len(q)).tolist()
    for ordering in orderings:
        edges = np.concatenate([[0], np.cumsum(q[ordering])])
        for a, b in itertools.product((0, 1), repeat=2):
            u, v = edges[ordering.index(i) + a], edges[ordering.index(j) + b]
            # u = (1 - d)^(k-1), and P(d >= s, d' >= t) = (1 - s - t)^(k-1) for two shares of a uniform simplex
            s, t = 1 - u ** (1 / (k - 1)), 1 - v ** (1 / (k - 1))
            total += (-1) ** (a + b) * max(1 - s - t, 0) ** (k - 1)
    return q[i] * q[j] / (total / len(orderings))


@pytest.mark.parametrize("vocab", [2, 3, 5, 16])
def test_each_pair_of_codes_is_at_the_ends_of_one_ordering(vocab):
    orderings = pair_orderings(vocab)
    assert torch.equal(orderings.sort(-1).values, torch.arange(vocab).expand(len(orderings), -1))
    ends = {tuple(sorted((o[0].item(), o[-1].item()))) for o in orderings}
    assert ends == set(itertools.combinations(range(vocab), 2))
    assert len(orderings) == len(ends)


CASES = pytest.mark.parametrize(("k", "vocab"), [(2, 2), (2, 3), (3, 3), (2, 5), (4, 5), (8, 4)])


@CASES
def test_samples_follow_q_and_pairs_meet_as_often_as_the_ratio_says(k, vocab):
    n = 50_000
    estimator = carms(k, vocab)
    logits = torch.randn(vocab, generator=torch.Generator().manual_seed(vocab)) * 1.5
    code, expanded = draws(estimator, logits, n)
    q = logits.softmax(-1).double()
    counts = torch.stack([torch.bincount(c.flatten(), minlength=vocab) for c in code]) / n
    assert ((counts - q).abs() < 4.5 * (q * (1 - q) / n).sqrt()).all()
    ratio = estimator._ratio(expanded, code, torch.tensor([0]), torch.tensor([k - 1]))[0, :, 0]
    for i, j in itertools.permutations(range(vocab), 2):
        met = (code[0, :, 0] == i) & (code[-1, :, 0] == j)
        if met.any():
            (value,) = ratio[met].unique().tolist()
            assert value == pytest.approx(numpy_ratio(logits.double().numpy(), i, j, k), rel=1e-4)
            chance = (q[i] * q[j]).item() / value
            assert abs(met.double().mean().item() - chance) < 4.5 * (chance * (1 - chance) / n) ** 0.5
    same = (code[0] == code[-1]).double().mean()
    assert same < q.square().sum()


def test_samples_of_two_positions_and_two_images_are_independent():
    estimator = carms(2, 2, length=2)
    code = estimator._draw(torch.zeros(2, 50_000, 2, 2), torch.Generator().manual_seed(1)).double() - 0.5
    pairs = code.permute(0, 2, 1).flatten(0, 1)
    correlation = torch.corrcoef(pairs)
    # rows: sample 0 positions 0 and 1, then sample 1
    for a, b in ((0, 1), (0, 3), (1, 2), (2, 3)):
        assert correlation[a, b].abs() < 4.5 / 50_000**0.5
    torch.testing.assert_close(correlation[0, 2], torch.tensor(-1.0).double(), rtol=0, atol=1e-9)
    shifted = (pairs[0, 1:] * pairs[0, :-1]).mean() * 4
    assert shifted.abs() < 4.5 / 50_000**0.5


def recorded(estimator, case, beta, seed, b=9):
    """Encoder gradient with respect to the logits [b L v], and the codes that gave it."""
    seen = []
    problem = case.problem(beta, b, torch.Generator().manual_seed(seed))

    def recording(code):
        seen.append(code)
        return case.log_lik(code)

    loss = estimator.loss(Problem(**{**vars(problem), "log_lik": recording})).loss
    return torch.autograd.grad(loss, problem.posterior.params)[0] * b, seen[0], problem.posterior.params.detach()


def test_two_samples_of_two_codes_are_disarm():
    """1/2 (f(b) - f(b~)) (-1)^b~ 1[b != b~] sigmoid(|alpha|), with alpha the log-odds of code 1."""
    estimator, case = toy_for("carms:k=2", "factorised", 3, 2, 2.0)
    found, code, logits = recorded(estimator, case, 0.0, seed=2)
    first, second = code
    alpha = logits[..., 1] - logits[..., 0]
    difference = (case.log_lik(code)[0] - case.log_lik(code)[1])[:, None].detach()
    sign = 1.0 - 2.0 * second
    expected = 0.5 * difference * sign * (first != second) * alpha.abs().sigmoid()
    assert (first != second).any()
    torch.testing.assert_close(found, -torch.stack([-expected, expected], -1), rtol=1e-4, atol=1e-6)


def test_independent_samples_would_make_it_leave_one_out_reinforce(monkeypatch):
    estimator, case = toy_for("carms:k=5", "factorised", 2, 4)
    monkeypatch.setattr(CARMS, "_ratio", lambda self, logits, code, one, other: torch.ones(10, *code.shape[1:]))
    found, code, _ = recorded(estimator, case, 1.3, seed=3)
    other, _ = toy_for("reinforce:k=5", "factorised", 2, 4)
    monkeypatch.setattr(Reinforce, "hard", lambda self, params, noise=None: code)
    expected, same, _ = recorded(other, case, 1.3, seed=3)
    assert torch.equal(code, same)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def deviation(estimator, case, exact, beta, count=100, b=128):
    """Largest distance of the mean encoder gradient from the exact one, in standard errors."""
    noise = torch.Generator().manual_seed(8)
    found = torch.stack(
        [gradient(lambda: estimator.loss(case.problem(beta, b, noise)).loss, case.posterior) for _ in range(count)]
    )
    error = found.std(0) / count**0.5
    return ((found.mean(0) - exact).abs() / (error + 1e-6 * exact.abs().max())).max().item()


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(("length", "vocab", "beta", "scale"), [(3, 2, 1.0, 3.0), (2, 3, 5.0, 0.1), (1, 8, 0.5, 2.0)])
def test_unbiased(k, length, vocab, beta, scale):
    estimator, case = toy_for(f"carms:k={k}", "factorised", length, vocab, scale)
    exact = gradient(lambda: -exact_objective(case, beta, length, vocab), case.posterior)
    assert deviation(estimator, case, exact, beta) < 4.5


@pytest.mark.parametrize("fault", ["uncorrected", "clipped", "inverted"])
def test_a_broken_importance_ratio_is_caught(fault, monkeypatch):
    original = CARMS._ratio

    def broken(self, logits, code, one, other):
        ratio = original(self, logits, code, one, other)
        if fault == "uncorrected":
            return torch.ones_like(ratio)
        return ratio.clamp(max=2.0) if fault == "clipped" else torch.where(ratio > 0, 1 / ratio, 0)

    monkeypatch.setattr(CARMS, "_ratio", broken)
    estimator, case = toy_for("carms:k=2", "factorised", 1, 5, 2.0)
    exact = gradient(lambda: -exact_objective(case, 1.0, 1, 5), case.posterior)
    assert deviation(estimator, case, exact, 1.0, b=1024) > 6


@pytest.mark.parametrize("k", [2, 3, 8])
def test_nearly_certain_codes_give_finite_gradients(k):
    estimator, case = toy_for(f"carms:k={k}", "factorised", 2, 5)
    with torch.no_grad():
        case.posterior.head.bias.copy_(torch.tensor([30.0, 0.0, -30.0, -1e3, -1e4]))
    noise = torch.Generator().manual_seed(4)
    assert gradient(lambda: estimator.loss(case.problem(b=256, noise=noise)).loss, case.posterior).isfinite().all()


def test_less_variance_than_independent_samples_when_the_posterior_is_broad():
    spread = {}
    for spec in ("carms:k=2", "reinforce:k=2"):
        estimator, case = toy_for(spec, "factorised", 3, 2, 0.3)
        found = recorded(estimator, case, 0.5, seed=5, b=4000)[0]
        spread[spec] = found.var(0).sum().item()
    assert spread["carms:k=2"] < 0.9 * spread["reinforce:k=2"]


@pytest.mark.parametrize(
    ("vocab", "spec", "words"),
    [
        (17, "carms", r"vocab is 17, and may be 2 to 16; try --set vocab=16, or reinforce"),
        (8, "carms:k=1", r"k=1 samples .* try k=8"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_remedy(vocab, spec, words):
    with pytest.raises(ValueError, match=words):
        load(spec, Latent(4, vocab, 8))
