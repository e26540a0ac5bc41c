"""The gradient lab: its statistics on cases with known answers, its numbers against the oracle, and the command."""

import json
from pathlib import Path

import pytest
import torch
from helpers.configs import DIGITS, PIXELS, TINY, tiny
from safetensors.torch import save_file

from bench import data, records
from bench.build import build
from bench.config import Preset
from bench.gradients import checkpoint, draws, lab
from bench.gradients.draws import Gradients, Moment
from bench.gradients.lab import statistics
from bench.metrics import catalogue
from estimators import Estimator, load
from estimators.gumbel_softmax import GumbelSoftmax

SMALL = {"length": "2", "vocab": "3"}


def test_statistics_of_draws_with_a_known_bias_and_variance():
    generator = torch.Generator().manual_seed(0)
    exact = torch.tensor([[3.0, 4.0]])
    draws = exact[:, None] + torch.tensor([0.5, 0.0]) + 2 * torch.randn(1, 40_000, 2, generator=generator)
    found = statistics(Gradients(draws, 4, None), exact)
    assert found["bias_squared"] == pytest.approx(0.25 / 25, abs=3 * found["bias_error"])
    assert found["bias_error"] < 0.002
    assert found["variance"] == pytest.approx(8 / 25, rel=0.03)
    assert found["mse"] == pytest.approx((8 + 0.25) / 25, rel=0.03)
    assert found["snr"] == pytest.approx((3.5**2 + 16) / 8, rel=0.03)
    assert found["snr_per_decode"] == pytest.approx(found["snr"] / 4)


def test_the_bias_of_unbiased_draws_is_zero_within_its_error_most_of_the_time():
    generator = torch.Generator().manual_seed(1)
    exact = torch.tensor([[1.0, 2.0, 2.0]])
    scores = []
    for _ in range(200):
        draws = exact[:, None] + torch.randn(1, 64, 3, generator=generator)
        found = statistics(Gradients(draws, 1, None), exact)
        scores.append(found["bias_squared"] / found["bias_error"])
    scores = torch.tensor(scores)
    assert scores.mean().abs() < 4.5 * scores.std() / 200**0.5
    assert (scores.abs() < 3).float().mean() > 0.95


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """The sweep of a small lab."""
    folder = tmp_path_factory.mktemp("lab") / "sweep"
    specs = ["exact", "daps:eta=5,eta_lr=0.0", "reinforce", "straight_through", "vq", "rebar"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab, "CHECKPOINTS", (0, 20))
        patch.setattr(draws, "WARMUP", 5)
        lab.measure(folder, specs, ("factorised", "causal"), [2, 8], [], data.load("digits"), 0, SMALL)
    return folder


def value(folder, estimator, posterior, metric, step=20):
    rows = records.load(folder, estimator=estimator, posterior=posterior, metric=metric, step=step)
    (found,) = rows["value"]
    return found


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_the_oracle_has_neither_bias_nor_variance(measured, posterior):
    assert abs(value(measured, "exact", posterior, "bias_squared")) < 1e-6
    assert value(measured, "exact", posterior, "variance") < 1e-6
    assert value(measured, "exact", posterior, "cosine") == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("posterior", ["factorised", "causal"])
def test_what_is_unbiased_measures_so_and_more_samples_have_less_variance(measured, posterior):
    names = ["reinforce", "reinforce:k=2"] + (["rebar:k=2", "rebar:k=8"] if posterior == "factorised" else [])
    for name in names:
        bias, error = value(measured, name, posterior, "bias_squared"), value(measured, name, posterior, "bias_error")
        assert abs(bias) < 4.5 * error
    ratio = value(measured, "reinforce:k=2", posterior, "variance") / value(
        measured, "reinforce", posterior, "variance"
    )
    assert 3 < ratio < 12


def test_straight_through_measures_biased(measured):
    bias = value(measured, "straight_through:k=8", "factorised", "bias_squared")
    assert bias > 4.5 * value(measured, "straight_through:k=8", "factorised", "bias_error")


def test_what_has_no_exact_gradient_is_skipped_with_the_reason(measured):
    skipped = {(run["estimator"], run["posterior"]): run for run in records.states(measured) if "reason" in run}
    assert skipped.keys() == {("vq", "factorised"), ("vq", "causal"), ("rebar", "causal")}
    assert {run["state"] for run in skipped.values()} == {"skipped"}
    assert "quantizer" in skipped["vq", "factorised"]["reason"]
    assert skipped["rebar", "causal"]["reason"] == "factorised posterior only"


def test_the_lab_reproduces(measured, monkeypatch, tmp_path):
    monkeypatch.setattr(lab, "CHECKPOINTS", (0,))
    monkeypatch.setattr(draws, "WARMUP", 5)
    again = tmp_path / "again"
    lab.measure(again, ["reinforce"], ("causal",), [2], [], data.load("digits"), 0, {**SMALL, "steps": 20})
    for metric in ("bias_squared", "variance"):
        assert value(again, "reinforce:k=2", "causal", metric, 0) == value(
            measured, "reinforce:k=2", "causal", metric, 0
        )


def moment_of(spec: str) -> tuple[Moment, Estimator]:
    """The untrained network of a small lab, and an estimator for it."""
    config = tiny("exact", length=2, vocab=3, beta=1.0, beta_end=1.0)
    task = build(config, DIGITS.shape, PIXELS)
    x = lab.first_images(task, DIGITS, 3)
    return Moment(config, 0, task, x, 40, lab._against_enumeration), load(spec, task.estimator.latent)


def exact_by_hand(moment: Moment, eta: torch.Tensor, beta: float = 1.0) -> torch.Tensor:
    """Uphill in -KL(q* || q) of each image, mean over its draws, with a loop per image and draw: [images f]."""
    features = moment.task.model.encoder(moment.x).detach().requires_grad_()
    codes = torch.tensor([[i, j] for i in range(3) for j in range(3)])
    total = torch.zeros(())
    for image in range(len(eta)):
        params = moment.task.model.posterior.bind(features[image : image + 1]).params[0].log_softmax(-1)
        log_q = params[0, codes[:, 0]] + params[1, codes[:, 1]]
        with torch.no_grad():
            reward = moment.task.model.log_lik(codes[:, None], moment.x[image : image + 1])[:, 0]
        for one in eta[image]:
            target = torch.distributions.Categorical(logits=((reward + one * log_q) / (one + beta)).detach())
            kl = torch.distributions.kl_divergence(target, torch.distributions.Categorical(logits=log_q))
            total = total - kl / eta.shape[1]
    return torch.autograd.grad(total, features)[0].flatten(1)


def test_every_image_is_compared_with_the_target_at_its_own_temperature(monkeypatch):
    moment, estimator = moment_of("daps:k=8,step_size=ess_solve,ess_target=0.8,per_image=true")
    found = draws.draw(moment, estimator, torch.Generator().manual_seed(0))
    assert found.eta is not None
    assert found.eta.shape == (3, 40)
    assert all(len(row.unique()) > 20 for row in found.eta)
    targets = []
    monkeypatch.setattr(lab, "statistics", lambda _, exact: targets.append(exact) or {})
    moment.compare(moment, estimator, found)
    torch.testing.assert_close(targets[0], exact_by_hand(moment, found.eta), rtol=1e-3, atol=1e-5)
    # the mean over the batch would be another target
    same = found.eta.mean().expand_as(found.eta)
    assert (exact_by_hand(moment, same) - targets[0]).norm() > 0.1 * targets[0].norm()


def test_one_temperature_for_the_batch_is_that_of_all_its_images():
    moment, estimator = moment_of("daps:k=8,eta=5")
    found = draws.draw(moment, estimator, torch.Generator().manual_seed(0))
    assert found.eta is not None
    torch.testing.assert_close(found.eta, torch.full((3, 40), 5.0))


def test_an_estimator_is_compared_with_the_gradient_of_its_own_distribution(monkeypatch):
    """decoupled_st at equal temperatures t is straight-through on logits divided by t."""
    moment, estimator = moment_of("decoupled_st:temperature=4,forward_temperature=4")
    targets = []
    monkeypatch.setattr(lab, "statistics", lambda _, exact: targets.append(exact) or {})
    found = Gradients(torch.zeros(3, 2, 1), 1, None)
    moment.compare(moment, estimator, found)
    with torch.no_grad():
        for parameter in moment.task.model.posterior.parameters():
            parameter /= 4
    moment.compare(moment, load("straight_through", estimator.latent), found)
    torch.testing.assert_close(targets[0], targets[1], rtol=1e-4, atol=1e-6)


def test_the_reference_of_a_run_is_drawn_from_the_estimators_own_distribution(monkeypatch):
    targets = []
    monkeypatch.setattr(checkpoint, "statistics", lambda _, reference: targets.append(reference) or {})
    monkeypatch.setattr(checkpoint, "DRAWS", 2)
    made = tiny("straight_through", beta=1.0, beta_end=1.0)
    task, found = build(made, DIGITS.shape, PIXELS), Gradients(torch.zeros(4, 2, 1), 1, None)

    def compared_with(spec: str) -> torch.Tensor:
        (moment,) = checkpoint._end(made, DIGITS, task)
        moment.compare(moment, load(spec, task.estimator.latent), found)
        return targets.pop()

    tempered, plain = compared_with("decoupled_st:forward_temperature=4"), compared_with("straight_through")
    assert (tempered - plain).norm() > 0.1 * plain.norm()
    with torch.no_grad():
        for parameter in task.model.posterior.parameters():
            parameter /= 4
    torch.testing.assert_close(tempered, compared_with("straight_through"), rtol=1e-4, atol=1e-5)


def test_what_does_not_follow_the_elbo_is_labelled(monkeypatch, tmp_path):
    monkeypatch.setattr(lab, "CHECKPOINTS", (0,))
    monkeypatch.setattr(lab, "DRAWS", 8)
    monkeypatch.setattr(draws, "WARMUP", 1)
    specs = ["daps", "daps:step_size=vmpo", "ppo", "vimco", "reinforce"]
    lab.measure(tmp_path / "lab", specs, ("factorised",), [2, 8], [], data.load("digits"), 0, {**SMALL, "steps": 1})
    (comparison,) = records.read(tmp_path / "lab").comparisons
    assert comparison.other_goals.split("; ") == [
        "daps: KL(q* || q), in the limit of k",
        "daps:k=2: KL(q* || q), in the limit of k",
        "daps:k=2,step_size=vmpo: KL(psi || q), psi the batch's best half",
        "daps:step_size=vmpo: KL(psi || q), psi the batch's best half",
        "ppo: the ELBO, clipped near a lagged policy",
        "vimco: the k-sample bound",
    ]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lab, "CHECKPOINTS", (0, 2))
    monkeypatch.setattr(lab, "DRAWS", 16)
    monkeypatch.setattr(draws, "WARMUP", 2)


def test_the_command_leaves_a_sweep_that_all_readers_know(bench, quick):
    code, out, err = bench("gradients", "-e", "daps,reinforce,vq", "--k", "2,8", "--set", "length=2")
    assert code == 0, err
    assert "daps:k=2" in out or "daps" in out
    assert "without vq" in out
    folder = Path("results/gradients-digits")
    import pandas as pd

    frame = records.load(folder)
    assert set(frame["metric"]) == {"bias_squared", "bias_error", "variance", "mse", "cosine", "snr", "snr_per_decode"}
    assert set(frame["metric"]) <= set(catalogue.names("gradient"))
    assert (set(frame["split"]), set(frame["readout"]), set(frame["device"])) == ({"validation"}, {""}, {"cpu"})
    # factorised and causal: vq skipped, daps and reinforce at two k
    assert [run["state"] for run in records.states(folder)].count("done") == 8
    assert bench("status", str(folder))[1].startswith(f"{folder}: 10 runs: 2 skipped, 8 done\n")
    (comparison,) = records.read(folder).comparisons
    assert len(comparison.gradients) == 8 * 2
    assert {method.estimator for method in comparison.methods} == set(comparison.gradients["estimator"]) | {"vq"}
    config = json.loads(next(folder.glob("runs/*/config.json")).read_text())
    assert config["config"]["network"] == "exact"
    assert config["provenance"]["dataset"] == DIGITS.provenance

    exported = pd.read_parquet(folder / "results.parquet")
    assert list(exported.columns) == list(records.COLUMNS)
    assert len(exported) == len(frame)
    assert {path.stem for path in (folder / "figures").iterdir()} == {"bias_variance", "error_against_decodes"}


def test_a_second_command_adds_runs_and_repeats_none(bench, quick):
    command = ["gradients", "--posterior", "factorised", "--set", "length=2", "-e"]
    assert bench(*command, "reinforce,vq")[0] == 0
    rows = {path: path.read_bytes() for path in Path("results/gradients-digits/runs").glob("*/rows.jsonl")}
    code, out, err = bench(*command, "reinforce,straight_through,vq")
    assert code == 0, err
    assert "2 of 3 runs there already; another --out measures them again" in err
    assert all(word in out for word in ("reinforce", "straight_through", "without vq"))
    assert all(path.read_bytes() == content for path, content in rows.items())
    assert len(records.states(Path("results/gradients-digits"))) == 3
    # of another seed they are other runs of the same methods
    assert bench(*command, "reinforce,vq", "--seed", "1")[0] == 0
    (comparison,) = records.read("results/gradients-digits").comparisons
    assert [len(runs) for runs in comparison.runs.values()] == [2, 1, 2]


def test_what_raises_has_failed_and_the_others_go_on(bench, quick, odd):
    odd("raise RuntimeError('no luck')")
    code, _, err = bench("gradients", "--posterior", "factorised", "--set", "length=2", "-e", "odd,reinforce")
    assert code == 1
    assert "1 run failed" in err
    found = {run["estimator"]: run for run in records.states(Path("results/gradients-digits"))}
    assert found["odd"]["reason"] == "RuntimeError: no luck"
    assert found["reinforce"]["state"] == "done"
    assert list(Path("results/gradients-digits").glob("runs/*/traceback.txt"))


def test_at_the_end_of_a_run_estimators_are_as_they_were_there(tmp_path, monkeypatch):
    """The preset of the run makes gumbel_softmax cold at the end; the quick one, and the first step, would not."""
    seen = {}

    def loss(self, problem):
        seen[self.k] = (self.temperature, self.temperature_end, problem.progress, problem.beta)
        return original(self, problem)

    original = GumbelSoftmax.loss
    monkeypatch.setattr(GumbelSoftmax, "loss", loss)
    # digits, with the arguments that standard runs of cifar10 have
    monkeypatch.setattr(Preset, "arguments", lambda self, *_: {"gumbel_softmax": {"temperature_end": 0.2}})
    made = tiny("gumbel_softmax", beta=2.0, beta_end=0.5)
    assert made.estimator == "gumbel_softmax"
    # as it was recorded, whatever the preset says today
    made = made.model_copy(update={"arguments": {**made.arguments, "temperature_end": 0.1}})
    made = made.model_copy(update={"fingerprint": DIGITS.fingerprint})
    run = tmp_path / "run"
    run.mkdir()
    content = {"config": made.model_dump(mode="json"), "provenance": {"dataset": DIGITS.provenance}}
    (run / "config.json").write_text(json.dumps(content))
    task = build(made, DIGITS.shape, PIXELS)
    save_file({name: tensor.contiguous() for name, tensor in task.state_dict().items()}, run / "checkpoint.safetensors")
    checkpoint.measure(tmp_path / "sweep", run, ["gumbel_softmax"], [1, 2], [])
    assert seen == {1: (1.0, 0.1, 1.0, 0.5), 2: (1.0, 0.2, 1.0, 0.5)}
    assert set(records.load(tmp_path / "sweep")["preset"]) == {"quick"}
    (comparison,) = records.read(tmp_path / "sweep").comparisons
    assert comparison.gradients["step"].tolist() == [made.steps] * 2
    assert {"relative_variance", "snr", "cosine_to_reference"} <= set(comparison.gradients.columns)


def test_a_finished_run_can_be_measured(bench, monkeypatch):
    bench("run", "--dataset", "digits", *TINY, "-e", "reinforce", "--seeds", "1", "--out", "sweep")
    (run,) = [Path(path).parent for path in Path("sweep/runs").glob("*/checkpoint.safetensors")]
    code, out, err = bench("gradients", "-e", "reinforce,straight_through,fsq", "--checkpoint", str(run))
    assert code == 0, err
    for words in ("relative_variance", "cosine_to_reference", "straight_through", "without fsq"):
        assert words in out
    (run / "checkpoint.safetensors").unlink()
    code, _, err = bench("gradients", "-e", "reinforce", "--checkpoint", str(run))
    assert code == 2
    assert "holds no finished run" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--k", "1,two"], "--k 1,two is not a list of numbers"),
        (["--set", "vocab=64"], "64^4 = 1.68e+07 codes, at most 16384"),
        (["--dataset", "digitz"], "digits"),
        (["--set", "nonsense=1"], "no such setting"),
    ],
)
def test_mistakes_are_one_line(bench, arguments, words, tmp_path):
    code, _, err = bench("gradients", "-e", "reinforce", *arguments)
    assert code == 2
    assert words in err
    assert not list(tmp_path.iterdir())
