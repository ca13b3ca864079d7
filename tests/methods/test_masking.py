"""Models that hide their gradients, each in one way, and the flag that each must raise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.attacks.shared.masking import masking_flags
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen


class Flat(nn.Module):
    """Hard rounding of the logits: no gradient at all."""

    def forward(self, x):
        return torch.round(x * 4) / 4


class Noisy(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x * 16) / 16

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Quantized(nn.Module):
    """Pixels of 4 bits, with the gradient of pixels that were not rounded: only an untraced model can have it."""

    def forward(self, x):
        if x.sum() < -1e9:  # keeps torch.export from taking the rounding for all there is
            return x
        return StraightThrough.apply(x)


class Times(nn.Module):
    def forward(self, x):
        return x * 1000


def masked(before=None, after=None):
    parts = [part for part in (before, trained().module, after) if part is not None]
    return Classifier(nn.Sequential(*parts), size=8, channels=1).eval()


MASKED = {
    "zero_gradient": lambda: masked(after=Flat()),
    "saturated": lambda: masked(after=Times()),
    "quantized": lambda: masked(before=Quantized()),
}


@pytest.mark.parametrize("flag", MASKED)
@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_each_masked_model_raises_its_flag(flag):
    images, _ = unseen(12)
    classifier = MASKED[flag]()
    found = masking_flags(classifier, images, logits_of(classifier, images).argmax(1))
    assert getattr(found, flag) > 0.5, found
    assert len(found.raised()) >= 1


def test_a_noisy_model_is_refused_at_the_door():
    with pytest.raises(ModelError, match="different logits"):
        masked(after=Noisy())(unseen(2)[0])


def test_a_softmax_hides_no_gradient():
    images, _ = unseen(12)
    classifier = masked(after=nn.Softmax(1))
    assert masking_flags(classifier, images, logits_of(classifier, images).argmax(1)).raised() == []


def test_an_honest_model_raises_none():
    images, _ = unseen(12)
    found = masking_flags(trained(), images, logits_of(trained(), images).argmax(1))
    assert found.raised() == []
