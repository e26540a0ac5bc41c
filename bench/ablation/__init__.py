"""`bench ablate`: one command that varies the knobs of an estimator or of training, and says which value is best.

`find` an ablation, shipped or new; `expand` it into the runs of a sweep; `write_page` of what they left.
"""

from pathlib import Path

from bench.ablation.ablations import MOST_RUNS, Ablation, find, lines, names
from bench.ablation.plan import Plan, expand

__all__ = ["MOST_RUNS", "Ablation", "Plan", "expand", "find", "lines", "names", "write_page"]


def write_page(folder: Path) -> tuple[list[str], list[Path]]:
    """Draw the ablation in `folder`, which `bench ablate` or `bench run` made: figures/*.png, settings.csv and
    ablation.html with all of it. Returns the answer in sentences, and the paths, the page first.

    Raises ValueError if the folder is no sweep, or nothing in it has ended.
    """
    from bench.ablation import _page

    return _page.write_page(folder)
