"""What holds for every quantizer that has a loss of its own."""

import pytest
import torch
from helpers.quantizer_cases import PROBLEM, normal
from torch import Tensor

from estimators import Latent, load


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("lfq:commitment=-1", "try commitment=0.25"),
        ("lfq:entropy=-1", "try entropy=0.1"),
        ("lfq:temperature=0", "try temperature=1"),
        ("bsq:temperature=-1", "try temperature=1"),
        ("simvq:commitment=-1", "try commitment=0.25"),
        ("vq:gradient=rotate", "did you mean rotation"),
    ],
)
def test_arguments_that_fit_nothing_are_refused_with_a_remedy(spec, words):
    with pytest.raises(ValueError, match=words):
        load(spec, Latent(2, 8, 8))


@pytest.mark.parametrize("spec", ["vq:gradient=rotation", "simvq", "lfq", "bsq"])
def test_repeating_the_images_leaves_the_loss_and_repeating_the_positions_doubles_the_quantizers_part(spec):
    vectors = normal(1, 4, 2, {"lfq": 3, "bsq": 3}.get(spec, 8))

    def own(vectors: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            estimator = load(spec, Latent(vectors.shape[2], 8, 8))
        if spec.startswith("vq"):
            estimator._revive(normal(8, 8, seed=5), torch.Generator().manual_seed(0))
        return estimator.quantise(vectors, PROBLEM)[1]

    torch.testing.assert_close(own(vectors.repeat(1, 3, 1, 1)), own(vectors))
    torch.testing.assert_close(own(vectors.repeat(1, 1, 2, 1)), 2 * own(vectors))
