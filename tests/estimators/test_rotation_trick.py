"""The rotation trick of vq against NumPy and cases worked by hand."""

import itertools

import numpy as np
import pytest
import torch
from helpers.quantizer_cases import PROBLEM, normal
from helpers.toys import gradient, toy_for
from torch import Tensor, nn

import estimators
from estimators import Latent, Problem, load
from estimators._quantizer import straight_through
from estimators.vq import rotate


def rotation_matrix(e: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The rotation in the plane of e and q that turns e's direction to q's, from an orthonormal basis of the plane."""
    u, target = e / np.linalg.norm(e), q / np.linalg.norm(q)
    cosine = u @ target
    v = target - cosine * u
    sine = np.linalg.norm(v)
    v /= sine
    turn = (cosine - 1) * (np.outer(u, u) + np.outer(v, v)) + sine * (np.outer(v, u) - np.outer(u, v))
    return np.eye(len(e)) + turn


def jacobian(through, e: Tensor, q: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(lambda vector: through(vector, q), e)


def is_the_rotation(through) -> bool:
    agree = []
    for width, seed in itertools.product((2, 3, 8), range(4)):
        e, q = normal(2, width, seed=seed).double()
        matrix = rotation_matrix(e.numpy(), q.numpy())
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(width), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        expected = torch.tensor(matrix) * q.norm() / e.norm()
        torch.testing.assert_close(expected @ e, q)
        agree.append(torch.allclose(jacobian(through, e, q), expected, rtol=1e-9, atol=1e-12))
    return all(agree)


def without_scale(e, q):
    return straight_through(rotate(e, q) * e.detach().norm() / q.norm(), q)


def backwards(e, q):
    return straight_through(torch.linalg.vecdot(jacobian(rotate, e.detach(), q).T, e), q)


def reflection_only(e, q):
    a, b = (nn.functional.normalize(x.detach(), dim=-1) for x in (e, q))
    w = nn.functional.normalize(a - b, dim=-1)
    return straight_through(q.norm() / e.detach().norm() * (e - 2 * w * (w @ e)), q)


def attached(e, q):
    """The gradient of the rotation's own angle and scale as well."""
    a, b = (nn.functional.normalize(x, dim=-1) for x in (e, q))
    w = nn.functional.normalize(a + b, dim=-1)
    return q.norm() / e.norm() * (e - 2 * w * (w @ e) + 2 * b * (a @ e))


def test_rotation_hands_back_the_gradient_through_the_rotation_and_scaling_from_vector_to_code():
    assert is_the_rotation(rotate)


@pytest.mark.parametrize("broken", [straight_through, without_scale, backwards, reflection_only, attached])
def test_the_rotation_check_rejects_broken_copies(broken):
    assert not is_the_rotation(broken)


def test_rotated_codes_are_the_codes_to_the_last_bit():
    for scale in (1e-8, 1.0, 1e8):
        e, q = normal(2, 64, 8)
        assert torch.equal(rotate(e * scale, q), q)


def test_rotation_keeps_the_angle_between_gradient_and_vector():
    e, q, upstream = normal(3, 64, 8).double()
    e.requires_grad_()
    rotate(e, q).backward(upstream)
    before = torch.cosine_similarity(upstream, q, dim=-1)
    torch.testing.assert_close(torch.cosine_similarity(e.grad, e.detach(), dim=-1), before)
    torch.testing.assert_close(e.grad.norm(dim=-1), upstream.norm(dim=-1) * q.norm(dim=-1) / e.detach().norm(dim=-1))


def test_rotation_of_parallel_vectors_only_scales():
    e = normal(5).double()
    torch.testing.assert_close(jacobian(rotate, e, 3 * e), 3 * torch.eye(5).double())


def test_opposite_vectors_are_reflected_and_nearly_opposite_ones_stay_bounded():
    e = torch.tensor([3.0, 0.0, 0.0])
    torch.testing.assert_close(jacobian(rotate, e, -2 * e), 2 * torch.diag(torch.tensor([-1.0, 1.0, 1.0])))
    for seed in range(100):
        e = normal(8, seed=seed)
        assert torch.linalg.matrix_norm(jacobian(rotate, e, -2 * e), 2) < 2 * 1.1


def test_vectors_without_direction_get_a_finite_gradient():
    q = normal(4)
    zero = torch.zeros(4)
    torch.testing.assert_close(jacobian(rotate, zero, q), torch.eye(4))
    torch.testing.assert_close(jacobian(rotate, q * 1e-30, q), torch.eye(4))
    assert torch.equal(jacobian(rotate, q, zero), torch.zeros(4, 4))
    assert torch.equal(jacobian(rotate, zero, zero), torch.zeros(4, 4))


@pytest.mark.parametrize("codebook", ["gradient", "ema"])
def test_vq_with_rotation_changes_the_encoders_gradient_and_nothing_else(codebook):
    vectors, upstream = normal(1, 5, 2, 8, seed=1), normal(1, 5, 2, 8, seed=2)
    found = {}
    for kind in ("straight_through", "rotation"):
        estimator = load(f"vq:codebook={codebook},gradient={kind}", Latent(2, 6, 8))
        e = vectors.clone().requires_grad_()
        estimator.quantise(e * 1, Problem(**{**vars(PROBLEM), "noise": torch.Generator().manual_seed(0)}))
        with torch.no_grad():
            estimator.codebook.copy_(normal(6, 8, seed=3))
        state = {name: value.clone() for name, value in estimator.state_dict().items()}
        code, loss, _ = estimator.quantise(e, PROBLEM)
        ((code * upstream).sum() + loss).backward()
        chosen = state["codebook"][torch.cdist(vectors.flatten(0, -2), state["codebook"]).argmin(-1)]
        assert torch.equal(code.detach().flatten(0, -2), chosen)
        found[kind] = e.grad, estimator.codebook.grad, estimator.state_dict()
    e, q, g = (x.flatten(0, -2).double().numpy() for x in (vectors, code.detach(), upstream))
    turned = [
        np.linalg.norm(b) / np.linalg.norm(a) * rotation_matrix(a, b).T @ c for a, b, c in zip(e, q, g, strict=True)
    ]
    expected = torch.tensor(np.stack(turned) + 0.25 * 2 * (e - q) / 5).float().reshape(vectors.shape)
    torch.testing.assert_close(found["rotation"][0], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found["rotation"][0], found["straight_through"][0])
    torch.testing.assert_close(found["rotation"][1:], found["straight_through"][1:], rtol=0, atol=0)


def test_rotation_leaves_the_decoders_gradient_alone():
    def of(spec: str) -> Tensor:
        estimator, case = toy_for(spec, "factorised")
        noise = torch.Generator().manual_seed(0)
        return gradient(lambda: estimator.loss(case.problem(b=8, noise=noise)).loss, case.decoder)

    assert torch.equal(of("vq"), of("vq:gradient=rotation"))


def test_straight_through_stays_the_default_of_vq():
    assert str(estimators.parse("vq:gradient=straight_through")) == "vq"
    assert str(estimators.parse("vq:gradient=rotation")) == "vq:gradient=rotation"
