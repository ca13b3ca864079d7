"""The layers of a classifier as a table."""

import pytest
import torch
from torch import nn

from deeptroubles import Classifier, list_layers
from tests.architectures import VitLike, build
from tests.networks import Untraceable


def test_receptive_fields_and_positions_are_those_computed_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 2),
    )
    found = {layer.name: layer for layer in list_layers(Classifier(network, size=(24, 32)))}
    first, second, pooled, last = (found[name] for name in ("0", "2", "3", "5"))
    assert (first.operation, first.shape, first.units, first.positions) == ("conv2d", (4, 12, 16), 4, (12, 16))
    assert (first.receptive_field, second.receptive_field) == ((3, 3), (7, 7))
    assert (pooled.positions, pooled.receptive_field) == (None, (24, 32))
    assert (last.operation, last.units) == ("linear", 2)


def test_tokens_have_positions_and_units():
    found = {layer.name: layer for layer in list_layers(Classifier(build(VitLike), size=(20, 28)))}
    assert (found["blocks.1"].shape, found["blocks.1"].units, found["blocks.1"].positions) == ((36, 8), 8, (5, 7))
    assert found["patches"].receptive_field == (4, 4)
    assert found["blocks.0"].receptive_field == (20, 28)


def test_layers_of_a_model_that_cannot_be_traced():
    with pytest.warns(UserWarning, match="could not be traced"):
        found = {layer.name: layer for layer in list_layers(Classifier(Untraceable(), size=(20, 24)))}
    assert found["inner.0"].operation == "Conv2d"
    assert found["inner.0"].positions == (20, 24)
    assert found["inner.0"].receptive_field is None
    assert torch.is_grad_enabled()
