"""`bench tune`: for every estimator the same number of trials from a stated search space, the best chosen on validation
images and confirmed on fresh seeds.

`plan` makes the runs of the trials, `confirmations` those of default and best, `write` leaves tuned.yaml. What they
left is read by `bench.records`.
"""

from bench.tuning.plan import Plan, check_metric, confirmations, plan
from bench.tuning.preset import FILE, write
from bench.tuning.space import SHARED, in_words

__all__ = ["FILE", "SHARED", "Plan", "check_metric", "confirmations", "in_words", "plan", "write"]
