import math

import pytest
import torch
from torch import distributions

import models
from models.encoder import Encoder, patch_grid


def autoencoder(kind: str = "factorised", *, channels: int = 3, side: int = 8, length: int = 4, vocab: int = 5):
    width = 16
    likelihood = models.Gaussian(torch.full((channels,), 120.0), torch.full((channels,), 60.0), 1e-3, 1e3)
    encoder = Encoder((channels, side, side), length, width, layers=1, heads=2, mlp_ratio=2)
    if kind == "factorised":
        posterior = models.Factorised(width, vocab)
    else:
        posterior = models.Causal(length, vocab, width, layers=2, heads=2, mlp_ratio=2)
    decoder = models.ConvDecoder(
        models.CodeEmbedding(width, vocab=vocab), encoder.grid, width, 16, (2 * channels, side, side)
    )
    model = models.Autoencoder(encoder, posterior, decoder, likelihood)
    models.initialise(model, 0)
    return model


def code(length: int = 4, vocab: int = 5, k: int = 3, b: int = 2) -> torch.Tensor:
    return torch.randint(vocab, (k, b, length), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("length", "height", "width", "grid"),
    [(64, 32, 32, (8, 8)), (16, 8, 8, (4, 4)), (8, 28, 28, (2, 4)), (1, 7, 5, (1, 1)), (96, 48, 32, (12, 8))],
)
def test_patches_tile_the_image_as_squarely_as_they_can(length, height, width, grid):
    assert math.prod(patch_grid(length, height, width)) == length
    assert sorted(patch_grid(length, height, width)) == sorted(grid)


def test_a_length_that_does_not_tile_the_image_is_refused_with_the_nearest_that_does():
    with pytest.raises(
        ValueError, match="length=63 patches do not tile an image of 32 x 32 pixels; try --set length=64"
    ):
        patch_grid(63, 32, 32)


def test_each_patch_reaches_its_own_position():
    encoder = Encoder((2, 6, 4), length=6, width=8, layers=1, heads=2, mlp_ratio=1)
    assert encoder.grid == (3, 2)
    seen = []
    encoder.patch.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    image = torch.arange(2 * 6 * 4).reshape(1, 2, 6, 4).float()
    encoder(image)
    for row in range(3):
        for column in range(2):
            patch = image[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(seen[0][0, 2 * row + column], patch.flatten())


def test_each_code_paints_its_own_patch_most():
    model = autoencoder(side=16, length=16)
    with torch.no_grad():  # nothing but the upsampling may move things: residual branches off, 3x3 reduced to 1x1
        first, one, two, *_ = model.decoder.body
        first.weight[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
        for block in (one, two):
            block.body[-1].weight.zero_()
    base = torch.randint(5, (200, 1, 16), generator=torch.Generator().manual_seed(0))
    for position in (0, 3, 6, 12, 15):
        changed = base.clone()
        changed[..., position] = (changed[..., position] + 1) % 5
        difference = (model.decode(changed) - model.decode(base)).abs().mean((0, 1, 2))
        assert difference.unflatten(0, (4, 4)).unflatten(2, (4, 4)).sum((1, 3)).argmax() == position


@pytest.mark.parametrize("kind", ["factorised", "causal"])
def test_images_of_a_batch_do_not_see_each_other(kind):
    model = autoencoder(kind)
    x, codes = torch.randn(4, 3, 8, 8), code(b=4)
    alone = [slice(i, i + 1) for i in range(4)]
    together = model.encode(x)[0].replay(codes)
    apart = torch.cat([model.encode(x[i])[0].replay(codes[:, i]) for i in alone], 1)
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)
    apart = torch.cat([model.log_lik(codes[:, i], x[i]) for i in alone], 1)
    torch.testing.assert_close(model.log_lik(codes, x), apart, rtol=1e-5, atol=1e-4)


def test_causal_logits_depend_on_earlier_codes_only():
    posterior, _ = autoencoder("causal").encode(torch.randn(2, 3, 8, 8))
    codes = code()
    base = posterior.replay(codes)
    for position in range(4):
        changed = codes.clone()
        changed[..., position] = (changed[..., position] + 1) % 5
        moved = (posterior.replay(changed) - base).abs().amax((0, 1, 3))
        assert moved[: position + 1].max() == 0
        if position < 3:
            assert moved[position + 1 :].min() > 1e-6


def test_the_begin_token_is_no_code():
    model = autoencoder("causal")
    x = torch.randn(2, 3, 8, 8)
    before = model.encode(x)[0].replay(code())
    with torch.no_grad():
        model.posterior.embedding.table.weight.normal_(generator=torch.Generator().manual_seed(2))
    after = model.encode(x)[0].replay(code())
    assert torch.equal(before[:, :, 0], after[:, :, 0])
    assert not torch.allclose(before[:, :, 1], after[:, :, 1])


def test_cached_sampling_gives_the_logits_of_one_parallel_pass_with_and_without_gradients():
    posterior, _ = autoencoder("causal").encode(torch.randn(2, 3, 8, 8))
    noise = torch.Generator().manual_seed(1)

    def draw(params):
        return (
            torch.distributions.Categorical(logits=params)
            .probs.cumsum(-1)
            .gt(torch.rand(*params.shape[:-1], 1, generator=noise))
            .int()
            .argmax(-1)
        )

    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            codes, rolled = posterior.rollout(draw, 6)
            torch.testing.assert_close(rolled, posterior.replay(codes), rtol=0, atol=1e-5)


def test_relaxed_one_hots_embed_like_their_indices():
    model = autoencoder("causal")
    codes = code()
    hot = torch.nn.functional.one_hot(codes, 5).float()
    torch.testing.assert_close(model.decode(hot), model.decode(codes))
    posterior, _ = model.encode(torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(posterior.replay(hot), posterior.replay(codes))


@pytest.mark.parametrize("variance", ["smooth", "clipped"])
def test_gaussian_agrees_with_torch_distributions_and_bounds_the_variance(variance):
    mean, std = torch.tensor([100.0, 50.0]), torch.tensor([20.0, 30.0])
    likelihood = models.Gaussian(mean, std, 0.1, 4.0, variance)
    image = torch.randint(0, 256, (3, 2, 4, 4), dtype=torch.uint8)
    x = likelihood.data(image)
    torch.testing.assert_close(x * std[:, None, None] + mean[:, None, None], image.float())
    params = torch.randn(5, 3, 4, 4, 4) * 3
    free = params[:, :, 2:]
    variances = {"clipped": free.exp().clamp(0.1, 4.0), "smooth": 0.1 + 1 / (1 / 3.9 + (-free).exp())}
    scale = variances[variance].sqrt()
    expected = distributions.Normal(params[:, :, :2], scale).log_prob(x).sum((-3, -2, -1))
    torch.testing.assert_close(likelihood.log_prob(params, x), expected, rtol=1e-5, atol=1e-4)


def slope_of(likelihood: models.Gaussian, error: float, free: float) -> float:
    """Of log p(x|z) of one pixel whose mean is off by `error`, in what its variance is made of."""
    params = torch.tensor([0.0, free]).reshape(1, 2, 1, 1).requires_grad_()
    likelihood.log_prob(params, torch.full((1, 1, 1, 1), error)).sum().backward()
    assert params.grad is not None
    return params.grad[0, 1].item()


@pytest.mark.parametrize("depth", [0.5, 2.0, 6.0, 30.0])
def test_a_pixel_under_the_floor_can_come_back_and_its_gradient_is_that_of_the_likelihood(depth):
    one = torch.ones(1)
    smooth, clipped = (models.Gaussian(0 * one, one, 0.1, 1e3, variance) for variance in ("smooth", "clipped"))
    under = math.log(0.1) - depth
    # too wrong for the smallest variance, and right enough for it
    assert slope_of(smooth, 1.0, under) > 0 > slope_of(smooth, 0.1, under)
    assert slope_of(clipped, 1.0, under) == slope_of(clipped, 0.1, under) == 0
    variance = 0.1 + math.exp(under)
    expected = 0.5 * (1 / variance - 1) / variance * math.exp(under)
    assert slope_of(smooth, 1.0, under) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("variance", ["smooth", "clipped"])
def test_the_variance_stays_within_its_bounds_however_large_its_parameter(variance):
    one = torch.ones(1)
    likelihood = models.Gaussian(0 * one, one, 1e-3, 1e3, variance)
    for free, bound in ((-1e4, 1e-3), (1e4, 1e3)):
        params = torch.tensor([0.0, free]).reshape(1, 2, 1, 1).requires_grad_()
        found = likelihood.log_prob(params, torch.zeros(1, 1, 1, 1))
        found.sum().backward()
        assert found.item() == pytest.approx(-0.5 * math.log(2 * math.pi * bound), rel=1e-4)
        assert params.grad is not None
        assert params.grad.isfinite().all()


def test_bernoulli_agrees_with_torch_distributions_on_binarised_pixels():
    likelihood = models.Bernoulli()
    image = torch.tensor([[[[0, 127], [128, 255]]]], dtype=torch.uint8)
    assert likelihood.data(image).flatten().tolist() == [0, 0, 1, 1]
    assert likelihood.reference(image).flatten().tolist() == [0, 0, 255, 255]
    params = torch.randn(4, 1, 1, 2, 2) * 30
    expected = distributions.Bernoulli(logits=params).log_prob(likelihood.data(image)).sum((-3, -2, -1))
    torch.testing.assert_close(likelihood.log_prob(params, likelihood.data(image)), expected, rtol=1e-5, atol=1e-4)


def test_images_are_clipped_and_rounded_to_8_bits():
    likelihood = models.Gaussian(torch.tensor([100.0]), torch.tensor([10.0]), 0.1, 4.0)
    params = torch.tensor([-100.0, 0.0, 0.26, 100.0]).reshape(1, 1, 2, 2)
    image = likelihood.image(torch.cat([params, params], 1))
    assert image.dtype == torch.uint8
    assert image.flatten().tolist() == [0, 100, 103, 255]


def test_a_grid_the_convolutions_cannot_fill_is_refused():
    with pytest.raises(ValueError, match=r"patches of 3 x 3; .* try another --set length=..., or --set decoder=mlp"):
        models.ConvDecoder(models.CodeEmbedding(8, vocab=4), (2, 2), 8, 8, (2, 6, 6))


def test_weights_depend_on_seed_and_layer_name_alone():
    first, other = autoencoder(vocab=5), autoencoder(vocab=9)
    shared = [name for name in first.state_dict() if name.startswith(("encoder", "decoder.body"))]
    for name in shared:
        assert torch.equal(first.state_dict()[name], other.state_dict()[name]), name
    models.initialise(other, 1)
    assert not torch.equal(first.encoder.patch.weight, other.encoder.patch.weight)


@pytest.mark.parametrize(
    ("layer", "variance"),
    [
        (torch.nn.Linear(200, 300), 1.0),
        (torch.nn.Conv2d(30, 40, 3), 1.0),
        (torch.nn.ConvTranspose2d(40, 30, 3), 1.0),
        (torch.nn.ConvTranspose2d(40, 30, 4, stride=2, padding=1), 0.25),
    ],
    ids=["linear", "conv", "transposed", "upsampling"],
)
def test_layers_start_with_outputs_as_large_as_their_inputs_but_for_upsampling(layer, variance):
    models.initialise(layer, 0)
    inputs = (200,) if isinstance(layer, torch.nn.Linear) else (layer.in_channels, 16, 16)
    x = torch.randn(64, *inputs, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = layer(x)
    inside = y[..., 4:-4, 4:-4] if y.ndim == 4 else y
    assert inside.var().item() == pytest.approx(variance, rel=0.05)
    assert not layer.bias.any()
