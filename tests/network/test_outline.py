"""The graph of the layers with units, and the weights between them."""

from __future__ import annotations

import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.network import open_network, outline, readers


class Block(nn.Module):
    """A residual block whose shortcut passes around two convolutions, then pooling and a linear map."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm = nn.BatchNorm2d(6)
        self.mix = nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        before = self.stem(x).relu()
        after = before + self.mix(self.norm(self.depth(before)).relu())
        return self.head(after.mean((2, 3)))


def network(module):
    torch.manual_seed(0)
    return open_network(Classifier(module.eval(), size=8))


def test_a_residual_block_shows_both_of_its_branches():
    found = outline(network(Block()))
    stem, depth, mix, total, head = (layer.name for layer in found.layers)
    assert found.kinds == ("convolution", "depthwise convolution", "convolution", "sum", "linear")
    assert set(found.edges) == {
        ("pixels", stem),
        (stem, depth),
        (depth, mix),
        (mix, total),
        (stem, total),
        (total, head),
    }


def test_weights_are_those_of_the_next_linear_map_or_1_x_1_convolution():
    block = Block()
    opened = network(block)
    stem, depth, mix, total, head = (layer.name for layer in outline(opened).layers)
    (reader,) = readers(opened, depth)
    assert reader.layer == mix
    assert torch.equal(reader.weights, block.mix.weight.flatten(1))
    (reader,) = readers(opened, total)
    assert reader.layer == head
    assert torch.equal(reader.weights, block.head.weight)
    assert readers(opened, stem) == []
    assert readers(opened, mix) == []
    assert readers(opened, head) == []


def test_units_that_are_mixed_on_the_way_have_no_weights():
    mixed = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))
    opened = network(mixed)
    conv, head = (layer.name for layer in outline(opened).layers)
    assert outline(opened).edges == (("pixels", conv), (conv, head))
    assert readers(opened, conv) == []
