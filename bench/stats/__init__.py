"""Statistics over paired seeds, scipy under it. First `finals(sweep)` or `at_cost(sweep, axis)`, which make one value
per run and metric of what `bench.records.read` gives; then `summary`, `paired_differences`, ..., which make tidy
tables of those.

What is computed, how, and how often the intervals cover: docs/statistics.md.
"""

from bench.records.sweep import AXES
from bench.stats.answers import Lead, costs, in_words, lead, mid_schedule
from bench.stats.compute_matched import (
    at_cost,
    cost_of,
    cost_to_target,
    pareto,
    rate_distortion,
    reachable_target,
)
from bench.stats.intervals import Interval, fraction_interval, improvement_interval, interval
from bench.stats.scores import (
    holm,
    iqm,
    paired_t_test,
    pareto_front,
    performance_profile,
    probability_of_improvement,
    sign_flip_test,
)
from bench.stats.summaries import ALL, moved, paired_differences, performance_profiles, summary
from bench.stats.values import finals

__all__ = [
    "ALL", "AXES", "Interval", "Lead", "at_cost", "cost_of", "cost_to_target", "costs", "finals",
    "fraction_interval", "holm", "improvement_interval", "in_words", "interval", "iqm", "lead", "mid_schedule", "moved",
    "paired_differences", "paired_t_test", "pareto", "pareto_front", "performance_profile", "performance_profiles",
    "probability_of_improvement", "rate_distortion", "reachable_target", "sign_flip_test", "summary",
]  # fmt: skip
