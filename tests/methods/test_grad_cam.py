from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier, grad_cam
from deeptroubles.errors import ModelError
from tests.networks import Plain, Shared, Untraceable

SIZE = (20, 24)
NORMALISED = {"size": SIZE, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("target", [0, 3, [2, 0, 1]])
@pytest.mark.parametrize("layer", ["0", "3", "5"])
def test_it_equals_captum(images, layer, target):
    captum = pytest.importorskip("captum.attr")
    classifier = Classifier(Plain(), **NORMALISED).eval()
    module = classifier.module.get_submodule(layer)
    theirs = captum.LayerGradCam(classifier, module).attribute(
        images, target=target, relu_attributions=False, attr_dim_summation=True
    )
    ours = grad_cam(classifier, images, target, layer=layer)
    assert ours.abs().max() > 1e-4
    torch.testing.assert_close(ours, theirs[:, 0].detach(), atol=1e-6, rtol=1e-4)


def test_before_an_in_place_operation_too(images):
    """Layer 4 is changed in place by the ReLU after it; the map is of what the layer itself answered."""
    plain, changed = Plain(), Plain()
    plain[5] = nn.ReLU()
    maps = [grad_cam(Classifier(network, **NORMALISED), images, 1, layer="4") for network in (plain, changed)]
    torch.testing.assert_close(*maps)


def test_the_default_layer_is_the_last_with_positions(images):
    classifier = Classifier(Plain(), **NORMALISED)
    assert torch.equal(grad_cam(classifier, images, 1), grad_cam(classifier, images, 1, layer="5"))
    assert grad_cam(classifier, images).shape == (3, 5, 6)  # the layer's own resolution


def test_with_average_pooling_and_one_linear_layer_the_map_sums_to_the_logit(images):
    classifier = Classifier(Plain(), **NORMALISED).eval()
    with torch.no_grad():
        logits = classifier(images)
    for target in range(4):
        sums = grad_cam(classifier, images, target).sum((1, 2)) + classifier.module[8].bias[target].detach()
        torch.testing.assert_close(sums, logits[:, target], atol=1e-5, rtol=1e-5)


def test_with_average_pooling_it_is_the_class_activation_map(images):
    """Zhou et al. 2016: the channels weighted by the linear layer's own weights, here per position."""
    classifier = Classifier(Plain(), **NORMALISED).eval()
    with torch.no_grad():
        features = nn.Sequential(*list(classifier.module)[:6])((images - classifier.mean) / classifier.std)
        expected = torch.einsum("nchw,c->nhw", features, classifier.module[8].weight[2]) / (5 * 6)
    torch.testing.assert_close(grad_cam(classifier, images, 2), expected)


@pytest.mark.parametrize("layer", ["6", "7", "8"])
def test_a_layer_without_positions_is_told_and_one_with_positions_named(images, layer):
    with pytest.raises(ModelError, match=rf"'{layer}' has no positions \(.*\); try '5'"):
        grad_cam(Classifier(Plain(), **NORMALISED), images, layer=layer)


def test_a_layer_that_does_not_exist_is_told_with_the_nearest(images):
    with pytest.raises(ModelError, match=r"no layer 'secnd'\. Did you mean second"):
        grad_cam(Classifier(Shared(), **NORMALISED), images, layer="secnd")


def test_a_model_without_positions_is_told_what_to_use_instead():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(ModelError, match="use occlusion"):
        grad_cam(Classifier(flat, size=8), torch.rand(1, 3, 8, 8), 0, layer="1")


def test_a_small_network_with_three_linear_layers_has_a_default_layer():
    """LeNet-5: fewer convolutions than linear layers, and yet its last positions are where classes are told apart."""
    lenet = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )
    assert grad_cam(Classifier(lenet, size=28, channels=1), torch.rand(1, 28, 28)).shape == (1, 5, 5)


def test_a_model_that_cannot_be_traced_gives_the_same_map(images):
    hooked, traced = Classifier(Untraceable(), **NORMALISED), Classifier(Plain(), **NORMALISED)
    with pytest.warns(UserWarning, match="Untraceable could not be traced"):
        found = grad_cam(hooked, images, 1)
    torch.testing.assert_close(found, grad_cam(traced, images, 1))
    torch.testing.assert_close(grad_cam(hooked, images, 1, layer="inner.3"), grad_cam(traced, images, 1, layer="3"))


def test_a_module_that_is_called_twice_has_two_maps(images):
    classifier = Classifier(Shared(), **NORMALISED)
    first, second = (grad_cam(classifier, images, 0, layer=layer) for layer in ("relu", "relu@1"))
    assert first.shape == second.shape == (3, *SIZE)
    assert not torch.allclose(first, second)
