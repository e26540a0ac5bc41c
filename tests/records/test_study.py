"""A folder as an ablation: what its settings are called, and which are compared."""

from helpers.ablation_sweeps import add_run, config_of, digits_plan, make, step_size_score

from bench.records.study import read_study
from bench.stats.answers import headline
from bench.stats.bands import knobs


def test_a_sweep_made_by_hand_is_drawn_too_its_runs_told_apart_by_what_differs(tmp_path):
    plan = digits_plan("mine", "k=4,8", "lr=1e-3,1e-2", estimators=["daps", "reinforce"])
    folder = make(tmp_path / "a", plan, lambda config: 16.0 + config.lr, seeds=2)
    (folder / "ablation.json").unlink()
    found = read_study(folder)
    names = ("daps", "daps:k=4", "reinforce", "reinforce:k=4")
    assert {setting.label for setting in found.settings} == {f"{n}, lr={lr}" for n in names for lr in ("0.001", "0.01")}
    assert found.families == ["daps", "reinforce"]
    assert set(knobs(found, found.conditions[0])) == {"k", "lr"}
    assert headline(found)[0].startswith("Each estimator at the best of its settings: the winner is ")


def test_likelihoods_are_never_compared_even_if_nobody_named_conditions(tmp_path):
    plan = digits_plan("mine", "likelihood=gaussian,bernoulli", "lr=1e-3,1e-2")
    folder = make(tmp_path / "a", plan, lambda config: 10.0 if config.likelihood == "gaussian" else 20.0)
    (folder / "ablation.json").unlink()
    assert {one.condition for one in read_study(folder).conditions} == {"gaussian likelihood", "bernoulli likelihood"}


def test_the_same_folder_with_more_steps_keeps_settings_apart(tmp_path):
    folder = tmp_path / "a"
    make(folder, digits_plan("mine", "lr=1e-3,1e-2"), lambda _: 16.0)
    make(folder, digits_plan("mine", "lr=1e-3,1e-2", settings={"steps": 100}), lambda _: 14.0)
    labels = [setting.label for setting in read_study(folder).settings]
    assert sorted(labels) == [
        "lr=0.001, steps=100",
        "lr=0.001, steps=1000",
        "lr=0.01, steps=100",
        "lr=0.01, steps=1000",
    ]


def test_settings_of_several_ablations_in_one_folder_are_told_apart(tmp_path):
    folder = tmp_path / "a"
    make(folder, digits_plan("mine", "lr=1e-3", estimators=["daps:k=4", "daps:k=8"]), lambda _: 16.0)
    make(folder, digits_plan("mine", "k=2,16"), lambda _: 14.0)
    labels = {setting.label for setting in read_study(folder).settings}
    assert labels == {"lr=0.001, k=4", "lr=0.001, k=8", "k=2", "k=16"}


def test_the_knobs_are_what_differs_between_the_runs(tmp_path):
    folder = make(tmp_path / "a", digits_plan("step_size"), step_size_score, seeds=1)
    assert set(read_study(folder).knobs) == {"step_size", "ess_target", "epsilon", "delta", "eta", "per_image"}


def test_a_run_on_test_images_in_the_folder_changes_nothing_that_is_chosen(tmp_path):
    plan = digits_plan("mine", "k=4,8")
    folder = make(tmp_path / "a", plan, lambda config: 16.0 + config.arguments["k"] % 8)
    for path in folder.glob("runs/*/config.json"):
        path.write_text(path.read_text().replace('"final_split": "test"', '"final_split": "validation"'))
    before = read_study(folder).conditions[0]
    other = config_of(plan.variants[0], 7).model_copy(update={"final_split": "test", "lr": 0.5})
    add_run(folder, other, 99.0)
    after = read_study(folder).conditions[0]
    assert (after.split, after.means) == ("validation", before.means)
    assert [method.name for method in after.methods] == [method.name for method in before.methods]
