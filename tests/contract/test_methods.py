"""What holds for every attribution method."""

from __future__ import annotations

import inspect

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods import METHODS
from tests.networks import Plain

SIZE = (20, 24)


@pytest.fixture
def classifier():
    return Classifier(Plain(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", METHODS)
def test_its_docstring_says_what_it_gives(name):
    text = inspect.getdoc(METHODS[name])
    for section in ("Args:", "Returns:", "Raises:", "Source:"):
        assert section in text, section


@pytest.mark.parametrize("name", METHODS)
def test_one_signed_map_per_image_whatever_the_batch(name, classifier, images):
    maps = METHODS[name](classifier, images, 1)
    assert maps.ndim == 3
    assert len(maps) == 3
    assert (maps < 0).any()
    alone = torch.cat([METHODS[name](classifier, image, 1) for image in images])
    assert torch.allclose(maps, alone, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_default_target_is_the_most_likely_class(name, classifier, images):
    likely = classifier.eval()(images).argmax(1)
    assert torch.equal(METHODS[name](classifier, images), METHODS[name](classifier, images, likely))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("training", [True, False])
def test_it_restores_what_it_touches(name, classifier, images, training):
    classifier.train(training)
    for parameter in classifier.parameters():
        parameter.requires_grad_(training)
    state, running = torch.get_rng_state(), classifier.module[1].running_mean.clone()
    with torch.no_grad():
        first = METHODS[name](classifier, images, 0)
    with torch.inference_mode():
        second = METHODS[name](classifier, images, 0)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert all(m.training == training for m in classifier.modules())
    assert all(p.requires_grad == training and p.grad is None for p in classifier.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in classifier.modules())
    assert torch.equal(running, classifier.module[1].running_mean)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", METHODS)
def test_it_restores_after_a_failure_too(name, classifier, images):
    classifier.train()
    with pytest.raises(UsageError, match="Targets must be"):
        METHODS[name](classifier, images, 99)
    assert all(m.training for m in classifier.modules())
    assert not any(m._forward_hooks for m in classifier.modules())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [(torch.zeros(1, 3, 9, 9), "the shape"), (torch.full((1, 3, *SIZE), 2.0), r"in \[0, 1\]")],
)
def test_wrong_pixels_are_told(name, classifier, wrong, message):
    with pytest.raises(UsageError, match=message):
        METHODS[name](classifier, wrong)
