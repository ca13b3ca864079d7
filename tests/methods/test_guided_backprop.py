"""Guided backpropagation, deconvnet and guided Grad-CAM against slow loops and, where it is right, captum."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, NeedsGraphError
from deeptroubles.methods.attribution.deconvnet import deconvnet
from deeptroubles.methods.attribution.grad_cam import grad_cam
from deeptroubles.methods.attribution.guided_backprop import guided_backprop
from deeptroubles.methods.attribution.guided_grad_cam import guided_grad_cam
from deeptroubles.methods.attribution.saliency import saliency
from deeptroubles.methods.attribution.shared.rectifiers import positive
from deeptroubles.network import open_network
from tests.networks import Plain, Shared, Untraceable

SIZE = (8, 10)


@pytest.fixture
def pixels():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


class Tiny(nn.Module):
    """Convolution, rectifier, max-pooling, convolution, rectifier, linear: written so that no hook sees a rectifier."""

    def __init__(self, rectify=functional.relu, cap=float("inf")):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 2)
            self.head = nn.Linear(3 * 2 * 3, 2)
        self.rectify, self.cap = rectify, cap

    def forward(self, x):
        x = functional.max_pool2d(self.rectify(self.first(x)), 2)
        return self.head(self.rectify(self.second(x)).flatten(1))


def unconvolved(weight, signal, shape):
    """What every output sends back through every weight, in plain loops."""
    back = torch.zeros(shape, dtype=signal.dtype)
    for o in range(weight.shape[0]):
        for y in range(signal.shape[1]):
            for x in range(signal.shape[2]):
                window = back[:, y : y + weight.shape[2], x : x + weight.shape[3]]
                window += signal[o, y, x] * weight[o]
    return back


def unpooled(values, signal):
    """Each output's signal to the first largest value in its window of 2 x 2."""
    back = torch.zeros_like(values)
    for c, y, x in torch.cartesian_prod(*(torch.arange(n) for n in signal.shape)).tolist():
        winner = int(values[c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].argmax())
        back[c, 2 * y + winner // 2, 2 * x + winner % 2] += signal[c, y, x]
    return back


def guided(z, signal, cap):
    return signal.clamp_min(0) * ((z > 0) & (z < cap))


def rectified(_z, signal, _cap):
    return signal.clamp_min(0)


def slow(net, image, target, rule):
    first = functional.conv2d(image, net.first.weight, net.first.bias)
    active = net.rectify(first.clone())
    pooled = functional.max_pool2d(active, 2)
    second = functional.conv2d(pooled, net.second.weight, net.second.bias)
    signal = rule(second, net.head.weight[target].view(3, 2, 3), net.cap)
    signal = unpooled(active, unconvolved(net.second.weight, signal, pooled.shape))
    return unconvolved(net.first.weight, rule(first, signal, net.cap), image.shape).sum(0)


RECTIFIERS = {
    "functional": functional.relu,
    "in place": functional.relu_,
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clip": lambda x: torch.clip(x, 0),
    "threshold": lambda x: functional.threshold(x, 0, 0),
    "maximum": lambda x: torch.maximum(x, torch.tensor(0.0)),
    "maximum, turned round": lambda x: torch.maximum(torch.zeros_like(x), x),
    "maximum of new zeros": lambda x: torch.max(x, x.new_zeros(1)),
    "maximum of a whole number": lambda x: torch.maximum(x, torch.full((), 0).float()),
    "clamp by a tensor": lambda x: x.clamp(min=torch.zeros(1, 1, 1)),
}


@pytest.mark.parametrize(("method", "rule"), [(guided_backprop, guided), (deconvnet, rectified)])
@pytest.mark.parametrize("rectifier", RECTIFIERS)
def test_equals_slow_loops(pixels, method, rule, rectifier):
    net = Tiny(RECTIFIERS[rectifier])
    maps = method(Classifier(net, size=SIZE), pixels, 1)
    with torch.no_grad():
        expected = torch.stack([slow(net, image, 1, rule) for image in pixels])
    assert expected.abs().max() > 0.01
    assert torch.allclose(maps, expected, atol=1e-6)


@pytest.mark.parametrize(("method", "rule"), [(guided_backprop, guided), (deconvnet, rectified)])
@pytest.mark.parametrize(
    "rectifier", [functional.relu6, nn.ReLU6(inplace=True), lambda x: x.clamp(0, 6), lambda x: x.clip(max=6, min=0)]
)
def test_saturated_units_are_inactive_in_guided_backprop(pixels, method, rule, rectifier):
    net = Tiny(rectifier, cap=6)
    with torch.no_grad():
        net.first.weight.mul_(40)
        saturated = (functional.conv2d(pixels, net.first.weight, net.first.bias) > 6).float().mean()
        expected = torch.stack([slow(net, image, 0, rule) for image in pixels])
    assert 0.02 < saturated < 0.9
    # Saturated ties in a pooling window: autograd and argmax both take the first.
    assert torch.allclose(method(Classifier(net, size=SIZE), pixels, 0), expected, atol=1e-5)


@pytest.mark.parametrize(("method", "theirs"), [(guided_backprop, "GuidedBackprop"), (deconvnet, "Deconvolution")])
def test_equals_captum_on_modules_that_are_used_once(pixels, method, theirs):
    attr = pytest.importorskip("captum.attr")
    model = Plain().eval()
    for i in (2, 5):
        model[i].inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(attr, theirs)(model).attribute(pixels.clone().requires_grad_(), 1).sum(1)
    assert torch.allclose(method(Classifier(model, size=SIZE), pixels, 1), expected, atol=1e-6)


def test_captum_misses_functional_rectifiers_and_says_nothing(pixels):
    """A counter-example (captum issue 1104): its guided backpropagation is the plain gradient here."""
    attr = pytest.importorskip("captum.attr")
    net = Tiny().eval()
    inputs = pixels.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = attr.GuidedBackprop(net).attribute(inputs, 1)
    gradient = torch.autograd.grad(net(inputs)[:, 1].sum(), inputs)[0]
    assert torch.equal(theirs, gradient)
    ours = guided_backprop(Classifier(net, size=SIZE), pixels, 1)
    assert (ours - gradient.sum(1)).abs().max() > 0.01


@pytest.mark.parametrize("method", [guided_backprop, deconvnet])
def test_reused_rectifiers_in_place_equal_separate_ones(pixels, method):
    torch.manual_seed(0)
    shared = Shared()

    class Apart(Shared):
        def forward(self, x):
            x = functional.relu(self.first(x))
            y = functional.relu(self.second(x) + x)
            y = torch.cat([functional.avg_pool2d(x, 2), functional.max_pool2d(y, 2)], 1)
            return self.head(functional.relu(self.mixed(y)).mean((2, 3)))

    apart = Apart()
    apart.load_state_dict(shared.state_dict())
    maps = method(Classifier(shared, size=SIZE), pixels, 1)
    assert torch.allclose(maps, method(Classifier(apart, size=SIZE), pixels, 1), atol=1e-7)


def test_a_clamp_that_is_no_rectifier_keeps_its_gradient(pixels):
    class Clamped(Tiny):
        def forward(self, x):
            x = functional.hardtanh(functional.max_pool2d(self.rectify(self.first(x)), 2), -0.5, 0.2)
            return self.head(self.second(x).flatten(1)).clamp_min(-100)

    net = Clamped()
    inputs = pixels.clone().requires_grad_()
    first = net.first(inputs)
    second = net.second(functional.hardtanh(functional.max_pool2d(first.relu(), 2), -0.5, 0.2))
    signal = torch.autograd.grad(net.head(second.flatten(1))[:, 1].sum(), first)[0]
    expected = torch.autograd.grad(net.first(inputs), inputs, signal.clamp_min(0))[0].sum(1)
    assert torch.allclose(guided_backprop(Classifier(net, size=SIZE), pixels, 1), expected, atol=1e-6)


@pytest.mark.parametrize(("method", "rule"), [(guided_backprop, guided), (deconvnet, rectified)])
def test_the_upper_end_of_hardtanh_counts_where_the_graph_leaves_it_out(pixels, method, rule):
    net = Tiny(lambda x: functional.hardtanh(x, 0, 1), cap=1)
    with torch.no_grad():
        net.first.weight.mul_(8)
        expected = torch.stack([slow(net, image, 0, rule) for image in pixels])
        assert 0.02 < (functional.conv2d(pixels, net.first.weight, net.first.bias) > 1).float().mean() < 0.9
    assert torch.allclose(method(Classifier(net, size=SIZE), pixels, 0), expected, atol=1e-6)


class Almost(Tiny):
    """One rectifier, and another operation that is almost one."""

    def __init__(self, almost):
        super().__init__()
        self.almost = almost
        self.register_buffer("learned", torch.zeros(1))

    def forward(self, x):
        x = functional.max_pool2d(self.rectify(self.first(x)), 2)
        return self.head(self.almost(self.second(x), self.learned).flatten(1))


@pytest.mark.parametrize(
    "almost",
    [
        lambda x, _: functional.hardtanh(x),
        lambda x, _: functional.hardtanh(x, -1, 1),
        lambda x, _: functional.hardtanh(x, -0.5, 2.0),
        lambda x, _: x.clamp(max=0),
        lambda x, _: x.clamp(max=torch.zeros(1)),
        lambda x, _: x.clip(-1, 1),
        lambda x, _: torch.minimum(x, torch.tensor(0.0)),
        lambda x, _: torch.maximum(x, torch.tensor(-0.1)),
        lambda x, _: torch.maximum(x, torch.linspace(-0.1, 0.1, 3).view(3, 1, 1)),
        lambda x, _: torch.maximum(x[:, :1], torch.zeros(3, 1, 1)),
        torch.maximum,
    ],
)
def test_what_is_almost_a_rectifier_is_none(pixels, almost):
    """Neither a clamp at another value, nor one whose zero is a weight and may change, nor one that broadcasts."""
    network = open_network(Classifier(Almost(almost), size=SIZE))
    assert network.count("relu") == 1
    assert torch.equal(network(pixels), network.classifier.eval()(pixels))


@pytest.mark.parametrize("method", [guided_backprop, deconvnet, guided_grad_cam])
def test_a_network_without_rectifiers_is_refused(pixels, method):
    with pytest.raises(ModelError, match="has no rectifier"):
        method(Classifier(Tiny(functional.gelu), size=SIZE), pixels)


def test_what_cannot_be_traced_is_told(pixels):
    with pytest.warns(UserWarning, match="module hooks"), pytest.raises(NeedsGraphError, match="Grad-CAM or occlusion"):
        guided_backprop(Classifier(Untraceable(), size=SIZE), pixels)


def test_guided_grad_cam_equals_captum(pixels):
    attr = pytest.importorskip("captum.attr")
    model = Plain().eval()
    for i in (2, 5):
        model[i].inplace = False
    with torch.no_grad():
        model[8].weight.abs_()  # so that Grad-CAM finds something in favor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = attr.GuidedGradCam(model, model[4]).attribute(
            pixels.clone().requires_grad_(), 1, interpolate_mode="bilinear"
        )
    maps = guided_grad_cam(Classifier(model, size=SIZE), pixels, 1, layer="4")
    assert expected.abs().max() > 1e-5
    assert torch.allclose(maps, expected.sum(1), atol=1e-7)


def test_guided_grad_cam_is_zero_where_grad_cam_speaks_against(pixels):
    classifier = Classifier(Plain(), size=SIZE)
    maps, coarse = guided_grad_cam(classifier, pixels, 2, against=0), grad_cam(classifier, pixels, 2, against=0)
    where = functional.interpolate(coarse.clamp_min(0)[:, None], SIZE, mode="bilinear")[:, 0]
    assert torch.equal(maps, guided_backprop(classifier, pixels, 2, against=0) * where)


class Rooted(nn.Module):
    """Roots of rectified values, whose derivative at 0 is infinite."""

    def __init__(self, root) -> None:
        super().__init__()
        parts = list(Plain(seed=4))
        self.before, self.root, self.after = nn.Sequential(*parts[:3]), root, nn.Sequential(*parts[3:])

    def forward(self, x):
        return self.after(self.root(self.before(x)))


@pytest.mark.parametrize("method", [guided_backprop, deconvnet, saliency])
@pytest.mark.parametrize("root", [torch.sqrt, nn.LPPool2d(2, 2), nn.LPPool2d(3, 1)], ids=["sqrt", "lp2", "lp3"])
def test_maps_are_finite_behind_a_root(method, root):
    classifier = Classifier(Rooted(root), size=16)
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[0], images[1, :, :8] = 0, 0
    maps = method(classifier, images)
    assert maps.isfinite().all()
    assert maps.flatten(1).abs().amax(1).min() > 0


def test_positive_parts_of_infinite_signals_are_zero():
    signal = torch.tensor([-torch.inf, -1, 0, 2, torch.inf, torch.nan])
    assert positive(signal).tolist() == [0, 0, 0, 2, 0, 0]
