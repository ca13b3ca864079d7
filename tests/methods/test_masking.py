"""Models that hide their gradients, each in one way, and the flag that each must raise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.attribution import grad_cam, occlusion
from deeptroubles.errors import ModelError, NoGradientError
from deeptroubles.methods.catalogue import METHODS
from deeptroubles.methods.masking import masking_flags
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


class Misled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Reversed(nn.Module):
    """The gradient points away from where the loss rises."""

    def forward(self, x):
        return x if x.sum() < -1e9 else Misled.apply(x)


class Root(nn.Module):
    """An infinite gradient at black pixels."""

    def forward(self, x):
        return x.sqrt()


@pytest.mark.parametrize(("flag", "before"), [("misleading", Reversed()), ("not_finite", Root())])
@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_gradients_that_mislead_or_are_infinite_raise_their_flag(flag, before):
    images, classifier = unseen(12)[0], masked(before=before)
    found = masking_flags(classifier, images, logits_of(classifier, images).argmax(1))
    assert getattr(found, flag) > 0.5, found


class Rounds(nn.Module):
    def forward(self, x):
        return torch.round(x * 8) / 8


class Detaches(nn.Module):
    def forward(self, x):
        return x.detach() if x.sum() > -1e9 else x


class Indexes(nn.Module):
    """Pixels become integers, as in a network with a table of embeddings."""

    def __init__(self):
        super().__init__()
        self.register_buffer("values", torch.linspace(0, 1, 17))

    def forward(self, x):
        return self.values[(x * 16).long().clamp(0, 16)]


OF_THE_GRAPH = ["guided_backprop", "deconvnet"]
GRADIENT_METHODS = ["saliency", "gradient_x_input", "integrated_gradients", "smooth_grad", *OF_THE_GRAPH]


@pytest.mark.parametrize("before", [Rounds(), Detaches(), Indexes()], ids=["rounds", "detaches", "indexes"])
@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_no_method_draws_a_gradient_that_is_zero(before):
    images, classifier = unseen(3)[0], masked(before=before)
    for name in GRADIENT_METHODS:
        if isinstance(before, Detaches) and name in OF_THE_GRAPH:
            continue  # they need the graph and say so
        with pytest.raises(NoGradientError, match="occlusion or rise"):
            METHODS[name].function(classifier, images)
    assert occlusion(classifier, images, window=2).abs().amax() > 0


def test_maps_of_a_layer_after_the_rounding_still_work():
    images, classifier = unseen(3)[0], masked(before=Rounds())
    assert grad_cam(classifier, images).abs().amax() > 0
    with pytest.raises(NoGradientError, match="layer"):
        grad_cam(masked(after=Flat()), images)
