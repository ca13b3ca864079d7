"""DeepLIFT and FullGrad: completeness, closed forms, and captum."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, NoGradientError
from deeptroubles.methods.attribution.deep_lift import deep_lift
from deeptroubles.methods.attribution.full_grad import full_grad, full_gradients
from deeptroubles.methods.attribution.gradient_x_input import gradient_x_input
from deeptroubles.network import open_network
from deeptroubles.subject import logits_of
from tests.networks import Plain, Shared, Untraceable, formula

SIZE = (12, 16)


class Gated(nn.Module):
    """Squeeze-and-excitation, a ReLU6 that saturates, SiLU, average pooling, and a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.gate, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = nn.functional.relu6(20 * self.first(x))
        x = nn.functional.silu(self.second(x)) + self.second(x).relu()
        x = x * self.gate(x.mean((2, 3))).sigmoid()[:, :, None, None]
        return self.head(nn.functional.avg_pool2d(x, 4).amax((2, 3)))


class Normalized(nn.Module):
    """Layer norm over channels, with weights, before and after an activation, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 8)
        self.norms = nn.ModuleList([nn.LayerNorm(6), nn.LayerNorm(8, elementwise_affine=False)])
        self.head = nn.Linear(8, 3)
        nn.init.normal_(self.norms[0].weight)
        nn.init.normal_(self.norms[0].bias)

    def forward(self, x):
        x = self.norms[0](self.first(x).permute(0, 2, 3, 1))
        return self.head(self.norms[1](nn.functional.gelu(self.second(x)).mean((1, 2))))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make()


@pytest.fixture(scope="module", params=[Plain, Shared, Gated, Normalized], ids=lambda make: make.__name__)
def classifier(request):
    return Classifier(seeded(request.param).eval(), size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, *SIZE, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("baseline", [None, 0.0, 0.9])
def test_deep_lift_sums_to_the_difference_to_the_baseline(classifier, images, baseline):
    maps = deep_lift(classifier, images, 1, baseline=baseline)
    color = classifier.mean[0] if baseline is None else torch.tensor(baseline)
    start = logits_of(classifier, color.expand_as(images).contiguous())
    expected = logits_of(classifier, images)[:, 1] - start[:, 1]
    assert torch.allclose(maps.sum((1, 2)), expected, atol=1e-4, rtol=1e-3)


def test_full_gradients_sum_to_the_score(classifier, images):
    found = full_gradients(classifier, images, 2, against=0)
    logits = logits_of(classifier, images)
    total = found.pixels.sum((1, 2, 3)) + sum(part.flatten(1).sum(1) for part in found.biases.values())
    assert torch.allclose(found.score, logits[:, 2] - logits[:, 0], atol=1e-5)
    assert torch.allclose(total, found.score, atol=1e-4, rtol=1e-4)


def test_without_biases_the_pixels_have_all_of_the_score(images):
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(560, 3, bias=False))
    )
    classifier = Classifier(model, size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))
    found = full_gradients(classifier, images, 1)
    assert not found.biases
    assert torch.allclose(found.pixels.sum(1), gradient_x_input(classifier, images, 1), atol=1e-5)
    assert torch.allclose(found.pixels.sum((1, 2, 3)), logits_of(classifier, images)[:, 1], atol=1e-4)


def test_the_bias_terms_of_one_convolution_by_hand():
    """ReLU(w x + b) summed: where it is active the pixel's term is w x and the bias term b."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2, bias=False))
    model[0].weight.data.fill_(2.0)
    model[0].bias.data.fill_(-1.0)
    model[3].weight.data = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    pixels = torch.tensor([[[[0.25, 1.0], [0.75, 0.0]]]])
    classifier = Classifier(model, size=2, channels=1)
    found = full_gradients(classifier, pixels, 0)
    assert torch.allclose(found.pixels, torch.tensor([[[[0.0, 2.0], [1.5, 0.0]]]]))
    (bias,) = found.biases.values()
    assert torch.allclose(bias, torch.tensor([[[[0.0, -1.0], [-1.0, 0.0]]]]))
    assert torch.allclose(full_grad(classifier, pixels, 0), torch.tensor([[[0.0, 2.0], [1.75, 0.0]]]))


def test_deep_lift_on_a_linear_classifier_is_weight_times_difference():
    weights = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(3))
    linear = formula(lambda x: torch.stack([(x * weights).sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), 9)
    pixels = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(deep_lift(linear, pixels, 0, baseline=0.5), ((pixels - 0.5) * weights)[:, 0], atol=1e-5)


def test_the_rescale_rule_reaches_what_the_gradient_misses():
    """1 - ReLU(1 - x) is flat above 1: its gradient there is 0, its difference to that of 0 is not (figure 1)."""
    step = formula(lambda x: torch.stack([(1 - (1 - 2 * x).relu()).sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), 4)
    pixels = torch.full((1, 1, 4, 4), 0.9)
    assert torch.allclose(deep_lift(step, pixels, 0, baseline=0.0), torch.ones(1, 4, 4), atol=1e-5)
    with pytest.raises(NoGradientError):
        gradient_x_input(step, pixels, 0, baseline=0.0)


@pytest.mark.parametrize("extreme", [torch.amax, torch.amin])
def test_maxima_and_minima_are_complete_where_another_position_takes_over(extreme):
    """From (0.2, 0.4) to (0.6, 0.4) and back: the minimum is at one position before and at the other one after."""
    network = formula(lambda x: torch.stack([extreme(x, (1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), (1, 2))
    first, second = torch.tensor([[[[0.2, 0.4]]], [[[0.6, 0.4]]]])
    change = extreme(second, (0, 1, 2)) - extreme(first, (0, 1, 2))
    for start, end, expected in ((first, second, change), (second, first, -change)):
        assert deep_lift(network, end[None], 0, baseline=start).sum() == pytest.approx(float(expected))


def test_a_root_that_stays_0_has_no_multiplier():
    """Its gradient there is infinite."""
    network = formula(lambda x: torch.stack([(x - 0.5).relu().sqrt().sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), 2)
    pixels = torch.tensor([[[[0.2, 0.4], [0.75, 0.5]]]])
    assert torch.allclose(deep_lift(network, pixels, 0, baseline=0.3), torch.tensor([[[0.0, 0.0], [0.5, 0.0]]]))


@pytest.mark.parametrize("scale", [1.0, 0.01])  # variances of 0.01^2 are as small as the epsilon of the normalization
def test_normalizations_are_complete_from_a_baseline_of_one_color(scale):
    weights = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    network = formula(lambda x: nn.functional.layer_norm(scale * x.flatten(1), (16,)) @ weights.T, 4)
    pixels = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    change = logits_of(network, pixels)[:, 0] - logits_of(network, torch.full_like(pixels, 0.5))[:, 0]
    assert torch.allclose(deep_lift(network, pixels, 0, baseline=0.5).sum((1, 2)), change, rtol=1e-3)


ACTIVATIONS = (nn.Conv2d, 3, 5, 3), (nn.BatchNorm2d, 5), (nn.ReLU,), (nn.AvgPool2d, 2), (nn.Conv2d, 5, 6, 3), (nn.Tanh,)
HEAD = (nn.AdaptiveAvgPool2d, 2), (nn.Flatten,), (nn.Linear, 24, 8), (nn.Sigmoid,), (nn.Linear, 8, 3)
MAXIMA = (nn.Conv2d, 3, 5, 3), (nn.MaxPool2d, 2), (nn.Flatten,), (nn.Linear, 175, 3)


@pytest.mark.parametrize("layers", [(*ACTIVATIONS, *HEAD), MAXIMA], ids=["activations", "maxima"])
def test_deep_lift_of_captum(images, layers):
    """On networks of modules that are used once; with a ReLU before a maximum captum 0.9 loses completeness."""
    attr = pytest.importorskip("captum.attr")
    model = seeded(lambda: nn.Sequential(*(kind(*settings) for kind, *settings in layers))).eval()
    pixels, start = images.clone().requires_grad_(), images.flip(0, 3)[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it sets hooks
        theirs = attr.DeepLift(model).attribute(pixels, start.expand_as(images), target=1).sum(1).detach()
    assert torch.allclose(deep_lift(Classifier(model, size=SIZE), images, 1, baseline=start[0]), theirs, atol=1e-6)


@pytest.mark.parametrize("method", [deep_lift, full_grad])
def test_what_has_no_graph_or_no_rule_is_an_error(method, images):
    untraced = Classifier(Untraceable(), size=SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could not be traced
        open_network(untraced)
    with pytest.raises(ModelError, match="needs the traced graph"):
        method(untraced, images)


def test_operations_without_a_rule_are_named(images):
    multiplied = formula(lambda x: x.flatten(2).cumprod(2)[:, :, :3].sum(1), SIZE, 3)
    with pytest.raises(ModelError, match="no rule for"):
        deep_lift(multiplied, images)
