"""Every method on every family of networks: a map, or one sentence that says why not."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.catalogue import ATTRIBUTION
from tests.architectures import CONVOLUTIONAL, TRANSFORMERS, SwinLike, build
from tests.contract.test_methods import attribute

SIZE = (20, 28)
FAMILIES = {family.__name__: family for family in [*CONVOLUTIONAL, *TRANSFORMERS]}
PIXEL_METHODS = {"saliency", "gradient_x_input", "smooth_grad", "integrated_gradients", "occlusion", "rise"}
NO_RECTIFIER = {"guided_backprop", "deconvnet", "guided_grad_cam"}
IMPOSSIBLE = {"VggLike": {"cam"}, "MobileNetLike": {"cam"}, "ConvNextLike": {"cam"} | NO_RECTIFIER}
WITH_LAYER = ["ablation_cam", "eigen_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "score_cam", "xgrad_cam"]


def explain(name, *arguments, **settings):
    windows = {"window": 8, "stride": 4} if name == "occlusion" else {}
    return attribute(name, *arguments, **windows, **settings)


@cache
def classifier(family, channels=3):
    network = build(FAMILIES[family], channels).requires_grad_(False)
    return Classifier(network, size=SIZE, channels=channels, mean=[0.45], std=[0.25]).eval()


def images(channels=3):
    return torch.rand(2, channels, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("family", "channels"),
    [(family.__name__, 3) for family in CONVOLUTIONAL] + [("ResNetLike", 1), ("MobileNetLike", 1)],
)
@pytest.mark.parametrize("name", ATTRIBUTION)
def test_it_runs_on_convolutional_networks_with_frozen_weights_and_without_gradients(name, family, channels):
    subject = classifier(family, channels)
    if name in IMPOSSIBLE.get(family, ()):
        with pytest.raises(ModelError, match=r"use .*(Grad-CAM|occlusion)"):
            explain(name, subject, images(channels))
        return
    with torch.no_grad():
        maps = explain(name, subject, images(channels), [0, 2])
    assert maps.ndim == 3
    assert len(maps) == 2
    assert torch.isfinite(maps).all()
    assert all(one.std() > 0 or name in NO_RECTIFIER for one in maps)
    assert name not in PIXEL_METHODS or maps.shape[1:] == SIZE


@pytest.mark.parametrize("family", [family.__name__ for family in TRANSFORMERS])
@pytest.mark.parametrize("name", ATTRIBUTION)
def test_on_transformers_it_gives_pixels_or_patches_or_says_what_to_use_instead(name, family):
    refusal, maps = "", None
    try:
        maps = explain(name, classifier(family), images(), [0, 2])
    except ModelError as error:
        refusal = str(error)
    if name in {"grad_cam", *WITH_LAYER} or (name == "cam" and family != "VitLike"):
        assert maps.shape == (2, SIZE[0] // 4, SIZE[1] // 4)
        assert torch.isfinite(maps).all()
        assert all(one.std() > 0 for one in maps)
    elif name in PIXEL_METHODS or not refusal:
        assert maps.shape == (2, *SIZE)
        assert torch.isfinite(maps).all()
    else:
        assert refusal.count(". ") == 0
        assert "use" in refusal


@pytest.mark.parametrize("name", WITH_LAYER)
def test_a_layer_of_attention_weights_has_no_positions(name):
    with pytest.raises(ModelError, match=r"'blocks.0:softmax' has no positions .*; try 'blocks.0'"):
        explain(name, classifier("VitLike"), images(), 0, layer="blocks.0:softmax")


@pytest.mark.parametrize("name", ["grad_cam", *WITH_LAYER])
def test_a_transformers_patches_can_be_named(name):
    maps = explain(name, classifier("VitLike"), images(), 0, layer="patches")
    assert maps.shape == (2, SIZE[0] // 4, SIZE[1] // 4)
    assert torch.isfinite(maps).all()


def test_a_network_of_windows_ends_in_average_pooling():
    subject = Classifier(build(SwinLike), size=SIZE, mean=[0.45], std=[0.25]).eval()
    maps = explain("cam", subject, images(), 1)
    with torch.no_grad():
        logits = subject(images())[:, 1]
    assert maps.shape == (2, 2, 2)
    torch.testing.assert_close(maps.mean((1, 2)) + subject.module.head.bias[1].detach(), logits)
    torch.testing.assert_close(explain("grad_cam", subject, images(), 1) * 4, maps)
    assert explain("grad_cam", subject, images(), 1, layer="norm").shape == (2, 4, 6)


@pytest.mark.parametrize("name", WITH_LAYER)
def test_a_layer_without_positions_is_told_and_one_with_positions_named(name):
    with pytest.raises(ModelError, match=r"'fc' has no positions .*; try 'layer2'"):
        explain(name, classifier("ResNetLike"), images(), 0, layer="fc")


@pytest.mark.parametrize("name", WITH_LAYER)
@pytest.mark.parametrize("family", [family.__name__ for family in CONVOLUTIONAL])
def test_any_layer_with_positions_can_be_named(name, family):
    """Also inside of blocks, beside a skip connection, before an in-place operation and before a gate."""
    from deeptroubles.network import open_network

    network = open_network(classifier(family))
    layers = [layer for layer in network.layers if layer.is_spatial and "permute" not in layer.name]
    for layer in layers[:: max(1, len(layers) // 5)]:
        if family == "ConvNextLike" and layer.shape[0] != 8:
            continue
        maps = explain(name, classifier(family), images(), 1, layer=layer.name)
        assert maps.shape == (2, *layer.shape[1:])
        assert torch.isfinite(maps).all()


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_how_a_rectifier_is_written_makes_no_difference(name):
    maps = [explain(name, rectified(how), images(), 1) for how in HOWS]
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0])


@cache
def rectified(how):
    return Classifier(Rectified(how), size=SIZE, mean=[0.4], std=[0.3])


HOWS = ["modules", "in place", "one module", "functional", "functional in place"]


class Rectified(nn.Module):
    """The same network with its ReLUs written in five ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.first, self.second = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 8, 3, 2, 1)
            self.head = nn.Linear(8, 4)
        one = nn.ReLU(inplace=True)
        pairs = {
            "modules": (nn.ReLU(), nn.ReLU()),
            "in place": (nn.ReLU(inplace=True), nn.ReLU(inplace=True)),
            "one module": (one, one),
        }
        self.relus = nn.ModuleList(pairs.get(how, ()))
        self.how = how

    def forward(self, x):
        for i, conv in enumerate((self.first, self.second)):
            x = conv(x)
            x = self.relus[i](x) if self.relus else nn.functional.relu(x, inplace="place" in self.how)
        return self.head(x.mean((2, 3)))
