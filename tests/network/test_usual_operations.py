"""Operations under other names, products with constant matrices and assignments are what they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.network import open_network
from deeptroubles.network.traced import OPERATIONS
from tests.methods.lrp_networks import Ghost


class Written(nn.Module):
    """Standardization and a head, written with aliases and a product of matrices."""

    def __init__(self, *, bias):
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 4, 3, bias=False), nn.Parameter(torch.rand(4, 1, 1) + 0.5)
        self.weight, self.bias = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(5)) if bias else None

    def forward(self, x):
        x = torch.subtract(self.conv(x), self.scale)
        x = torch.concat([torch.multiply(x, self.scale), torch.negative(x)], 1)[:, :4]
        pooled = torch.true_divide(x.sum((2, 3)), 36)
        logits = pooled @ self.weight
        return logits if self.bias is None else self.bias + logits


@pytest.mark.parametrize("bias", [True, False])
def test_aliases_and_products_become_usual_operations(bias):
    torch.manual_seed(0)
    classifier = Classifier(Written(bias=bias), size=8)
    network = open_network(classifier)
    pixels = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(network(pixels), classifier(pixels))
    operations = {layer.operation for layer in network.layers}
    assert not operations & {"subtract", "multiply", "negative", "true_divide", "concat", "matmul"}
    (linear,) = (node for node in network.graph.nodes if node.target in OPERATIONS["linear"])
    assert len(linear.args) == (3 if bias else 2)
    assert network.grid(":sub") is not None
    with torch.no_grad():
        classifier.module.weight.add_(1)
    torch.testing.assert_close(network(pixels), classifier(pixels))  # the weights stay shared


def test_an_assignment_to_a_part_leaves_positions_where_they_are():
    """As the in-place addition of a GhostNet, after which no layer had positions. A part that is filled has none."""
    network = open_network(Classifier(Ghost().eval(), size=16))
    operations = [layer.operation for layer in network.layers]
    signals = network.layers[: operations.index("fill")]
    assigned = [layer for layer in signals if layer.operation in {"slice_scatter", "select_scatter"}]
    assert assigned
    assert all(network.grid(layer.name) for layer in assigned)
