"""Training: one optimiser step, the loop around it, and one run from its job to its end."""
