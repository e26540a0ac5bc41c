"""Three estimators again in NumPy, from their papers, on the same problem and the same noise: gradients must agree.

Logits are leaves, the decoder is quadratic: f(z) = -|sum_l M_l z_l - t|^2 for one-hot rows z_l.
"""

import numpy as np
import pytest
import torch

from estimators import Latent, Problem, load

B, L, V, D = 3, 2, 4, 5
BETA = 0.6
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(B, L, V)).astype(np.float32)
MATRIX = rng.normal(size=(L, V, D)).astype(np.float32)
TARGET = rng.normal(size=(B, D)).astype(np.float32)


class Leaves:
    """A factorised posterior whose logits are free parameters."""

    def __init__(self) -> None:
        self.logits = torch.tensor(LOGITS, requires_grad=True)

    def rollout(self, draw, k):
        params = self.logits.expand(k, B, L, V)
        return draw(params), params

    def replay(self, code):
        return self.logits.expand(code.shape[0], B, L, V)


def reward(code: torch.Tensor) -> torch.Tensor:
    hot = code if code.is_floating_point() else torch.nn.functional.one_hot(code, V).float()
    return -(torch.einsum("kblv,lvd->kbd", hot, torch.tensor(MATRIX)) - torch.tensor(TARGET)).square().sum(-1)


def torch_gradient(spec: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradient with respect to the logits, and the codes (or one-hots) that the decoder was given."""
    posterior, seen = Leaves(), []

    def recording(code):
        seen.append(code.detach())
        return reward(code)

    noise = torch.Generator().manual_seed(seed)
    problem = Problem(posterior, posterior, recording, BETA, 0.0, noise)
    load(spec, Latent(L, V, 8)).loss(problem).loss.backward()
    assert posterior.logits.grad is not None
    return posterior.logits.grad.numpy(), seen[0].numpy()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_reward(hot: np.ndarray) -> np.ndarray:
    return -np.square(np.einsum("kblv,lvd->kbd", hot, MATRIX) - TARGET).sum(-1)


PROBS = softmax(LOGITS)
LOG_PRIOR = -L * np.log(V)


def log_q(hot: np.ndarray) -> np.ndarray:
    return (hot * np.log(PROBS)).sum((-1, -2))


@pytest.mark.parametrize("seed", range(3))
def test_reinforce_leave_one_out(seed):
    found, code = torch_gradient("reinforce:k=5", seed)
    hot = np.eye(V)[code]
    gains = numpy_reward(hot) + BETA * (LOG_PRIOR - log_q(hot))
    others = np.stack([np.delete(gains, k, axis=0).mean(0) for k in range(5)])
    score = hot - PROBS
    expected = -((gains - others)[..., None, None] * score).mean(0) / B
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_policy_search(seed):
    found, code = torch_gradient("daps:k=5,eta=2", seed)
    hot = np.eye(V)[code]
    # q*/q at the samples, normalised over them: q* ~ exp((R + eta log q) / (eta + beta))
    log_ratio = (numpy_reward(hot) + 2 * log_q(hot)) / (2 + BETA) - log_q(hot)
    weights = softmax(log_ratio.T).T
    expected = -(weights[..., None, None] * (hot - PROBS)).sum(0) / B
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_straight_through_gumbel_softmax(seed):
    temperature = 0.8
    found, hot = torch_gradient(f"gumbel_softmax:k=2,temperature={temperature}", seed)
    exponential = torch.empty(2, B, L, V).exponential_(generator=torch.Generator().manual_seed(seed)).numpy()
    perturbed = LOGITS - np.log(exponential)
    np.testing.assert_array_equal(hot.argmax(-1), perturbed.argmax(-1))
    soft = softmax(perturbed / temperature)
    error = np.einsum("kblv,lvd->kbd", hot, MATRIX) - TARGET
    upstream = 2 * np.einsum("kbd,lvd->kblv", error, MATRIX)
    through = soft * (upstream - (soft * upstream).sum(-1, keepdims=True)) / temperature
    # d KL / d logits = pi (log pi + H)
    entropy = -(PROBS * np.log(PROBS)).sum(-1, keepdims=True)
    kl = PROBS * (np.log(PROBS) + entropy)
    expected = (through.mean(0) + BETA * kl) / B
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
