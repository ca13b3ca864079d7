"""Predictions take the fast memory layout, and are those of the module."""

from __future__ import annotations

import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.subject import logits_of, returned_by


class Seen(nn.Module):
    """A small convolutional network that notes the memory layout of what it gets."""

    def __init__(self, *, views: bool) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 8, 3), nn.Linear(8 * 36, 4)
        self.views, self.layouts = views, []

    def forward(self, x):
        self.layouts.append(x.is_contiguous(memory_format=torch.channels_last))
        x = self.convolution(x).relu()
        return self.linear(x.view(len(x), -1) if self.views else x.flatten(1))


def network(*, views=False):
    torch.manual_seed(0)
    return Classifier(Seen(views=views), size=8)


PIXELS = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_predictions_are_computed_with_channels_last():
    classifier = network()
    classifier.module.layouts.clear()
    found = logits_of(classifier, PIXELS, batch_size=2)
    assert classifier.module.layouts == [True] * 3
    with torch.no_grad():
        assert torch.allclose(found, classifier(PIXELS), rtol=1e-4, atol=1e-6)
    assert torch.equal(found, returned_by(classifier, PIXELS, batch_size=2))
    assert classifier.module.convolution.weight.is_contiguous()  # the user's module stays as it is


def test_a_module_that_needs_the_usual_layout_gets_it():
    classifier = network(views=True)
    with torch.no_grad():
        assert torch.equal(logits_of(classifier, PIXELS), classifier(PIXELS))


def test_weights_that_change_later_count():
    classifier = network()
    before = logits_of(classifier, PIXELS)
    state = {name: value * 2 for name, value in classifier.module.state_dict().items()}
    classifier.module.load_state_dict(state, assign=True)
    after = logits_of(classifier, PIXELS)
    with torch.no_grad():
        assert torch.allclose(after, classifier(PIXELS), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(after, before)
