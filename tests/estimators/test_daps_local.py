"""Credit by position: exact where the decoder is local, and the bias it admits to where it is not."""

import itertools
import math

import pytest
import torch
from helpers.configs import config
from helpers.toys import gradient, toy
from torch import Tensor, nn

from bench.build import PixelStatistics, build, skip_reason
from estimators import Latent, Posterior, Problem, load, options
from estimators._base import Patches
from estimators._step_size import RULES
from estimators.daps import DAPS
from estimators.daps_local import DAPSLocal
from estimators.exact import distance_to_optimal, enumerate_codes, objective, score_all


def local_toy(kind: str = "factorised", length: int = 3, vocab: int = 3):
    """A toy whose decoder draws every code in its own place, apart from all others."""
    case = toy(kind, length, vocab)
    case.target = torch.linspace(-1, 1, length * 2).view(length, 2)

    def by_patch(code: Tensor) -> Tensor:
        return -3 * (case.decoder(code) - case.target).square().sum(-1)

    case.log_lik = lambda code: by_patch(code).sum(-1)
    return case, Patches((1, length), by_patch)


def with_patches(problem: Problem, patches: Patches | None, **changes) -> Problem:
    return Problem(**{**vars(problem), "patches": patches, **changes})


# --- which pixels are near


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
def test_credit_is_what_lies_within_reach_rows_and_columns(reach):
    rows, columns, k, b = 3, 5, 2, 4
    by_patch = torch.randn(k, b, rows * columns, generator=torch.Generator().manual_seed(0)) * 100
    estimator = DAPSLocal(Latent(rows * columns, 4, 8), reach=reach)
    case = toy("factorised", rows * columns, 4)
    problem = with_patches(case.problem(b=b), Patches((rows, columns), lambda code: by_patch))
    log_lik, near = estimator.credit(torch.zeros(k, b, rows * columns, dtype=torch.int64), problem)
    expected = torch.zeros_like(by_patch).view(k, b, rows, columns)
    places = list(itertools.product(range(rows), range(columns)))
    for (row, column), (i, j) in itertools.product(places, places):
        if abs(row - i) <= reach and abs(column - j) <= reach:
            expected[:, :, row, column] += by_patch.view(k, b, rows, columns)[:, :, i, j]
    torch.testing.assert_close(near, expected.flatten(-2), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(log_lik, by_patch.sum(-1))


def task(estimator: str, **overrides):
    made = config(estimator, overrides={"width": 16, "length": 16, "vocab": 8, "layers": 1, **overrides})
    return build(made, (3, 32, 32), PixelStatistics(torch.full((3,), 100.0), torch.full((3,), 50.0)))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_patches_of_the_autoencoder_are_those_the_encoder_reads_and_sum_to_the_whole(likelihood):
    built = task("daps_local", likelihood=likelihood)
    image = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    problem = built.problem(image, 0.0, 1.0, torch.Generator().manual_seed(0))
    assert problem.patches is not None
    rows, columns = problem.patches.grid
    assert rows * columns == 16
    code = torch.randint(8, (3, 2, 16), generator=torch.Generator().manual_seed(1))
    by_patch = problem.patches.log_lik(code)
    torch.testing.assert_close(by_patch.sum(-1), problem.log_lik(code), rtol=1e-5, atol=1e-2)
    # log p of one patch alone: what is lost when the rest of the image is taken away
    x = built.model.likelihood.data(image)
    params = built.model.decode(code)
    height, width = 32 // rows, 32 // columns
    for patch in (0, 3, 6, 15):
        top, left = patch // columns * height, patch % columns * width
        inside = (..., slice(top, top + height), slice(left, left + width))
        alone = built.model.likelihood.log_prob(params[inside], x[inside])
        torch.testing.assert_close(by_patch[..., patch], alone, rtol=1e-5, atol=1e-2)


def test_a_decoder_without_places_is_a_reason_to_skip_the_run():
    assert build(config("daps"), (3, 32, 32), PixelStatistics(torch.ones(3), torch.ones(3))) is not None
    reason = skip_reason(config("daps_local", overrides={"decoder": "mlp"}))
    assert reason is not None
    assert "--set decoder=conv" in reason
    assert skip_reason(config("daps_local")) is None
    assert skip_reason(config("daps", overrides={"decoder": "mlp"})) is None
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert task("daps", decoder="mlp").problem(image, 0.0, 1.0, torch.Generator()).patches is None


# --- what it estimates


def test_with_codes_that_draw_their_own_patch_alone_it_steps_toward_the_q_star_of_daps():
    """Where q* is a product, the self-normalised estimate of each factor is closer than that of the whole."""
    beta, eta, b, k = 0.5, 1.0, 64, 100
    case, patches = local_toy()

    def exact():
        log_q, log_lik = score_all(case.problem(beta), enumerate_codes(Latent(3, 3, 8)))
        return distance_to_optimal(log_q, log_lik, eta, beta).sum()

    target = gradient(exact, case.posterior)
    errors = {}
    for spec in ("daps", "daps_local:reach=0", "daps_local:reach=1"):
        name, _, rest = spec.partition(":")
        text = f"{name}:{','.join(filter(None, [rest, f'k={k},step_size=fixed,eta={eta}']))}"
        estimator, noise = load(text, Latent(3, 3, 8)), torch.Generator().manual_seed(0)
        draws = torch.stack(
            [
                gradient(
                    lambda e=estimator, n=noise: e.loss(with_patches(case.problem(beta, b, n), patches)).loss,
                    case.posterior,
                )
                for _ in range(40)
            ]
        )
        error = draws.std(0) / len(draws) ** 0.5
        off = draws.mean(0) - target
        errors[spec] = ((off.square() - error.square()).sum() / target.square().sum()).item()
        if spec == "daps_local:reach=0":
            assert (off.abs() <= 4.5 * error + 0.03 * target.abs().max()).all()
    # patches that a code does not change are noise, and normalised weights turn noise into bias
    assert 0 < 2 * errors["daps_local:reach=0"] < errors["daps_local:reach=1"] < errors["daps"]


class Enumerated(nn.Module):
    """A factorised posterior that draws every code once: with equal logits, samples that are the distribution."""

    def __init__(self, length: int, vocab: int) -> None:
        super().__init__()
        self.codes = torch.cartesian_prod(*[torch.arange(vocab)] * length)[:, None]
        self.logits = nn.Parameter(torch.zeros(1, 1, length, vocab, dtype=torch.float64))

    def rollout(self, draw, k):
        return self.codes[:k], self.logits.expand(k, -1, -1, -1)

    def replay(self, code):
        return self.logits.expand(len(code), -1, -1, -1)


def coupled(code: Tensor) -> Tensor:
    """Log-likelihood of three patches in a row; each code changes its own and the next."""
    values = torch.tensor([0.3, -1.1, 2.0], dtype=torch.float64)[code]
    before = torch.cat([torch.zeros_like(values[..., :1]), values[..., :-1]], -1)
    return -(values + 0.8 * before * values - torch.tensor([1.0, -0.5, 0.7], dtype=torch.float64)).square()


@pytest.mark.parametrize(("reach", "agrees"), [(0, False), (1, True), (2, True)])
def test_if_no_code_changes_a_patch_out_of_reach_a_small_step_is_the_natural_gradient_of_the_elbo(reach, agrees):
    posterior, beta, eta = Enumerated(3, 3), 0.7, 1e4
    assert isinstance(posterior, Posterior)

    def log_lik(code):
        return coupled(code).sum(-1)

    problem = Problem(posterior, posterior, log_lik, beta, 0.0, patches=Patches((1, 3), coupled))
    estimator = load(f"daps_local:k=27,step_size=fixed,eta={eta},reach={reach}", Latent(3, 3, 8))
    found = gradient(lambda: estimator.loss(problem).loss, posterior) * (eta + beta)
    log_q, rewards = score_all(problem, posterior.codes[:, 0])
    exact = gradient(lambda: -objective(log_q, rewards, 0.0, beta).sum(), posterior)
    assert exact.norm() > 0.1
    off = (found - exact).norm() / exact.norm()
    assert off < 1e-2 if agrees else off > 0.1


@pytest.mark.parametrize("kind", ["factorised", "causal"])
def test_without_patches_every_position_is_credited_with_the_whole_image(kind):
    """At beta = 0 that is daps; the entropy stays with its position."""
    case = toy(kind, 3, 4)
    losses = [
        load(f"{name}:step_size=kl", Latent(3, 4, 8)).loss(case.problem(0.0, 5, torch.Generator().manual_seed(0)))
        for name in ("daps", "daps_local")
    ]
    torch.testing.assert_close(losses[1].loss, losses[0].loss)
    for name in ("eta", "max_weight", "entropy", "log_lik"):
        torch.testing.assert_close(losses[1].terms[name], losses[0].terms[name])


@pytest.mark.parametrize("kind", ["factorised", "causal"])
@pytest.mark.parametrize("rule", RULES)
def test_it_decodes_once_and_leaves_the_decoder_its_plain_gradient(rule, kind):
    case, patches = local_toy(kind)
    seen = []

    def recording(code):
        seen.append(code)
        return patches.log_lik(code)

    def refuse(code):
        raise AssertionError("decoded twice")

    problem = case.problem(0.5, 4, torch.Generator().manual_seed(0))
    problem = with_patches(problem, Patches(patches.grid, recording), log_lik=refuse)
    estimate = load(f"daps_local:step_size={rule},k=6", Latent(3, 3, 8)).loss(problem)
    assert estimate.decodes == len(seen[0]) == 6
    assert len(seen) == 1
    found = gradient(lambda: estimate.loss, case.decoder)
    torch.testing.assert_close(found, gradient(lambda: -case.log_lik(seen[0]).mean(), case.decoder))


def test_each_position_is_weighed_by_its_own_credit_and_entropy():
    case, patches = local_toy(length=4)
    estimator = load("daps_local:reach=0,step_size=fixed,eta=0.5", Latent(4, 3, 8))
    seen = []
    problem = with_patches(
        case.problem(0.7, 5, torch.Generator().manual_seed(0)),
        Patches(patches.grid, lambda code: seen.append(code) or patches.log_lik(code)),
    )
    estimate = estimator.loss(problem)
    (code,) = seen
    log_q = problem.posterior.replay(code).log_softmax(-1).gather(-1, code[..., None])[..., 0]
    weights = ((patches.log_lik(code) - 0.7 * log_q) / 1.2).softmax(0).detach()
    parameters = list(case.posterior.parameters())
    found = torch.autograd.grad(estimate.loss, parameters, retain_graph=True)
    expected = torch.autograd.grad(-(weights * log_q).sum((0, 2)).mean(), parameters)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert estimate.terms["entropy"].item() == pytest.approx(-log_q.sum(-1).mean().item(), rel=1e-5)
    assert estimate.terms["ess"].item() == pytest.approx((1 / weights.square().sum(0)).mean().item() / 8, rel=1e-4)


# --- what people type


def test_its_options_are_those_of_daps_and_its_reach():
    mine = options(DAPSLocal)
    assert mine.pop("reach").default == 1
    assert {name: (option.default, option.annotation) for name, option in mine.items()} == {
        name: (option.default, option.annotation) for name, option in options(DAPS).items()
    }


@pytest.mark.parametrize(
    "arguments",
    [
        "k=5,ess_target=0.6,eta=3,eta_lr=0.1",
        "step_size=kl,epsilon=0.2",
        "step_size=lbps,delta=0.1,per_image=true",
        "step_size=ess_solve,ess_target=0.7",
    ],
)
def test_the_options_reach_the_rule(arguments):
    mine, theirs = (load(f"{name}:{arguments}", Latent(4, 8, 8)) for name in ("daps_local", "daps"))
    assert isinstance(mine, DAPSLocal)
    assert isinstance(theirs, DAPS)
    assert mine.k == theirs.k
    assert type(mine.step_size) is type(theirs.step_size)
    settings = [
        {name: value for name, value in vars(made.step_size).items() if not name.startswith("_")}
        for made in (mine, theirs)
    ]
    assert settings[0] == settings[1]


def test_training_moves_the_learned_eta():
    case, patches = local_toy()
    estimator = load("daps_local:eta_lr=0.1", Latent(3, 3, 8))
    assert isinstance(estimator, DAPSLocal)
    optimiser = torch.optim.Adam(estimator.param_groups(lr=1e-9))
    problem = with_patches(case.problem(b=8, noise=torch.Generator().manual_seed(0)), patches)
    estimator.loss(problem).loss.backward()
    optimiser.step()
    # the toy's patches differ by far less than 100 nats: too many samples count
    assert estimator.step_size.get_parameter("log_eta").exp().item() == pytest.approx(100 * math.exp(-0.1), rel=1e-3)


def test_a_negative_reach_is_refused():
    with pytest.raises(ValueError, match="reach=-1 patches is negative; try reach=1"):
        load("daps_local:reach=-1", Latent(4, 8, 8))
