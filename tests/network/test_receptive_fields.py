from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles import Classifier, open_network
from deeptroubles.network import PIXELS


def classifier_of(features: nn.Module, size: tuple[int, int], channels: int = 1) -> Classifier:
    """A classifier whose layer `features` is the module that is looked at."""

    class Looked(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = features

        def forward(self, x: Tensor) -> Tensor:
            y = self.features(x).flatten(1).sum(1, keepdim=True)
            return torch.cat([y, -y], 1)

    return Classifier(Looked(), size=size, channels=channels)


def positive(module: nn.Module) -> nn.Module:
    """Positive weights everywhere: no gradient cancels, so that its support is all a position depends on."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.Linear):
            nn.init.uniform_(m.weight, 0.1, 1.0)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return module


def has_maximum(network) -> bool:
    return any("max_pool" in layer.operation for layer in network.layers)


def support(network, layer: str, row: int, column: int) -> tuple[int, int, int, int]:
    """The bounding box of the pixels that one position of a layer depends on, from gradients."""
    height, width = network.classifier.size
    seen = torch.zeros(height, width, dtype=torch.bool)
    # A maximum has one winner; images that double from pixel to pixel towards each corner make every end win once.
    corners = [(y, x) for y in (-1, 1) for x in (-1, 1)] if has_maximum(network) else [(0, 0)]
    for seed, (y, x) in itertools.product(range(3), corners):
        pixels = torch.rand(
            1, network.classifier.channels, height, width, generator=torch.Generator().manual_seed(seed)
        )
        pixels = pixels * 2.0 ** (y * torch.arange(height)[:, None] + x * torch.arange(width))
        pixels = pixels / pixels.max()
        inputs = pixels.requires_grad_()
        value = network._part((network._pixels,), (network._node(layer),))(inputs)[0][0, :, row, column].sum()
        if value.requires_grad:
            seen |= torch.autograd.grad(value, inputs)[0][0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
    if not len(rows):
        return 1 << 30, 1 << 30, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def assert_exact(features: nn.Module, size: tuple[int, int] = (17, 22)) -> None:
    network = open_network(classifier_of(positive(features), size))
    field = network.receptive_field("features")
    _, height, width = network.layer("features").shape
    for row in {0, 1, height // 2, height - 1} & set(range(height)):
        for column in {0, width // 2, width - 1}:
            assert field.box(row, column) == support(network, "features", row, column), (row, column)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 5, padding=2)

    def forward(self, x):
        return self.b(self.a(x)) + x


class Branches(nn.Module):
    """Concatenation of branches with different fields, as in Inception."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 2, 1, stride=2), nn.Conv2d(1, 2, 5, stride=2, padding=2)

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), functional.avg_pool2d(x, 3, 2, 1)], 1)


class ChannelsLast(nn.Module):
    """Permutations and a linear layer over channels, as in ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.mix = nn.Conv2d(1, 4, 4, stride=4), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.mix(self.norm(self.a(x).permute(0, 2, 3, 1)) + self.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Excited(nn.Module):
    """Squeeze and excitation: every position depends on everything."""

    def forward(self, x):
        y = functional.avg_pool2d(x, 3, 1, 1)
        return y * (x.mean((2, 3), keepdim=True) + 0.5)


class Cut(nn.Module):
    def forward(self, x):
        return functional.avg_pool2d(x[:, :, 3:, :-2], 3, 2)


class Resized(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode

    def forward(self, x):
        return functional.interpolate(functional.avg_pool2d(x, 2), scale_factor=2, mode=self.mode)


class Sewn(nn.Module):
    """Two halves put side by side."""

    def forward(self, x):
        return torch.cat([functional.avg_pool2d(x, 2), functional.avg_pool2d(x + 1, 2) * 2], 3)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "features",
    [
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(1, 1, (1, 5), padding=(0, 2), stride=(2, 1)),
        nn.Conv2d(1, 1, 3, dilation=2, padding=2),
        nn.Conv2d(1, 1, 4, padding="same"),
        nn.Conv2d(1, 1, 2, padding="valid"),
        nn.Sequential(nn.Conv2d(1, 1, 2, stride=2), nn.Conv2d(1, 1, 3, padding=1)),  # the last pixels are never seen
        nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.BatchNorm2d(2), nn.ReLU6(), nn.MaxPool2d(3, 2, 1)),
        nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2)),
        nn.AdaptiveAvgPool2d((5, 3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(1, 1, 3)),
        nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(1, 1, 3)),
        nn.Sequential(nn.ReplicationPad2d(3), nn.Conv2d(1, 1, 3)),
        Residual(),
        Branches(),
        Excited(),
        Cut(),
        Resized("nearest"),
        Resized("bilinear"),
        Sewn(),
        nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8)),
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ChannelShuffle(2), nn.Conv2d(4, 1, 3)),
    ],
    ids=lambda m: type(m).__name__ if not isinstance(m, nn.Sequential) else "-".join(type(x).__name__ for x in m),
)
def test_box_equals_the_support_of_the_gradient(features):
    torch.manual_seed(0)
    assert_exact(features)


def test_channels_last():
    network = open_network(classifier_of(ChannelsLast(), (16, 20)))
    field = network.receptive_field("features")
    assert (field.size, field.stride, field.offset) == ((4, 4), (4, 4), (0, 0))
    assert field.box(1, 2) == support(network, "features", 1, 2) == (4, 8, 8, 12)


LAYER = st.tuples(
    st.sampled_from(["conv", "max", "average"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(LAYER, min_size=1, max_size=4), st.integers(14, 25), st.integers(14, 25))
def test_any_stack_is_exact(layers, height, width):
    torch.manual_seed(0)
    modules = []
    for kind, kernel, stride, most, dilation in layers:
        padding = min(most, kernel // 2)
        if kind == "conv":
            modules.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation))
        elif kind == "max":
            modules.append(nn.MaxPool2d(kernel, stride, padding, dilation))
        else:
            modules.append(nn.AvgPool2d(kernel, stride, padding))
    features = nn.Sequential(*modules)
    try:
        features(torch.rand(1, 1, height, width))
    except RuntimeError:
        return  # the image is too small for this stack
    network = open_network(classifier_of(positive(features), (height, width)))
    field = network.receptive_field("features")
    _, rows, columns = network.layer("features").shape
    for row, column in {(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)}:
        top, left, bottom, right = support(network, "features", row, column)
        box = field.box(row, column)
        if has_maximum(network):  # a few images need not show every winner
            assert np.all(np.array(box[:2]) <= (top, left))
            assert np.all(np.array(box[2:]) >= (bottom, right))
        else:
            assert box == (top, left, bottom, right)


def test_published_sizes():
    """VGG-16's last layers (Araujo et al. 2019, table 1): 196 for conv5_3, 212 for pool5; strides 16 and 32."""
    layers: list[nn.Module] = []
    channels = 3
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            layers += [nn.Conv2d(channels, 2, 3, padding=1), nn.ReLU(inplace=True)]
            channels = 2
        layers.append(nn.MaxPool2d(2))
    network = open_network(classifier_of(nn.Sequential(*layers), (224, 224), channels=3))
    conv5, pool5 = network.receptive_field("features.28"), network.receptive_field("features.30")
    assert (conv5.size, conv5.stride, conv5.offset) == ((196, 196), (16, 16), (-90, -90))
    assert (pool5.size, pool5.stride, pool5.offset) == ((212, 212), (32, 32), (-90, -90))
    assert network.receptive_field(PIXELS).size == (1, 1)
    assert pool5.box(6, 0) == (102, 0, 224, 122)
