"""Gradient methods: against captum, against their algebra, and on classifiers whose gradient is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.gradient_x_input import gradient_x_input
from deeptroubles.methods.attribution.integrated_gradients import integrated_gradients
from deeptroubles.methods.attribution.saliency import saliency
from deeptroubles.methods.attribution.smooth_grad import smooth_grad
from tests.networks import Plain

SIZE = (20, 24)
NORMALISED = {"size": SIZE, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}
METHODS = [saliency, gradient_x_input, smooth_grad, integrated_gradients]


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def classifier():
    return Classifier(Plain(), **NORMALISED).eval()


@pytest.fixture(scope="module")
def linear():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 24, 4)), **NORMALISED).eval()


@pytest.fixture(scope="module")
def smooth():
    """Without kinks, so that integration is exact to rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = [
            nn.Conv2d(3, 6, 3, 2),
            nn.Softplus(),
            nn.Conv2d(6, 8, 3, 2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(160, 4),
        ]
        return Classifier(nn.Sequential(*layers), **NORMALISED).eval()


def slopes(linear, target):
    """The gradient of a linear classifier's logit with respect to the pixels."""
    return (linear.module[1].weight[target].reshape(3, *SIZE) / linear.std[0]).detach()


@pytest.mark.parametrize("target", [0, 3, [2, 0, 1]])
def test_saliency_equals_captum(classifier, images, target):
    captum = pytest.importorskip("captum.attr")
    theirs = captum.Saliency(classifier).attribute(images.clone().requires_grad_(), target=target, abs=False)
    torch.testing.assert_close(saliency(classifier, images, target), theirs.sum(1), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("target", [0, [2, 0, 1]])
def test_gradient_x_input_equals_captum_on_normalized_inputs(classifier, images, target):
    captum = pytest.importorskip("captum.attr")
    normalized = ((images - classifier.mean) / classifier.std).requires_grad_()
    theirs = captum.InputXGradient(classifier.module).attribute(normalized, target=target)
    torch.testing.assert_close(
        gradient_x_input(classifier, images, target), theirs.sum(1).detach(), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("baseline", [None, 0.0, 1.0])
def test_integrated_gradients_equal_captum(classifier, images, baseline):
    captum = pytest.importorskip("captum.attr")
    start = classifier.mean if baseline is None else torch.full((1, 1, 1, 1), baseline)
    theirs = captum.IntegratedGradients(classifier).attribute(
        images, baselines=start.expand_as(images).contiguous(), target=1, n_steps=20, method="gausslegendre"
    )
    ours = integrated_gradients(classifier, images, 1, baseline=baseline, steps=20)
    torch.testing.assert_close(ours, theirs.sum(1).float(), atol=1e-5, rtol=1e-4)


def test_smooth_grad_equals_captum_with_the_same_noise(classifier, images, monkeypatch):
    """captum's noise tunnel draws all its noise at once: it is given what we draw one sample at a time."""
    captum = pytest.importorskip("captum.attr")
    samples, image = 6, images[:1]
    generator = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.randn(3, *SIZE, generator=generator) for _ in range(samples)])
    scale = float(0.2 * (image.max() - image.min()))
    monkeypatch.setattr(torch, "normal", lambda mean, std: mean + std * noise)
    theirs = captum.NoiseTunnel(captum.Saliency(classifier)).attribute(
        image.clone().requires_grad_(), nt_type="smoothgrad", nt_samples=samples, stdevs=scale, target=1, abs=False
    )
    ours = smooth_grad(classifier, image, 1, sigma=0.2, samples=samples, seed=5)
    torch.testing.assert_close(ours, theirs.sum(1), atol=1e-6, rtol=1e-4)


def test_on_a_linear_classifier_saliency_is_its_weights(linear, images):
    expected = slopes(linear, 2).sum(0).expand(3, *SIZE)
    torch.testing.assert_close(saliency(linear, images, 2), expected, atol=1e-6, rtol=1e-5)
    against = expected - slopes(linear, 0).sum(0)
    torch.testing.assert_close(saliency(linear, images, 2, against=0), against, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 0.15, 1.0])
def test_on_a_linear_classifier_smooth_grad_is_the_gradient(linear, images, sigma):
    smoothed = smooth_grad(linear, images, 1, sigma=sigma, samples=3)
    torch.testing.assert_close(smoothed, saliency(linear, images, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", [gradient_x_input, integrated_gradients])
@pytest.mark.parametrize("baseline", [None, 0.3])
def test_on_a_linear_classifier_shares_are_weight_times_difference(linear, images, method, baseline):
    start = linear.mean if baseline is None else baseline
    expected = ((images - start) * slopes(linear, 1)).sum(1)
    torch.testing.assert_close(method(linear, images, 1, baseline=baseline), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("baseline", [None, 0.0, torch.tensor([0.1, 0.9, 0.2]).view(3, 1, 1)])
@pytest.mark.parametrize("against", [None, 3])
def test_integrated_gradients_are_complete(smooth, images, baseline, against):
    sums = integrated_gradients(smooth, images, 1, baseline=baseline, against=against, steps=16).sum((1, 2))
    start = smooth.mean[0] if baseline is None else baseline
    with torch.no_grad():
        rise = smooth(images) - smooth(torch.zeros_like(images) + start)
    rise = rise[:, 1] - (0 if against is None else rise[:, against])
    torch.testing.assert_close(sums, rise, atol=1e-5, rtol=1e-4)


def test_with_kinks_more_steps_come_closer(classifier, images):
    with torch.no_grad():
        rise = (classifier(images) - classifier(classifier.mean.expand_as(images)))[:, 1]
    errors = [
        (integrated_gradients(classifier, images, 1, steps=n).sum((1, 2)) - rise).abs().max() for n in (1, 8, 128)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02 * rise.abs().max()


def test_an_image_of_the_baseline_has_no_shares(classifier):
    mean = classifier.mean.expand(1, 3, *SIZE)
    for method in (gradient_x_input, integrated_gradients):
        assert (method(classifier, mean, 1) == 0).all()


def test_the_noise_is_relative_to_the_range_of_the_image(classifier, images):
    flat = torch.full_like(images, 0.5)
    torch.testing.assert_close(smooth_grad(classifier, flat, 1, samples=2), saliency(classifier, flat, 1))
    narrow = 0.45 + 0.1 * images
    assert (smooth_grad(classifier, narrow, 1) - saliency(classifier, narrow, 1)).abs().max() > 0


def test_the_seed_decides_the_noise(classifier, images):
    first, again, other = (smooth_grad(classifier, images, 1, samples=3, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", [smooth_grad, integrated_gradients])
def test_the_class_is_that_of_the_clean_image(images, method):
    """Far from the image, at the baseline or under noise, another class may be the most likely one."""
    classifier = Classifier(Plain(), **NORMALISED)
    with torch.no_grad():
        likely = classifier.eval()(images).argmax(1)
    settings = {"sigma": 5.0} if method is smooth_grad else {"baseline": 0.0}
    assert torch.equal(method(classifier, images, **settings), method(classifier, images, likely, **settings))


@pytest.mark.parametrize(
    ("method", "settings"),
    [(smooth_grad, {"samples": 0}), (smooth_grad, {"sigma": -0.1}), (integrated_gradients, {"steps": 0})],
)
def test_settings_that_mean_nothing_are_told(classifier, images, method, settings):
    with pytest.raises(UsageError, match="give"):
        method(classifier, images, **settings)
