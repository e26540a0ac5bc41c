"""From an ablation's name and --grid to the runs: checked against lists made by hand, mistakes one by one."""

import json
import math
from typing import get_args

import pytest
from helpers.ablation_sweeps import PRESET, config_of, digits_plan
from helpers.configs import DIGITS

import estimators
from bench import ablation
from bench.config import Preset
from bench.sweeps import plan as sweep


def settings(plan: ablation.Plan) -> list[str]:
    """Estimator and overrides of every variant, as text."""
    return [" ".join([v.estimator, *(f"{key}={value}" for key, value in v.overrides.items())]) for v in plan.variants]


def test_several_grids_make_their_product_in_the_order_they_were_typed():
    plan = digits_plan("mine", "k=2,4", "lr=1e-3,1e-2")
    assert settings(plan) == [
        "daps:k=2 lr=1e-3", "daps:k=2 lr=1e-2", "daps:k=4 lr=1e-3", "daps:k=4 lr=1e-2",
    ]  # fmt: skip


def test_a_knob_is_an_argument_of_the_estimator_if_it_has_it_and_else_a_setting_of_the_run():
    plan = digits_plan("mine", "temperature=0.5,2", "beta=0.1", estimators=["gumbel_softmax:hard=false"])
    assert settings(plan) == [
        "gumbel_softmax:hard=false,temperature=0.5 beta=0.1",
        "gumbel_softmax:hard=false,temperature=2 beta=0.1",
    ]


def test_several_keys_take_the_same_value_or_one_each():
    assert settings(digits_plan("mine", "beta,beta_end=0.1,1")) == [
        "daps beta=0.1 beta_end=0.1",
        "daps beta=1 beta_end=1",
    ]
    plan = digits_plan("mine", "k,steps=[2,4x],[4,100]")
    assert settings(plan) == ["daps:k=2 steps=4000", "daps:k=4 steps=100"]


def test_a_value_in_brackets_is_one_value():
    plan = digits_plan("mine", "levels=[8,8],[4,4,4]", estimators=["fsq"])
    assert [config_of(variant).arguments["levels"] for variant in plan.variants] == [(8, 8), (4, 4, 4)]


def test_multiples_are_of_what_the_preset_and_set_give_the_estimator():
    # the digits preset gives daps eta=1, and 1000 steps
    assert settings(digits_plan("mine", "eta=0.1x,10x")) == ["daps:eta=0.1", "daps:eta=10"]
    assert settings(digits_plan("mine", "steps=0.5x", settings={"steps": 60})) == ["daps steps=30"]


def test_settings_that_come_to_the_same_run_once():
    plan = digits_plan("mine", "lr=2e-3,0.002,1x,1e-3")
    assert [config_of(variant).lr for variant in plan.variants] == [2e-3, 1e-3]


def test_every_posterior_and_estimator_has_every_setting():
    plan = digits_plan("mine", "lr=1e-3,1e-2", estimators=["daps", "vq"], posteriors=("factorised", "causal"))
    found = [(v.estimator, v.posterior, v.overrides["lr"]) for v in plan.variants]
    assert found == [(e, p, lr) for p in ("factorised", "causal") for e in ("daps", "vq") for lr in ("1e-3", "1e-2")]


def test_step_size_tries_every_rule_over_its_knob_and_eta_over_five_decades():
    configs = [config_of(variant) for variant in digits_plan("step_size").variants]
    by_rule: dict[str, list] = {}
    for config in configs:
        a = config.arguments
        knob = {"ess": "ess_target", "ess_solve": "ess_target", "kl": "epsilon", "vmpo": "epsilon"}
        rule = str(a["step_size"]) + ("+" if a["per_image"] else "")
        key = {**knob, "lbps": "delta", "fixed": "eta", "greedy": "eta"}[str(a["step_size"])]
        by_rule.setdefault(rule, []).append(a[key])
    assert by_rule == {
        "ess": [0.2, 0.33, 0.5, 0.7, 0.9],
        "ess_solve": [0.2, 0.33, 0.5, 0.7, 0.9],
        "kl": [0.01, 0.03, 0.1, 0.3, 1.0],
        "vmpo": [0.01, 0.03, 0.1, 0.3, 1.0],
        "lbps": [0.1, 0.3, 0.5, 0.7, 0.9],
        "fixed": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
        "greedy": [1.0],
        "ess_solve+": [None],
        "kl+": [None],
        "lbps+": [None],
    }
    rules = get_args(estimators.options(estimators.available()["daps"])["step_size"].annotation)
    assert {str(config.arguments["step_size"]) for config in configs} == set(rules)


def test_targets_that_so_few_samples_cannot_have_are_left_out_of_a_shipped_ablation_with_the_reason():
    plan = digits_plan("step_size")
    (reason,) = plan.left_out
    assert "ess_target=0.1 with k=8" in reason
    assert plan.left_out[reason] == ["daps:step_size=ess,ess_target=0.1", "daps:step_size=ess_solve,ess_target=0.1"]


def test_k_costs_the_same_decoder_evaluations_at_every_k():
    costs = {}
    for variant in digits_plan("k").variants:
        c = config_of(variant)
        costs[c.arguments["k"], c.steps, c.batch_size] = c.steps * c.batch_size * int(str(c.arguments["k"]))
    full, quarter = 1000 * 64 * 8, 250 * 64 * 8
    at_full = {k for (k, _, _), cost in costs.items() if math.isclose(cost, full, rel_tol=0.01)}
    assert at_full == {2, 4, 8, 16, 32, 64}
    assert all(min(abs(cost / full - 1), abs(cost / quarter - 1)) < 0.01 for cost in costs.values())
    assert len(costs) == 6 + 5 + 6


def test_robustness_has_every_rule_under_every_condition_and_no_condition_twice():
    plan = digits_plan("robustness")
    conditions = [origins[0]["condition"] for origins in plan.origins.values()]
    assert {name: conditions.count(name) for name in conditions} == dict.fromkeys(
        [
            "as in the preset", "lr=0.0006", "lr=0.006", "Bernoulli likelihood",
            "reward scale 0.1", "reward scale 1", "reward scale 10",
        ], 22,
    )  # fmt: skip


def test_a_reward_scale_multiplies_likelihood_and_beta_alike():
    plan = digits_plan("robustness", "step_size=greedy")
    found = {
        origins[0]["condition"]: config_of(variant)
        for variant, origins in zip(plan.variants, plan.origins.values(), strict=True)
    }
    for scale in ("0.1", "1", "10"):
        config = found[f"reward scale {scale}"]
        assert config.min_var == pytest.approx(0.1 / float(scale))
        assert config.max_var == pytest.approx(config.min_var, rel=1e-3)
        assert config.beta == pytest.approx(0.3 * float(scale))
        assert config.beta_end == pytest.approx(0.01 * float(scale))


@pytest.mark.parametrize("name", ablation.names())
@pytest.mark.parametrize(("dataset", "shape"), [("cifar10", (3, 32, 32)), ("mnist", (1, 28, 28))])
def test_shipped_ablations_fit_other_datasets(name, dataset, shape):
    found = ablation.find(name, [], ["step_size=greedy"] if name == "robustness" else [])
    plan = ablation.expand(
        found, posteriors=["factorised"], preset=Preset(dataset, "quick"), dataset=dataset, shape=shape, settings={}
    )
    assert len(plan.variants) >= 0.6 * found.settings


def test_the_constant_temperature_stays_constant_where_the_preset_lets_it_decay():
    plan = ablation.expand(
        ablation.find("temperature", ["gumbel_softmax"], []),
        posteriors=["factorised"],
        preset=Preset("cifar10", "standard"),
        dataset="cifar10",
        shape=(3, 32, 32),
        settings={},
    )
    for variant, origins in zip(plan.variants, plan.origins.values(), strict=True):
        if origins[0]["case"] == "constant":
            assert "temperature_end" in variant.estimator


def test_grid_replaces_the_values_that_an_ablation_lists():
    plan = digits_plan("step_size", "ess_target=0.4,0.6")
    targets = [config_of(v).arguments["ess_target"] for v in plan.variants]
    assert [target for target in targets if target is not None] == [0.4, 0.6, 0.4, 0.6]
    assert len(plan.variants) == 35 - 10 + 4


def test_grid_chooses_among_rules_that_have_knobs_of_their_own():
    plan = digits_plan("step_size", "step_size=kl,greedy")
    assert {config_of(v).arguments["step_size"] for v in plan.variants} == {"kl", "greedy"}
    assert len(plan.variants) == 5 + 1 + 1


def test_grid_chooses_among_values_that_other_settings_go_with():
    plan = digits_plan("k", "k=4,16")
    assert sorted((c.arguments["k"], c.steps, c.batch_size) for c in map(config_of, plan.variants)) == [
        (4, 500, 64), (4, 1000, 128), (4, 2000, 64), (16, 125, 64), (16, 500, 64), (16, 1000, 32),
    ]  # fmt: skip


def test_grid_with_a_new_key_multiplies_the_ablation():
    assert len(digits_plan("baseline", "lr=0.3x,3x").variants) == 2 * 16


def test_what_a_typed_value_makes_impossible_of_a_shipped_ablation_is_left_out():
    # two samples have an effective size of at least one half
    plan = digits_plan("step_size", "k=2,8", "step_size=ess")
    found = sorted((c.arguments["k"], c.arguments["ess_target"]) for c in map(config_of, plan.variants))
    assert found == [(2, 0.7), (2, 0.9), (8, 0.2), (8, 0.33), (8, 0.5), (8, 0.7), (8, 0.9)]


def test_a_typed_value_that_fits_nothing_in_a_shipped_ablation_is_named():
    with pytest.raises(ValueError, match=r"k=1\.5 is impossible"):
        digits_plan("step_size", "k=1.5,8", "step_size=ess")


def test_equal_keys_are_replaced_together():
    plan = digits_plan("beta", "beta=0.5,5", estimators=["daps"])
    constant = [
        (config_of(v).beta, config_of(v).beta_end)
        for v, origins in zip(plan.variants, plan.origins.values(), strict=True)
        if origins[0]["case"] == "constant"
    ]
    assert constant == [(0.5, 0.5), (5.0, 5.0)]


MISTAKES = [
    (["stepsize"], "did you mean step_size?"),
    (["nothing_like_it"], "--grid nothing_like_it=1,2,4"),
    (["../k", "k=1,2"], "a part of a folder's"),
    (["mine", "lr"], "not key=VALUES"),
    (["mine", "=1,2"], "not key=VALUES"),
    (["mine", "lr="], "no values"),
    (["mine", "lr= "], "no values"),
    (["mine", "lr=log:1:2"], "log:FIRST:LAST:COUNT"),
    (["mine", "lrr=1,2"], "did you mean lr?"),
    (["mine", "eps=1,2"], "did you mean steps?"),
    (["mine", "seed=1,2"], "nor a setting of a run"),
    (["mine", "lr=1e-3", "lr=1e-2"], "twice"),
    (["mine", "lr,lr=1e-3"], "the same name twice"),
    (["mine", "k,=1"], "name of a setting is missing"),
    (["mine", "k,steps=[2,4x,1]"], "not a value for each of k,steps"),
    (["k", "k=3"], "which has k=2,4,8,16,32,64"),
    (["step_size", "step_size=newton"], "step_size=ess,ess_solve"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_a_mistake_is_one_line_before_any_data_is_read(arguments, says):
    name, *grids = arguments
    with pytest.raises(ValueError) as error:  # noqa: PT011
        ablation.find(name, [], grids)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("estimators", "grids", "says"),
    [
        (["dapz"], ["k=2"], "did you mean daps?"),
        (["vq"], ["k=2,4"], "neither an argument of vq"),
        (["daps", "vq"], ["k=2,4"], "vq has no k to vary"),
        (["daps:k=16"], ["k=2,4"], "k is both in daps:k=16 and varied"),
    ],
)
def test_an_estimator_that_does_not_fit_the_grid_is_named(estimators, grids, says):
    with pytest.raises(ValueError, match=says):
        ablation.find("mine", estimators, grids)


def test_an_estimator_without_anything_to_vary_in_a_shipped_ablation_is_named():
    with pytest.raises(ValueError, match=r"vq has no step_size.* to vary"):
        ablation.find("step_size", ["vq"], [])


@pytest.mark.parametrize(
    ("grids", "says"),
    [
        (["ess_target=0.05,0.5"], "daps:ess_target=0.05 is impossible"),
        (["k=2.5"], "daps:k=2.5 is impossible: .*whole number"),
        (["lr=fast"], "lr=fast.* is impossible"),
        (["length=5"], "length=5.* is impossible: .*do not tile"),
        (["lr=-1"], "lr=-1.* is impossible"),
        (["ess_target=2x"], "ess_target is none here, which has no multiples"),
        (["likelihood=2x"], "has no multiples"),
        (["step_size=newton"], "impossible"),
    ],
)
def test_an_impossible_setting_that_was_typed_is_named(grids, says):
    with pytest.raises(ValueError, match=says) as error:
        digits_plan("mine", *grids)
    assert "\n" not in str(error.value)


def test_an_impossible_corner_of_a_typed_product_is_named_though_its_values_are_possible_elsewhere():
    with pytest.raises(ValueError, match=r"daps:k=2,ess_target=0\.2 is impossible"):
        digits_plan("mine", "k=2,8", "ess_target=0.2,0.7")


def test_what_is_set_is_not_varied_as_well():
    with pytest.raises(ValueError, match=r"lr is both set to 0\.1 and varied"):
        digits_plan("mine", "lr=1,2", settings={"lr": "0.1"})


def test_an_ablation_without_a_possible_setting_says_why():
    with pytest.raises(ValueError, match="none of the settings of ablation temperature is possible"):
        digits_plan("temperature", settings={"length": "5"}, estimators=["reinmax"])


def test_more_than_2000_runs_need_yes():
    grids = ["lr=log:1e-4:1e-2:26", "beta=linear:0.1:1:26"]
    with pytest.raises(ValueError, match=r"2028 runs \(676 settings, 3 runs each\).*--yes"):
        ablation.find("mine", [], grids, runs_each=3)
    assert ablation.find("mine", [], grids, runs_each=3, yes=True).settings == 676
    assert ablation.find("mine", [], grids, runs_each=2).settings == 676


def test_a_huge_grid_is_refused_at_once():
    with pytest.raises(ValueError, match="--yes"):
        ablation.find("mine", [], [f"{key}=log:1e-3:1:200" for key in ("lr", "beta", "eta", "weight_decay")])


def test_the_record_says_where_settings_come_from_and_keeps_what_was_there(tmp_path):
    digits_plan("k", "k=8").write_record(tmp_path)
    first = json.loads((tmp_path / "ablation.json").read_text())
    assert first["name"] == "k"
    shared = [origins for origins in first["settings"].values() if len(origins) == 2]
    assert [[origin["case"] for origin in origins] for origins in shared] == [["fewer steps", "fewer images per step"]]
    digits_plan("k").write_record(tmp_path)
    both = json.loads((tmp_path / "ablation.json").read_text())["settings"]
    assert len(both) == 17
    assert first["settings"].items() <= both.items()


def test_every_network_is_built_once(monkeypatch):
    built = []
    monkeypatch.setattr("bench.sweeps.plan._fitting", set())
    monkeypatch.setattr("bench.sweeps.plan.build", lambda config, *_: built.append(config))
    plan = digits_plan("mine", "k=2,4,8")
    runs = sweep.plan(
        plan.variants,
        range(3),
        preset=PRESET,
        device="cpu",
        dataset=DIGITS,
        metrics=("psnr",),
        absent={},
        final_split="validation",
    ).runs
    assert (len(built), len(runs)) == (3, 9)


def test_every_shipped_ablation_has_a_line_for_people():
    lines = ablation.lines()
    assert [line.split()[0] for line in lines] == ablation.names()
    assert {"step_size", "robustness", "k", "beta", "temperature", "bits", "baseline"} <= set(ablation.names())
