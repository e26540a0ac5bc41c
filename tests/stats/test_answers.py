"""What is said of an ablation, from runs whose results are known."""

import re

from helpers.ablation_sweeps import add_run, config_of, digits_plan, make

from bench import records
from bench.records.study import read_study
from bench.stats.answers import answers


def test_a_lead_larger_than_the_noise_of_three_seeds_is_said_to_be_so(tmp_path):
    def clear(config):
        return 16.0 + (config.lr > 1e-3)

    found = read_study(make(tmp_path / "a", digits_plan("mine", "lr=1e-3,1e-2"), clear, seeds=3, noise=0.01))
    (answer,) = answers(found, "psnr")
    assert answer.between_families == ""
    assert "The winner is lr=0.01 with 1" in answer.between_settings
    assert re.search(
        r"its lead of (0\.9|1\.0)\d+ dB over lr=0\.001 is larger than the seed noise", answer.between_settings
    )


def test_a_lead_within_the_noise_of_three_seeds_is_said_to_be_so(tmp_path):
    found = read_study(make(tmp_path / "a", digits_plan("mine", "lr=1e-3,1e-2"), lambda _: 16.0, seeds=3, noise=0.5))
    (answer,) = answers(found, "psnr")
    assert "is not larger than the seed noise" in answer.between_settings


def test_the_noise_sentence_counts_what_is_close_to_the_winner(tmp_path):
    plan = digits_plan("mine", "lr=1e-4,1e-3,1e-2,1e-1")
    psnr = {1e-4: (17.0, 17.2), 1e-3: (16.95, 17.19), 1e-2: (15.0, 15.4), 1e-1: (14.0, 14.2)}
    records.open_sweep(tmp_path / "a")
    plan.write_record(tmp_path / "a")
    for variant in plan.variants:
        for seed in range(2):
            config = config_of(variant, seed)
            add_run(tmp_path / "a", config, psnr[config.lr][seed])
    (answer,) = answers(read_study(tmp_path / "a"), "psnr")
    # differences to the winner per seed: (0.05, 0.01), (2, 1.8), (3, 3); their standard errors: 0.02, 0.1, 0
    assert answer.noise == (
        "A setting's difference to the winner has a standard error of 0.020 dB over the seeds (median of 3 settings); "
        "1 of 3 are less than two of these behind it."
    )
