"""The tiny problems of the conformance suite, under a short name."""

from bench.conformance.toys import Toy, all_codes, exact_objective, gradient, log_q, toy, toy_for

__all__ = ["Toy", "all_codes", "exact_objective", "gradient", "log_q", "toy", "toy_for"]
