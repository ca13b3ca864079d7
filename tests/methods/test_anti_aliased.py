"""A blur in every stride of a network that can be trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier, load_classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.surgery.anti_aliased import anti_aliased
from deeptroubles.network import TracedNetwork, open_network
from deeptroubles.planted.folder import _exported
from deeptroubles.planted.networks import plain, residual
from deeptroubles.subject import logits_of
from deeptroubles.transforms import blur_pool, shift
from tests.networks import Plain


class Functions(nn.Module):
    """Strides that functions take, with arguments by position and by name."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.first(x)), 2)
        x = functional.conv2d(input=x, weight=self.second.weight, stride=2, padding=1)
        x = torch.max_pool2d(x, kernel_size=3, stride=1)
        return self.head(functional.avg_pool2d(x, 2, stride=1).mean((2, 3)))


MODULES = {"plain": lambda: plain(4), "residual": lambda: residual(4), "norm": Plain, "functions": Functions}


def classifier_of(name, size=32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(MODULES[name]().eval(), size=size, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.25])


def images(size=32):
    coarse = torch.rand(8, 3, size // 2, size // 2, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def change(classifier, pixels):
    """How far a shift by one pixel moves the logits, relative to how far they differ between images."""
    logits = logits_of(classifier, pixels)
    moved = logits_of(classifier, shift(pixels, 0, 1, "circular"))
    return float((moved - logits).norm() / (logits - logits.mean(0)).norm())


@pytest.mark.parametrize("name", MODULES)
def test_logits_change_less_when_the_image_moves(name):
    classifier = classifier_of(name)
    assert change(anti_aliased(classifier), images()) < 0.8 * change(classifier, images())


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_it_computes_what_the_transform_of_the_graph_computes(name, size):
    classifier = classifier_of(name)
    expected = logits_of(blur_pool(classifier, size), images())
    assert torch.allclose(logits_of(anti_aliased(classifier, size), images()), expected, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_without_a_filter_nothing_changes(name):
    classifier = classifier_of(name, 31)
    pixels = images(32)[:, :, :31, :31]
    assert torch.allclose(logits_of(anti_aliased(classifier, 1), pixels), logits_of(classifier, pixels), atol=1e-6)


def test_shapes_are_unchanged_and_the_result_can_be_traced():
    classifier = classifier_of("residual")
    network, blurred = open_network(classifier), open_network(anti_aliased(classifier))
    assert isinstance(blurred, TracedNetwork)
    for name in ("2", "3"):
        assert blurred.layer(f"module.{name}").shape == network.layer(name).shape


def test_it_holds_for_an_exported_program(tmp_path):
    classifier = classifier_of("residual")
    (tmp_path / "model.pt2").write_bytes(_exported(classifier))
    program = load_classifier(str(tmp_path / "model.pt2"))
    expected = logits_of(anti_aliased(classifier), images())
    assert torch.allclose(logits_of(anti_aliased(program), images()), expected, atol=1e-5)


def test_weights_are_copied_can_be_trained_and_fit_a_module_that_is_built_again():
    classifier = classifier_of("norm")
    before = classifier.fingerprint()
    blurred = anti_aliased(classifier)
    assert list(blurred.module.state_dict()) == [f"module.{name}" for name in classifier.module.state_dict()]
    blurred.train()
    blurred(images()).square().sum().backward()
    with torch.no_grad():
        for parameter in blurred.parameters():
            parameter.sub_(0.01 * parameter.grad)
    assert classifier.fingerprint() == before
    again = anti_aliased(classifier)
    assert not torch.allclose(logits_of(again, images()), logits_of(blurred, images()))
    again.module.load_state_dict(blurred.module.state_dict())
    assert torch.equal(logits_of(again, images()), logits_of(blurred, images()))


def test_a_filter_of_no_length_and_an_unknown_border_are_errors():
    with pytest.raises(UsageError, match="1 or more"):
        anti_aliased(classifier_of("plain"), 0)
    with pytest.raises(UsageError, match="black, mirror, circular"):
        anti_aliased(classifier_of("plain"), border="white")
