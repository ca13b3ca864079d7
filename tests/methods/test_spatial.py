from __future__ import annotations

import pytest
import torch

from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.balls import quantize
from deeptroubles.methods.attacks.spatial import spatial
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.shared.warp import rotation, translation, warp
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen
from tests.networks import blobs, formula


@pytest.fixture
def found():
    classifier, (images, labels) = trained(), unseen(24)
    return classifier, images, labels, spatial(classifier, images, labels, pixels=0.6, degrees=20)


def test_it_equals_trying_every_place(found):
    classifier, images, labels, result = found
    shifts, angles = torch.linspace(-0.6, 0.6, 5).tolist(), torch.linspace(-20, 20, 31).tolist()
    places = [(d, r, a) for d in shifts for r in shifts for a in angles]
    source = torch.stack([rotation(a) @ translation(d, r) for d, r, a in places])
    breakable = []
    for image, label in zip(images, labels, strict=True):
        copies = image.expand(775, -1, -1, -1)
        moved = quantize(warp(copies, source, "black"), copies)
        breakable.append(bool((logits_of(classifier, moved).argmax(1) != label).any()))
    assert result.success.tolist() == breakable
    assert 0 < sum(breakable) < 24


def test_what_it_says_is_so(found):
    classifier, images, labels, result = found
    assert torch.equal(logits_of(classifier, result.images).argmax(1) != labels, result.success)
    assert torch.equal(result.images[~result.success], images[~result.success])
    assert (result.transformation[~result.success] == 0).all()
    assert (result.queries[~result.success] == 776).all()  # the whole grid, and once more at the end
    assert (result.queries[result.success] < 776).all()
    assert ((result.images * 255) - (result.images * 255).round()).abs().max() < 1e-3
    for i in result.success.nonzero()[:, 0].tolist():
        down, right, degrees = result.transformation[i].tolist()
        again = warp(images[i : i + 1], rotation(degrees) @ translation(down, right), "black")
        assert torch.equal(quantize(again, images[i : i + 1])[0], result.images[i])


def test_the_mildest_place_is_found_first():
    """It breaks when the object has moved 2 pixels to the right, whatever the angle."""
    right = torch.arange(28.0) - 13.5
    classifier = formula(lambda x: torch.stack([x.sum((1, 2, 3)) * 0, (x * right).sum((1, 2, 3)) / 49 - 2], 1))
    images = torch.from_numpy(blobs([(13, 13), (14, 13)])).float()[:, None] / 255
    result = spatial(classifier, images, 0, batch_size=7)
    assert result.success.all()
    assert (result.transformation == torch.tensor([0.0, 3.0, 0.0])).all()
    assert torch.equal(result.images, shift(images, 0, 3, "black"))


def test_larger_bounds_never_find_less(found):
    classifier, images, labels, result = found
    none = spatial(classifier, images, labels, pixels=0, degrees=0)
    assert none.success.sum() < result.success.sum()
    assert torch.equal(none.success, logits_of(classifier, images).argmax(1) != labels)


def test_wrong_predictions_succeed_at_once(found):
    classifier, images, _, _ = found
    result = spatial(classifier, images, (logits_of(classifier, images).argmax(1) + 1) % 10)
    assert result.success.all()
    assert (result.distance == 0).all()
    assert (result.queries == 2).all()


def test_the_maps_agree_with_rotate_and_shift():
    images = torch.rand(1, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(warp(images, translation(2, -3), "black"), shift(images, 2, -3, "black"), atol=1e-5)
    assert torch.allclose(warp(images, translation(2, -3)), shift(images, 2, -3, "mirror"), atol=1e-5)
    assert torch.equal(warp(images, rotation(25)), rotate(images, 25))


def test_errors_say_what_to_do(found):
    classifier, images, labels, _ = found
    with pytest.raises(UsageError, match="give 0 or more"):
        spatial(classifier, images, labels, pixels=-1)
    with pytest.raises(UsageError, match="black, mirror"):
        spatial(classifier, images, labels, border="circular")
