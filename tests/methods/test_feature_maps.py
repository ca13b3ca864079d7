from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.units.feature_maps import feature_maps, first_filters
from tests.networks import Plain, Untraceable

SIZE = (12, 16)


def new(model=Plain):
    return Classifier(model(), size=SIZE, mean=[0.4], std=[0.2])


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("model", "prefix"), [(Plain, ""), (Untraceable, "inner.")])
@pytest.mark.filterwarnings("ignore:Untraceable could not be traced")
def test_maps_are_what_the_module_computes(model, prefix, images):
    classifier = new(model)
    stages = classifier.eval().module if model is Plain else classifier.eval().module.inner
    expected = nn.Sequential(*list(stages)[:5])((images - 0.4) / 0.2).detach()
    maps = feature_maps(classifier, images, f"{prefix}4")
    assert torch.allclose(maps, expected, atol=1e-6)
    assert not maps.requires_grad
    assert bool((maps < 0).any())  # raw
    assert torch.equal(feature_maps(classifier, images, f"{prefix}4", [5, 1]), maps[:, [5, 1]])
    assert torch.allclose(feature_maps(classifier, images[1], f"{prefix}4"), maps[1:2], atol=1e-6)


def test_the_first_filters_are_a_copy_of_the_first_weights():
    classifier = new()
    filters = first_filters(classifier)
    assert torch.equal(filters, classifier.module[0].weight)
    assert filters.shape == (6, 3, 3, 3)
    filters.zero_()
    assert classifier.module[0].weight.abs().sum() > 0


def test_what_cannot_be_shown_is_told(images):
    classifier = new()
    with pytest.raises(ModelError, match="without positions"):
        feature_maps(classifier, images, "8")
    with pytest.raises(ModelError, match="no layer"):
        feature_maps(classifier, images, "20")
    with pytest.raises(UsageError, match="no unit 8; its units are 0 to 7"):
        feature_maps(classifier, images, "4", [0, 8])
    with pytest.raises(UsageError, match="the shape"):
        feature_maps(classifier, images[:, :, 1:], "4")
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), size=4)
    with pytest.raises(ModelError, match="no convolution"):
        first_filters(flat)


def test_it_restores_what_it_touches(images):
    classifier = new().train()
    feature_maps(classifier, images, "4")
    assert all(m.training for m in classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())
    assert not any(m._forward_hooks for m in classifier.modules())
