"""The gradient lab: bias and variance of estimators on toys, and on the checkpoints of runs."""
