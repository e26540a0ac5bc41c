"""`bench plot`: figures again from the records alone."""

from pathlib import Path

from helpers.figure_sweeps import lonely
from helpers.synthetic_sweep import add_run, new_sweep


def test_the_command_writes_those_of_a_paper_beside_the_others(bench, tmp_path):
    lonely(tmp_path / "sweep")
    code, out, err = bench("plot", "sweep", "--style", "paper")
    assert (code, err) == (0, "")
    listed = [Path(line.strip()) for line in out.splitlines()]
    assert all(path.is_file() and path.parent == Path("sweep/figures/paper") for path in listed)
    assert Path("sweep/figures/paper/final.pdf") in listed
    assert not list(Path("sweep/figures").glob("*.png"))
    code, out, _ = bench("plot", "sweep")
    assert code == 0
    assert Path("sweep/figures/final.png").is_file()
    assert "sweep/figures/final.png" in out


def test_a_sweep_without_a_finished_run_says_so(bench, tmp_path):
    folder = new_sweep(tmp_path / "sweep")
    for seed in range(2):
        add_run(folder, "daps", seed=seed, state="failed")
        add_run(folder, "vq", seed=seed, state="diverged")
    code, out, err = bench("plot", "sweep", "--style", "paper")
    assert (code, out) == (bench("plot", "sweep")[0], "")
    assert "no run in sweep has finished" in err
    assert "bench status sweep" in err
    assert not (folder / "figures" / "paper").exists()


def test_mistakes_are_one_line(bench, tmp_path):
    for style in ("paper", "screen"):
        code, _, err = bench("plot", "nowhere", "--style", style)
        assert code == 2
        assert "is not a sweep" in err
    folder = lonely(tmp_path / "sweep")
    (folder / "figures").write_text("in the way")
    for style, place in (("paper", "sweep/figures/paper"), ("screen", "sweep/figures")):
        code, _, err = bench("plot", "sweep", "--style", style)
        assert code == 2
        assert f"{place} cannot be written" in err
        assert len(err.splitlines()) == 1
    assert bench("plot", "sweep", "--style", "poster")[0] == 2
