"""Activation maximization against closed forms, planted patterns and identities."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ImagesError, ModelError, UsageError
from deeptroubles.methods.units.activation_maximization import Penalty, activation_maximization
from deeptroubles.methods.units.shared.activations import unit_activation
from deeptroubles.methods.units.shared.ascent import is_converged
from deeptroubles.methods.units.shared.objectives import dot_times_cosine, gram_similarity
from deeptroubles.methods.units.shared.parameterizations import Spectrum, data_spectrum, parameterization_of
from deeptroubles.methods.units.shared.redirected_relu import RedirectedReLU
from deeptroubles.methods.units.shared.transformations import random_views, view
from deeptroubles.network import LOGITS, open_network
from tests.networks import Plain, Shared, Untraceable, formula

SIZE = (20, 24)
PLAIN = {"decorrelate": False, "transform": False, "learning_rate": 0.05}


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def weights(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(w):
    """Class 0 is the scalar product with w, class 1 its negative."""
    return formula(lambda x: torch.stack([(x * w).sum((1, 2, 3)), -(x * w).sum((1, 2, 3))], 1), tuple(w.shape[1:]))


def correlation(a, b):
    return float(np.corrcoef(a.flatten(), b.flatten())[0, 1])


@pytest.fixture(scope="module")
def classifier():
    return Classifier(Plain(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


# --- closed forms


@pytest.mark.parametrize("parameterization", ["pixel", "fourier"])
def test_under_an_l2_penalty_a_linear_unit_s_picture_is_its_weights(parameterization):
    w = weights(1, 7, 10)
    l2 = w.numel() * float(w.abs().max()) / (2 * 0.45)  # the farthest pixel comes to lie 0.45 from gray
    found = activation_maximization(
        linear(w), LOGITS, [0, 1], parameterization=parameterization, l2=l2, steps=500, start="gray", **PLAIN
    )
    expected = 0.5 + w * w.numel() / (2 * l2)
    torch.testing.assert_close(found.images, torch.stack([expected, 1 - expected]), atol=1 / 255, rtol=0)
    assert found.converged.all()


def test_in_the_box_it_is_the_sign_of_its_weights():
    w = weights(1, 7, 10)
    found = activation_maximization(linear(w), LOGITS, [0], parameterization="pixel", steps=400, **PLAIN)
    clear = w.abs() > 0.1
    assert (found.images[0] - (w > 0).float())[clear].abs().max() < 0.05
    smooth = activation_maximization(linear(w), LOGITS, [0], parameterization="fourier", steps=400, **PLAIN)
    assert smooth.activations > 0.9 * w.clamp_min(0).sum()  # a pixel that was saturated early may stay there


def test_the_minimum_of_a_unit_is_the_maximum_of_its_negative():
    w = weights(1, 7, 10)
    settings = {"steps": 60, "start": "gray", **PLAIN}
    lowest = activation_maximization(linear(w), LOGITS, [0], negative=True, **settings)
    highest = activation_maximization(linear(w), LOGITS, [1], **settings)
    assert torch.equal(lowest.images, highest.images)
    torch.testing.assert_close(lowest.activations, -highest.activations)
    assert lowest.activations < lowest.start_activations
    assert not lowest.dead.any()


class Planted(nn.Sequential):
    """One unit that responds to one pattern, through a rectifier, and one that has no weights."""

    def __init__(self, pattern, bias=0.0) -> None:
        super().__init__(
            nn.Conv2d(1, 2, pattern.shape[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
        )
        self[0].weight.data = torch.stack([pattern, torch.zeros_like(pattern)])[:, None]
        self[0].bias.data = torch.tensor([bias, 0.5])


@pytest.mark.parametrize("transform", [True, False])
def test_a_planted_pattern_is_found_at_the_neuron_s_receptive_field(transform):
    pattern = weights(7, 7)
    pattern = torch.nn.functional.avg_pool2d(pattern[None, None], 3, 1, 1)[0, 0]
    pattern -= pattern.mean()
    classifier = Classifier(Planted(pattern), size=(15, 21), channels=1)
    row, column, l2 = 3, 9, 15 * 21 * float(pattern.abs().max()) / 0.8
    found = activation_maximization(
        classifier, "1", [0], objective="neuron", position=(row, column), start="gray", l2=l2, transform=transform
    )
    crop = found.images[0, 0, row : row + 7, column : column + 7]
    assert correlation(crop, pattern) > (0.9 if transform else 0.99)
    if not transform:
        outside = found.images.clone()
        outside[0, 0, row : row + 7, column : column + 7] = 0.5
        assert (outside - 0.5).abs().max() < 0.1


def test_the_center_is_the_neuron_by_default(classifier):
    given = activation_maximization(classifier, "4", [3], objective="neuron", position=(2, 3), steps=8)
    assert torch.equal(given.images, activation_maximization(classifier, "4", [3], objective="neuron", steps=8).images)
    assert open_network(classifier).layer("4").shape == (8, 5, 6)


def test_total_variation_and_blur_make_smoother_pictures(classifier):
    settings = {"steps": 60, "parameterization": "pixel", "transform": False}
    rough = activation_maximization(classifier, "4", [1], **settings).images
    for penalty in ({"total_variation": 50.0}, {"blur": 500.0}):
        smooth = activation_maximization(classifier, "4", [1], **settings, **penalty).images
        assert smooth.diff(dim=3).abs().mean() < 0.5 * rough.diff(dim=3).abs().mean()


def test_penalties_are_their_formulas():
    images = random(2, 3, 5, 6)
    rough = [sum(np.abs(np.diff(i.numpy(), axis=axis)).mean() for axis in (1, 2)) for i in images]
    torch.testing.assert_close(Penalty(2.0, 0, 0)(images), 2 * torch.tensor(rough))
    torch.testing.assert_close(Penalty(0, 3.0, 0)(images), 3 * ((images - 0.5) ** 2).mean((1, 2, 3)))
    assert Penalty(0, 0, 1.0)(torch.full((1, 3, 5, 6), 0.3)) == pytest.approx(0, abs=1e-12)
    edge = torch.zeros(1, 1, 9, 9)
    edge[..., 4] = 1
    kernel = np.exp(-(np.arange(-2, 3) ** 2) / 2)
    kernel /= kernel.sum()
    line = (np.eye(1, 9, 4)[0] - np.convolve(np.eye(1, 9, 4)[0], kernel, "same")) ** 2
    assert Penalty(0, 0, 1.0)(edge).item() == pytest.approx(line.mean(), rel=1e-4)


# --- parameterizations


@pytest.mark.parametrize("name", ["pixel", "fourier"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 9), (9, 6)])
@pytest.mark.parametrize("decorrelate", [True, False])
def test_a_picture_and_its_parameters_stand_for_each_other(name, channels, size, decorrelate):
    classifier = formula(lambda x: x.flatten(1)[:, :2], size, channels)
    images = (random(2, channels, *size) * 255).round() / 255
    images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    pictures = parameterization_of(name, classifier, None, decorrelate=decorrelate)
    again = pictures.images(pictures.parameters(images))
    assert torch.equal((again * 255).round(), (images * 255).round())


@pytest.mark.parametrize("name", ["pixel", "fourier"])
def test_without_steps_worth_the_name_the_start_comes_back(classifier, name):
    images = (random(2, 3, *SIZE) * 255).round() / 255
    found = activation_maximization(
        classifier, "4", [1, 2], start=images, parameterization=name, steps=1, learning_rate=0.0
    )
    torch.testing.assert_close(found.images, images, atol=1e-6, rtol=0)
    assert torch.equal(found.activations, found.start_activations)
    assert found.dead.all()


def test_fourier_coefficients_are_scaled_by_a_power_of_the_frequency():
    """The plain formula of lucid's `fft_image`, with numpy, and the steeper fall."""
    classifier = formula(lambda x: x.flatten(1)[:, :2], (6, 9))
    parameters = weights(1, 1, 6, 5, 2)
    frequency = np.maximum(np.sqrt(np.fft.fftfreq(6)[:, None] ** 2 + np.fft.fftfreq(9)[:5] ** 2), 1 / 9)
    scale = np.sqrt(6 * 9) / frequency * (1 / 7 / frequency) ** 0.6
    plane = np.fft.irfft2(scale * (parameters[0, 0, ..., 0] + 1j * parameters[0, 0, ..., 1]).numpy(), s=(6, 9)) / 4
    images = parameterization_of("fourier", classifier, None, decorrelate=True).images(parameters)
    np.testing.assert_allclose(images[0, 0], 1 / (1 + np.exp(-plane)), atol=1e-6)


def test_colors_are_decorrelated_by_the_matrix_of_imagenet(classifier):
    parameters = weights(1, 3, *SIZE)
    pictures = parameterization_of("pixel", classifier, None, decorrelate=True)
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    root = root / np.linalg.norm(root, axis=0).max()
    expected = 1 / (1 + np.exp(-np.einsum("nchw,dc->ndhw", parameters, root)))
    np.testing.assert_allclose(pictures.images(parameters), expected, atol=1e-6)


def test_other_colors_come_from_the_data():
    mixing = torch.tensor([[0.1, 0.0, 0.0, 0.0], [0.1, 0.05, 0, 0], [0, 0, 0.1, 0], [0, 0.02, 0, 0.03]])
    images = torch.einsum("nchw,dc->ndhw", weights(40, 4, 6, 8).clamp(-3, 3), mixing) + 0.5
    spectrum = data_spectrum(images)
    colors = images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(spectrum.color @ spectrum.color.T, colors.cov(correction=0), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(spectrum.mean, colors.mean(1))
    # White noise has the same amplitude everywhere: sqrt(pi) / 2 where it is complex, sqrt(2 / pi) where it is real.
    assert spectrum.amplitude[1:3, 1:4].mean().item() == pytest.approx(np.sqrt(np.pi) / 2, rel=0.05)
    assert spectrum.amplitude[[0, 0, 3, 3], [0, 4, 0, 4]].mean().item() == pytest.approx(np.sqrt(2 / np.pi), rel=0.1)
    classifier = formula(lambda x: x.flatten(1)[:, :2], (6, 8), 4)
    found = parameterization_of("pixel", classifier, spectrum, decorrelate=True).images(torch.ones(1, 4, 6, 8))
    expected = torch.sigmoid((spectrum.color / spectrum.color.norm(dim=0).max()).sum(1))
    torch.testing.assert_close(found[0, :, 0, 0], expected)


def test_gray_images_with_three_channels_give_gray_pictures(classifier):
    spectrum = data_spectrum(random(4, 1, *SIZE).expand(-1, 3, -1, -1))
    for name in ("fourier", "maco"):
        images = activation_maximization(classifier, "4", [1], parameterization=name, spectrum=spectrum, steps=4).images
        assert images.std() > 0
        assert (images - images[:, :1]).abs().max() <= 1 / 255


@pytest.mark.parametrize("channels", [1, 3])
def test_maco_keeps_the_amplitudes_and_changes_the_phases(channels):
    data = 0.5 + 0.25 * (random(30, channels, *SIZE) - 0.5)  # far from black and white, so that nothing is cut off
    classifier = Classifier(Plain(channels), size=SIZE, channels=channels)
    spectrum = data_spectrum(data)
    pictures = parameterization_of("maco", classifier, spectrum, decorrelate=True)
    start = pictures.noise(np.random.default_rng(0))[None]

    def amplitudes(images):
        plane = torch.einsum("nchw,dc->ndhw", images - spectrum.mean[:, None, None], torch.linalg.inv(spectrum.color))
        return torch.fft.rfft2(plane, norm="ortho").abs()

    expected = spectrum.amplitude.expand(1, channels, -1, -1)
    for phases in (start, 6.28 * random(1, channels, 20, 13)):
        torch.testing.assert_close(amplitudes(pictures.images(phases)), expected, atol=1e-4, rtol=1e-4)
    found = activation_maximization(classifier, "4", [1], parameterization="maco", spectrum=spectrum, steps=40)
    # 8 bits of a picture with little contrast: rounding is white noise of a standard deviation of 1 / sqrt(12) / 255.
    rounding = torch.linalg.inv(spectrum.color).norm(dim=1).max() / 12**0.5 / 255
    assert (amplitudes(found.images) - expected).square().mean().sqrt() < 1.5 * rounding
    assert found.activations > found.start_activations
    again = pictures.images(pictures.parameters(found.images))
    assert (again - found.images).abs().max() < 0.02


# --- views


@pytest.mark.parametrize("crops", [True, False])
def test_views_grow_with_the_picture(crops):
    small, large = (random_views((side, side), 300, 0, crops=crops) for side in (28, 224))
    torch.testing.assert_close(small, large)  # in shares of the picture
    share = small[:, :, :2].det().sqrt()
    most = small[:, :, 2].abs().amax(1)
    if crops:
        assert 0.5 <= share.min() < 0.52
        assert 1.08 < share.max() <= 1.1
        assert (most <= (1 - share).clamp_min(0) + 6 / 64 + 1e-6).all()
    else:
        assert 1 / 1.1 - 1e-6 <= share.min() < 0.92
        assert 1.1 < share.max() <= 1 / 0.9 + 1e-6
        assert 1.2 < (most * 14).max() <= 28 * 3 / 64  # pixels


def test_a_view_turns_a_picture_that_is_not_square_without_shear():
    """A disc stays a disc: its second moments stay equal in both directions."""
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(50.0), indexing="ij")
    disc = (((y - 14.5) ** 2 + (x - 24.5) ** 2) < 60).float()
    for affine in random_views((30, 50), 20, 1, crops=False):
        seen = view(0.5 + disc[None, None] / 2, affine)[0, 0] * 2 - 1
        mass = seen.sum()
        cy, cx = (y * seen).sum() / mass, (x * seen).sum() / mass
        spread = [((d**2) * seen).sum() / mass for d in (y - cy, x - cx)]
        assert spread[0] / spread[1] == pytest.approx(1, abs=0.03)


def test_what_lies_outside_of_a_view_is_gray():
    far = torch.tensor([[1.0, 0, 3], [0, 1, 0]])
    assert (view(torch.zeros(1, 3, 6, 8), far) == 0.5).all()
    assert torch.equal(
        view(random(2, 3, 6, 8), torch.eye(3)[:2]).round(decimals=5), random(2, 3, 6, 8).round(decimals=5)
    )


# --- objectives


def test_a_direction_is_a_dot_product_times_cosine_similarity(classifier):
    directions = weights(2, 8)
    images = (random(2, 3, *SIZE) * 255).round() / 255
    found = activation_maximization(
        classifier, "4", directions, objective="direction", start=images, steps=1, learning_rate=0.0
    )
    activations = open_network(classifier).activations(images, ["4"])["4"].numpy()
    for activation, direction, value in zip(activations, directions.numpy(), found.activations, strict=True):
        expected = []
        for at in activation.reshape(8, -1).T:
            dot = at @ direction
            expected.append(dot * max(0.1, dot / np.linalg.norm(at) / np.linalg.norm(direction)))
        assert value.item() == pytest.approx(np.mean(expected), rel=1e-3)
    assert found.units == (-1, -1)


def test_optimizing_a_direction_turns_the_activations_to_it(classifier):
    directions = weights(3, 8, seed=4)
    found = activation_maximization(classifier, "4", directions, objective="direction", steps=60, transform=False)
    activations = open_network(classifier).activations(found.images, ["4"])["4"]
    similar = torch.cosine_similarity(activations.mean((2, 3))[:, None], directions[None], dim=2)
    assert torch.equal(similar.argmax(1), torch.arange(3))
    assert (found.activations > found.start_activations).all()


def test_opposite_vectors_have_a_negative_product_whatever_the_power():
    a = weights(1, 8)
    assert dot_times_cosine(a, -a, 2.0, (1,)) < 0
    torch.testing.assert_close(dot_times_cosine(a, a, 3.0, (1,)), a.square().sum(1))


def test_a_whole_layer_is_one_picture(classifier):
    found = activation_maximization(classifier, "4", None, objective="layer", steps=30)
    activation = open_network(classifier).activations(found.images, ["4"])["4"]
    torch.testing.assert_close(found.activations, activation.square().mean((1, 2, 3)))
    assert found.units == (-1,)
    assert found.activations > 2 * found.start_activations


def test_diversity_pushes_pictures_of_a_unit_apart():
    classifier = Classifier(Plain(), size=SIZE)
    units = [2, 2, 5, 2, 5]
    settings = {"steps": 80, "transform": False}

    def similarity(diversity):
        found = activation_maximization(classifier, "4", units, diversity=diversity, batch_size=2, **settings)
        grams = gram_similarity(open_network(classifier).activations(found.images, ["4"])["4"])
        return torch.stack([grams[0, 1], grams[0, 3], grams[1, 3], grams[2, 4]]).mean()

    assert similarity(1.0) < similarity(0.0) - 0.05


def test_gram_similarity_is_its_formula():
    activation = weights(3, 4, 5, 6)
    grams = [a.reshape(4, -1).numpy() @ a.reshape(4, -1).numpy().T for a in activation]
    expected = [[(a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) for a in grams] for b in grams]
    np.testing.assert_allclose(gram_similarity(activation), expected, rtol=1e-5)


# --- redirected rectifiers


def test_a_unit_that_is_silent_on_the_start_is_woken():
    """A plain gradient is zero through a rectifier that is shut everywhere."""
    pattern = weights(5, 5)
    pattern -= pattern.mean()
    classifier = Classifier(Planted(pattern, bias=-1.0), size=(12, 14), channels=1)
    start = torch.full((1, 12, 14), 0.5, requires_grad=True)
    activation = open_network(classifier).activations(start[None], ["1"])["1"][0, 0, 4, 5]
    assert torch.autograd.grad(activation, start)[0].abs().max() == 0
    found = activation_maximization(classifier, "1", [0], objective="neuron", start="gray", transform=False, steps=120)
    assert found.start_activations == 0
    assert found.activations > 0.5
    assert not found.dead.any()


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (0.0, 6.0)])
def test_redirected_gradients_are_lucid_s_rule(low, high):
    x = weights(6, 5, 4, seed=2) * 6
    x[0] = -x[0].abs()
    x[1] = x[1].abs() + 6
    x[2, 0, 0] = -1
    signal = weights(6, 5, 4, seed=3)
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(RedirectedReLU.apply(leaf, low, high), leaf, signal)
    top = np.inf if high is None else high
    for value, given, got in zip(x.numpy(), signal.numpy(), found.numpy(), strict=True):
        plain = np.where((value < low) | (value > top), 0, given)
        blocked = ((value < low) & (given > 0)) | ((value > top) & (given < 0))
        expected = plain if np.linalg.norm(plain) > 0 else np.where(blocked, 0, given)
        np.testing.assert_array_equal(got, expected)
    torch.testing.assert_close(RedirectedReLU.apply(x, low, high), x.clamp(low, high))


# --- flags


def test_a_unit_without_weights_is_dead_and_says_so():
    classifier = Classifier(Planted(weights(5, 5)), size=(12, 14), channels=1)
    found = activation_maximization(classifier, "1", [0, 1], steps=40)
    assert found.dead.tolist() == [False, True]
    assert found.activations[1] == found.start_activations[1] == 0.5
    assert found.converged[1]


def test_converged_means_that_the_last_fifth_is_flat():
    time = torch.linspace(0, 1, 100)
    rises = [1 - torch.exp(-12 * time), time, torch.zeros(100), -time, 1 - torch.exp(-12 * time) + 0.05 * weights(100)]
    assert is_converged(torch.stack(rises, 1)).tolist() == [True, False, True, True, True]
    assert not is_converged(torch.zeros(1, 2)).any()


# --- what holds whatever is asked


@pytest.mark.parametrize("parameterization", ["pixel", "fourier", "maco"])
@pytest.mark.parametrize("layer", ["2", "4", LOGITS])
def test_a_picture_is_the_same_alone_and_in_a_batch(classifier, parameterization, layer):
    units = [3, 0, 3, 1]
    spectrum = data_spectrum(random(5, 3, *SIZE))
    settings = {"steps": 20, "parameterization": parameterization, "spectrum": spectrum, "total_variation": 0.1}
    batch = activation_maximization(classifier, layer, units, **settings).images
    parts = activation_maximization(classifier, layer, units, batch_size=3, **settings).images
    alone = torch.cat([activation_maximization(classifier, layer, [unit], **settings).images for unit in (3, 0, 1)])
    # Sums in another order differ in the last digits, and Adam divides by gradients that can be small.
    for one, other in ((batch, parts), (batch[[0, 1, 3]], alone)):
        assert (one - other).abs().max() <= 6 / 255
        assert (one - other).abs().mean() <= 0.1 / 255
    assert (batch[0] - batch[2]).abs().mean() > 0.5 / 255  # another copy, from other noise


@pytest.mark.parametrize("layer", ["4", LOGITS])
def test_the_activations_are_those_of_the_pictures(classifier, layer):
    found = activation_maximization(classifier, layer, [3, 1], steps=10)
    assert torch.equal(found.images, (found.images * 255).round() / 255)
    with torch.no_grad():
        seen = unit_activation(open_network(classifier).activations(found.images, [layer])[layer])
    torch.testing.assert_close(found.activations, seen[[0, 1], [3, 1]])
    assert (found.activations > found.start_activations).all()
    assert {f.name for f in fields(found)} == {
        "layer",
        "units",
        "images",
        "activations",
        "start_activations",
        "converged",
        "dead",
    }


def test_the_seed_decides_everything(classifier):
    first = activation_maximization(classifier, "4", [1, 2], steps=5)
    torch.manual_seed(9)
    assert torch.equal(first.images, activation_maximization(classifier, "4", [1, 2], steps=5).images)
    assert not torch.equal(first.images, activation_maximization(classifier, "4", [1, 2], steps=5, seed=1).images)


@pytest.mark.parametrize("make", [Plain, Untraceable])
@pytest.mark.parametrize("training", [True, False])
def test_everything_is_left_as_it_was(make, training):
    classifier = Classifier(make(), size=SIZE).train(training)
    for parameter in classifier.parameters():
        parameter.requires_grad_(training)
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in classifier.state_dict().items()}
    layer = "4" if make is Plain else "inner.4"
    if make is Untraceable:
        with pytest.warns(UserWarning, match="could not be traced"):
            open_network(classifier)
    with torch.no_grad():
        first = activation_maximization(classifier, layer, [0], steps=3)
    with torch.inference_mode():
        second = activation_maximization(classifier, layer, [0], steps=3)
    assert torch.equal(first.images, second.images)
    assert not any(value.requires_grad for value in (first.images, first.activations))
    assert all(m.training == training for m in classifier.modules())
    assert all(p.requires_grad == training and p.grad is None for p in classifier.parameters())
    assert not any(m._forward_hooks for m in classifier.modules())
    assert all(torch.equal(before[key], value) for key, value in classifier.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("channels", [1, 4])
def test_any_channels_and_sizes(channels):
    classifier = Classifier(Plain(channels), size=(15, 22), channels=channels)
    found = activation_maximization(classifier, "3", [0, 5], steps=10)
    assert found.images.shape == (2, channels, 15, 22)
    assert (found.activations > found.start_activations).all()


def test_a_convolution_whose_normalization_is_folded_away_is_still_a_layer(classifier):
    found = activation_maximization(classifier, "0", [2], steps=20)
    with torch.no_grad():
        seen = open_network(classifier).activations(found.images, ["0"])["0"]
    torch.testing.assert_close(found.activations, seen.amax((2, 3))[:, 2])
    assert not found.dead.any()


def test_functional_and_reused_operations():
    classifier = Classifier(Shared(), size=SIZE)
    layer = open_network(classifier).layers[-2].name
    assert activation_maximization(classifier, LOGITS, [0, 2], steps=20).dead.tolist() == [False, False]
    assert activation_maximization(classifier, layer, [0], steps=2).layer == layer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": [8]}, r"units 0 to 7"),
        ({"units": [-1]}, r"units 0 to 7"),
        ({"units": None}, "Give units"),
        ({"units": []}, "Give units"),
        ({"objective": "chanel"}, r"Did you mean channel\?"),
        ({"objective": "direction", "units": weights(2, 7)}, "M x 8 tensor"),
        ({"objective": "direction", "units": torch.zeros(1, 8)}, "without rows of zeros"),
        ({"position": (0, 0)}, 'needs objective="neuron"'),
        ({"objective": "neuron", "position": (5, 0)}, r"5 x 6 positions"),
        ({"parameterization": "fft"}, "pixel, fourier, maco"),
        ({"parameterization": "maco"}, "needs spectrum"),
        ({"spectrum": Spectrum(torch.ones(3, 3), torch.ones(3), torch.eye(3))}, "does not fit"),
        ({"start": "black"}, "no start"),
        ({"start": torch.zeros(3, 9, 9)}, "the shape"),
        ({"start": torch.zeros(3, 3, *SIZE)}, "3 start images were given for 1"),
        ({"parameterization": "maco", "spectrum": "data", "start": "gray"}, "no phases"),
    ],
)
def test_what_does_not_fit_is_told(classifier, settings, message):
    if settings.get("spectrum") == "data":
        settings = {**settings, "spectrum": data_spectrum(random(2, 3, *SIZE))}
    with pytest.raises(UsageError, match=message):
        activation_maximization(classifier, "4", **{"units": [1], "steps": 2, **settings})


def test_a_layer_that_does_not_exist_is_told(classifier):
    with pytest.raises(ModelError, match="no layer"):
        activation_maximization(classifier, "nowhere", [0])
    with pytest.raises(ImagesError, match="have the same color"):
        data_spectrum(torch.full((3, 3, 64, 64), 0.3))  # single precision gives another mean
