"""python -m bench.conformance NAME[:key=value,...] ...: hold estimators to what they claim."""

import sys
from pathlib import Path

import pytest
import torch

import estimators


def main(specs: list[str]) -> int:
    """Exit status of pytest; 2 for an estimator that is not there."""
    try:
        for spec in specs:
            estimators.parse(spec)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    # the problems are tiny: more threads only wait for each other
    torch.set_num_threads(1)
    chosen = [f"--estimator={spec}" for spec in specs]
    # by path, not by --pyargs: only then does pytest read the conftest that adds the option in time
    return pytest.main([str(Path(__file__).parent), "-q", "-p", "no:cacheprovider", *chosen])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
