"""What every estimator is held to, for those of this project and for plug-ins:

    python -m bench.conformance my_estimator:k=4

runs the suite on one, with both posteriors where it allows them; without a name, on all that are registered.
Claims are tested as they are declared: `unbiased = True` means the exact gradient within sampling error.
"""
