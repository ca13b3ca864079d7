"""Every method on published architectures (random weights, small images): a map, or one sentence that says why not."""

from __future__ import annotations

from functools import cache, partial

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.catalogue import ATTRIBUTION
from deeptroubles.network import open_network
from tests.contract.test_methods import attribute
from tests.torchvision_shim import declare_operators

SIZE = (64, 96)
SMALL = {"rise": {"masks": 4}, "occlusion": {"window": 32, "stride": 32}, "score_cam": {"channels": 4}}
NO_RECTIFIER = {"guided_backprop", "deconvnet", "guided_grad_cam"}
IMPOSSIBLE = {"mobilenet_v2": set(), "squeezenet1_1": {"cam"}, "convnext_tiny": {"cam"} | NO_RECTIFIER}
LAST = {
    "mobilenet_v2": ("features", (1280, 2, 3)),
    "squeezenet1_1": ("classifier.2", (1000, 3, 5)),
    "convnext_tiny": ("features", (768, 2, 3)),
}


@cache
def classifier(name):
    declare_operators()
    models = pytest.importorskip("torchvision.models")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.get_model(name, weights=None)
    return Classifier(model, size=SIZE, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]).eval()


def image():
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("model", IMPOSSIBLE)
@pytest.mark.parametrize("name", ATTRIBUTION)
def test_every_method(name, model):
    explain = partial(attribute, name, classifier(model), image(), 7, **SMALL.get(name, {}))
    if name in IMPOSSIBLE[model]:
        with pytest.raises(ModelError, match=r"use .*occlusion"):
            explain()
        return
    maps = explain()
    assert maps.shape[1:] in {SIZE, LAST[model][1][1:]}
    assert torch.isfinite(maps).all()
    assert maps.std() > 0


@pytest.mark.parametrize("model", LAST)
def test_the_deepest_layer_with_positions(model):
    layer = open_network(classifier(model)).last_with_positions
    assert (layer.name, layer.shape) == LAST[model]


def test_the_mean_of_a_class_activation_map_is_the_logit_without_its_bias():
    subject = classifier("mobilenet_v2")
    bias = subject.module.classifier[1].bias[7].detach()
    with torch.no_grad():
        logit = subject(image())[:, 7]
    torch.testing.assert_close(ATTRIBUTION["cam"].function(subject, image(), 7).mean((1, 2)) + bias, logit)
