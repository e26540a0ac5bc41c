"""Grids of runs: planned and checked whole, done by an executor, looked at while they run."""
