"""Caricatures: more of what a layer sees in an image."""

from __future__ import annotations

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.units.caricature import caricature
from deeptroubles.methods.units.shared.parameterizations import data_spectrum
from deeptroubles.network import open_network
from tests.networks import Plain

SIZE = (20, 24)


@pytest.fixture(scope="module")
def classifier():
    return Classifier(Plain(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


@pytest.fixture
def image():
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")[0]


def seen(classifier, image, layer):
    return open_network(classifier).activations(image[None], [layer])[layer].flatten()


@pytest.mark.parametrize("parameterization", ["fourier", "pixel", "maco"])
@pytest.mark.parametrize("layer", ["4", "1"])
def test_it_has_the_activations_of_the_image_but_stronger(classifier, image, parameterization, layer):
    settings = {"parameterization": parameterization, "spectrum": data_spectrum(image[None])}
    start = caricature(classifier, image, layer, steps=1, learning_rate=0.0, **settings)
    found = caricature(classifier, image, layer, steps=120, transform=False, **settings)
    of_image, of_start, of_found = (seen(classifier, each, layer) for each in (image, start, found))
    similarity = [float(torch.cosine_similarity(each, of_image, 0)) for each in (of_start, of_found)]
    assert similarity[1] > max(similarity[0], 0.8)
    assert of_found @ of_image > of_start @ of_image
    if parameterization != "maco":  # which keeps the contrast of the image
        assert of_found @ of_image > 1.1 * of_image @ of_image


def test_more_power_keeps_closer_to_the_image(classifier, image):
    similarity = []
    for power in (0.0, 8.0):
        found = caricature(classifier, image, "4", power=power, steps=120, transform=False)
        similarity.append(float(torch.cosine_similarity(*(seen(classifier, i, "4") for i in (found, image)), 0)))
    assert similarity[1] > similarity[0] + 0.02


def test_with_views_both_are_seen_through_the_same_one(classifier, image):
    found = caricature(classifier, image, "4", steps=120)
    assert torch.cosine_similarity(*(seen(classifier, i, "4") for i in (found, image)), 0) > 0.7


def test_it_is_a_picture_of_eight_bits_decided_by_its_seed(classifier, image):
    found = caricature(classifier, image, "4", steps=4)
    torch.manual_seed(9)
    assert found.shape == image.shape
    assert torch.equal(found, (found * 255).round() / 255)
    assert torch.equal(found, caricature(classifier, image[None], "4", steps=4))
    assert not torch.equal(found, caricature(classifier, image, "4", steps=4, seed=1))


@pytest.mark.parametrize("training", [True, False])
def test_everything_is_left_as_it_was(image, training):
    classifier = Classifier(Plain(), size=SIZE).train(training)
    state = torch.get_rng_state()
    with torch.inference_mode():
        found = caricature(classifier, image.clone(), "4", steps=3)
    assert torch.equal(found, caricature(classifier, image, "4", steps=3))
    assert not found.requires_grad
    assert all(m.training == training for m in classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_gray_images(image):
    classifier = Classifier(Plain(1), size=SIZE, channels=1)
    found = caricature(classifier, image[:1], "2", steps=60, transform=False)
    assert found.shape == (1, *SIZE)
    assert torch.cosine_similarity(*(seen(classifier, i, "2") for i in (found, image[:1])), 0) > 0.8


def test_what_does_not_fit_is_told(classifier, image):
    with pytest.raises(UsageError, match="one image; 2"):
        caricature(classifier, torch.stack([image, image]), "4")
    with pytest.raises(UsageError, match="the shape"):
        caricature(classifier, image[:, :9], "4")
    with pytest.raises(UsageError, match="needs spectrum"):
        caricature(classifier, image, "4", parameterization="maco")
    with pytest.raises(ModelError, match="no layer"):
        caricature(classifier, image, "nowhere")
