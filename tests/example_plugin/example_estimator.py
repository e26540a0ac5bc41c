"""A complete plug-in: one class, registered in pyproject.toml under the entry-point group `bench.estimators`."""

from estimators import Latent, Problem, Relaxation, one_hot


class ArgmaxStraightThrough(Relaxation):
    """Straight-through around the most likely code (an example). Biased, one decode per step."""

    def __init__(self, latent: Latent, *, temperature: float = 1.0) -> None:
        super().__init__(latent, k=1)
        self.temperature = temperature

    def relax(self, logits, problem: Problem):
        soft = (logits / self.temperature).softmax(-1)
        return one_hot(soft.argmax(-1), soft.shape[-1]) + (soft - soft.detach())
