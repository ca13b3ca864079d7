"""One-pixel attacks against trying everything."""

from __future__ import annotations

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks import one_pixel as scanning
from deeptroubles.methods.attacks.one_pixel import LOCAL, corners, one_pixel, pixel_logits, set_pixels
from deeptroubles.methods.attacks.one_pixel_evolution import one_pixel_evolution
from deeptroubles.network import open_network
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen
from tests.networks import Plain


def breakable(classifier, image, label) -> bool:
    """Whether any pixel, set to any corner, changes the answer: all of them tried."""
    height, width = image.shape[1:]
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    return any(
        (logits_of(classifier, set_pixels(image, *places.T, color.expand(len(places), -1))).argmax(1) != label).any()
        for color in corners(len(image))
    )


def test_the_scan_finds_all_that_trying_everything_finds():
    classifier, (images, labels) = trained(), unseen(80)
    found = one_pixel(classifier, images, labels)
    expected = [breakable(classifier, image, label) for image, label in zip(images, labels, strict=True)]
    assert 8 <= sum(expected) < 80
    assert found.success.tolist() == expected
    assert (found.distance[found.success] <= 1).all()
    changed = (found.images != images).any(1).sum((1, 2))
    assert changed.max() == 1
    assert (found.queries[found.success & (found.distance > 0)] < 2 * 64 + 4).all()


def test_gray_levels_inside_add_nothing_here():
    """What `one_pixel` calls a lower bound: 17 levels break the same images as two on this network."""
    classifier, (images, labels) = trained(), unseen(40)
    found = one_pixel(classifier, images, labels).success
    places = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    more = [
        any(
            (
                logits_of(classifier, set_pixels(image, *places.T, torch.full((64, 1), level / 16))).argmax(1) != label
            ).any()
            for level in range(17)
        )
        for image, label in zip(images, labels, strict=True)
    ]
    assert found.tolist() == more


def test_evolution_finds_what_the_scan_finds():
    classifier, (images, labels) = trained(), unseen(24)
    scan = one_pixel(classifier, images, labels).success
    found = one_pixel_evolution(classifier, images, labels, population=100, generations=30)
    assert (found.success & ~scan).sum() == 0
    assert found.success.sum() >= scan.sum() - 1
    assert ((found.images != images).any(1).sum((1, 2)) <= 1).all()
    alone = one_pixel_evolution(classifier, images[:1], labels[:1], population=100, generations=30)
    assert torch.equal(alone.images[0], found.images[0])


@pytest.mark.parametrize("population", [1, 3])
def test_a_child_needs_three_other_candidates(population):
    images, labels = unseen(1)
    with pytest.raises(UsageError, match="at least 4"):
        one_pixel_evolution(trained(), images, labels, population=population)
    assert len(one_pixel_evolution(trained(), images, labels, population=4, generations=1).images) == 1


def test_more_pixels_and_targets():
    classifier, (images, labels) = trained(), unseen(20)
    one, three = (one_pixel(classifier, images, labels, pixels=k) for k in (1, 3))
    assert (three.success | ~one.success).all()
    assert three.success.sum() > one.success.sum()
    assert (three.distance <= 3).all()
    targets = (labels + 1) % 10
    found = one_pixel(classifier, images, targets=targets, pixels=3)
    assert torch.equal(logits_of(classifier, found.images).argmax(1) == targets, found.success)


def test_a_large_image_is_computed_locally_and_exactly():
    classifier = Classifier(Plain().eval(), size=(64, 72))
    image = torch.randint(0, 256, (3, 64, 72), generator=torch.Generator().manual_seed(0)) / 255
    logits = logits_of(classifier, image[None])[0]
    found = one_pixel(classifier, image, int(logits.argmax()), limit=512)
    assert found.success.item() == (int(logits_of(classifier, found.images).argmax()) != int(logits.argmax()))


def test_what_a_pixel_changes_is_computed_exactly_from_the_bound_on():
    for side in (LOCAL - 1, LOCAL, 40):
        classifier = Classifier(Plain().eval(), size=(side, side + 3))
        generator = torch.Generator().manual_seed(side)
        image = torch.rand(3, side, side + 3, generator=generator)
        places = torch.cartesian_prod(torch.arange(side), torch.arange(side + 3))
        colors = corners(3)[torch.randint(0, 8, (len(places),), generator=generator)]
        found = pixel_logits(LocalEdits(open_network(classifier), image[None]), *places.T, colors, 256)
        expected = logits_of(classifier, set_pixels(image, *places.T, colors))
        # The network hardly reacts to a pixel: single precision is 1e-3 of what a pixel does; a wrong pixel would be 1.
        assert (found - expected).abs().max() < 0.01 * expected.std(0).min()


def test_evolution_of_larger_images_finds_the_same_locally(monkeypatch):
    classifier = Classifier(Plain().eval(), size=24)
    images = torch.randint(0, 256, (2, 3, 24, 24), generator=torch.Generator().manual_seed(0)) / 255
    classes = logits_of(classifier, images).argmax(1)
    local = one_pixel_evolution(classifier, images, classes, population=40, generations=5)
    monkeypatch.setattr(scanning, "LOCAL", 1000)
    whole = one_pixel_evolution(classifier, images, classes, population=40, generations=5)
    assert torch.equal(local.success, whole.success)
    assert torch.equal(local.images, whole.images)


@pytest.mark.parametrize(("channels", "count"), [(1, 2), (3, 8), (5, 2)])
def test_corners(channels, count):
    assert corners(channels).shape == (count, channels)
    assert corners(channels).unique(dim=0).shape[0] == count
