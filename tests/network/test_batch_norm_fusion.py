from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier, open_network
from deeptroubles.network import fuse_batch_norm
from tests.networks import Plain

SIZE = (16, 20)


def with_statistics(model):
    """Give batch normalizations statistics and weights as after training."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.1)
            if module.affine:
                nn.init.uniform_(module.weight, -1.5, 1.5, generator=generator)
                nn.init.normal_(module.bias, generator=generator)
    return model


class Mixed(nn.Module):
    """Batch normalizations that can be fused (after layers) and that cannot (before a layer, after a shared value)."""

    def __init__(self):
        super().__init__()
        self.before = nn.BatchNorm2d(3)
        self.first, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False)
        self.grouped, self.grouped_norm = nn.Conv2d(4, 4, 3, groups=2, padding="same"), nn.BatchNorm2d(4)
        self.twice, self.twice_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head, self.head_norm = nn.Linear(4, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        x = functional.relu(self.norm(self.first(self.before(x))))
        x = functional.relu(self.grouped_norm(self.grouped(x)))
        y = self.twice(x)
        x = y + self.twice_norm(y)
        return self.head_norm(self.head(x.mean((2, 3))))


@pytest.fixture
def pixels():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("model", "left"), [(Plain, 0), (Mixed, 2)])
def test_fusion_removes_batch_norms_and_keeps_the_logits(model, left, pixels):
    torch.manual_seed(0)
    classifier = Classifier(with_statistics(model()), size=SIZE, mean=[0.4], std=[0.2])
    network = open_network(classifier)
    before = network(pixels)
    fused = fuse_batch_norm(network)
    assert (fused(pixels) - before).abs().max() < 1e-5
    assert fused.count("batch_norm") == left
    assert torch.equal(network(pixels), before)
    assert network.count("batch_norm") > left


def test_a_fused_layer_has_the_name_of_its_batch_norm(pixels):
    network = open_network(Classifier(with_statistics(Plain()), size=SIZE))
    fused = fuse_batch_norm(network)
    names = [layer.name for layer in fused.layers]
    assert "1" in names
    assert "0" not in names
    expected = network.record(pixels, ["1"]).activations["1"]
    assert torch.allclose(fused.record(pixels, ["1"]).activations["1"], expected, atol=1e-5)


def test_fusing_again_uses_new_weights(pixels):
    classifier = Classifier(with_statistics(Plain()), size=SIZE)
    network = open_network(classifier)
    fuse_batch_norm(network)
    with torch.no_grad():
        classifier.module[0].weight.mul_(2)
    assert torch.allclose(fuse_batch_norm(network)(pixels), network(pixels), atol=1e-5)
