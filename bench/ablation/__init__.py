"""`bench ablate`: one command that varies the knobs of an estimator or of training, and says which value is best.

`find` an ablation, shipped or new; `expand` it into the runs of a sweep. `bench.pages.write_study` says what they left.
"""

from bench.ablation.ablations import MOST_RUNS, Ablation, find, lines, names
from bench.ablation.plan import Plan, expand

__all__ = ["MOST_RUNS", "Ablation", "Plan", "expand", "find", "lines", "names"]
