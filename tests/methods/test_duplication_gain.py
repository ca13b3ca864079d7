from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.attacks import duplication_gain
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.occlusion import hide, window_grid
from deeptroubles.network.incremental import local_edits as incremental
from tests.networks import Plain, formula

SIZE = (12, 15)
WINDOW = 3
ALL = 10_000


def sigmoid(value):
    return 1 / (1 + np.exp(-np.asarray(value, dtype=float)))


def two_classes(logit):
    return torch.stack([logit, torch.zeros_like(logit)], 1)


@pytest.fixture
def counting():
    """The more tiles are white, the surer it is: more eyes score higher."""

    def answer(x):
        tiles = torch.nn.functional.avg_pool2d(x, WINDOW)
        return two_classes((tiles > 0.9).sum((1, 2, 3)) * 0.5 - 2)

    return formula(answer, SIZE)


@pytest.fixture
def one_eye():
    image = torch.zeros(1, *SIZE)
    image[:, 3:6, 6:9] = 1
    return image


def plain(size):
    return Classifier(Plain(), size=size, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


@pytest.fixture
def network():
    return plain((20, 24))


def pictures(count, size=(20, 24)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(2))


def slow(classifier, image, target, steps, window, stride):
    """Every duplicate of every window, one after the other, shown whole."""
    rows, columns = (
        sorted({min(k * stride, length - window) for k in range(-(-(length - window) // stride) + 1)})
        for length in classifier.size
    )
    places = [(y, x) for y in rows for x in columns]

    def apart(a, b):
        return abs(a[0] - b[0]) >= window or abs(a[1] - b[1]) >= window

    def probability(pixels):
        with torch.no_grad():
            return float(classifier.eval()(pixels[None]).softmax(1)[0, target])

    best, story, moved, first = probability(image), [], [], {}
    story.append(best)
    for step in range(steps):
        tried = []
        for y, x in places:
            for v, u in places:
                kept = [place for move in moved for place in move] + [(y, x)]
                if not all(apart((v, u), place) for place in kept) or not all(apart((y, x), d) for _, d in moved):
                    continue
                pasted = image.clone()
                pasted[:, v : v + window, u : u + window] = image[:, y : y + window, x : x + window]
                if torch.equal(pasted, image):
                    continue
                value = probability(pasted)
                tried.append((value, (y, x), (v, u), pasted))
                if step == 0:
                    first[y, x] = max(value, first.get((y, x), 0))
        if not tried or max(t[0] for t in tried) <= best:
            break
        best, source, destination, image = max(tried, key=lambda t: t[0])
        story.append(best)
        moved.append((source, destination))
    return story, moved, first, image


def test_what_counts_parts_is_found_out_exactly(counting, one_eye):
    found = duplication_gain(counting, one_eye, 0, steps=4, window=WINDOW)
    np.testing.assert_allclose(found.probability[0], sigmoid(0.5 * np.arange(1, 6) - 2), atol=1e-6)
    np.testing.assert_allclose(found.covered[0], found.probability[0, :-1])  # black is what was there
    assert found.images.sum() == 5 * WINDOW**2
    assert (found.images[0, 0, 3:6, 6:9] == 1).all()
    assert found.sources[0, 0].tolist() == [3, 6, 6, 9]


def test_the_map_gives_the_best_duplicate_of_each_window(counting, one_eye):
    found = duplication_gain(counting, one_eye, 0, steps=1, window=WINDOW, sources=ALL)
    wanted = np.full((4, 5), sigmoid(-2))  # black onto the eye: all that such a window could change
    wanted[1, 2] = sigmoid(-1)
    np.testing.assert_allclose(found.first[0], wanted, atol=1e-6)


def test_only_windows_that_hurt_most_when_hidden_are_sources(one_eye):
    weights = torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(0))
    linear = formula(lambda x: two_classes((x * weights).sum((1, 2, 3)) * 0.3), SIZE)
    image = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(1))
    found = duplication_gain(linear, image, 0, steps=1, window=WINDOW, sources=3)
    part = torch.nn.functional.avg_pool2d(image * weights, WINDOW)[0].flatten()
    assert found.first[0].flatten().isfinite().nonzero()[:, 0].tolist() == sorted(part.argsort()[-3:].tolist())
    everywhere = duplication_gain(linear, image, 0, steps=1, window=WINDOW, sources=ALL)
    tried = found.first.isfinite()
    assert torch.equal(found.first[tried], everywhere.first[tried])


@pytest.mark.parametrize(("size", "window", "stride"), [((20, 24), 5, 5), ((20, 24), 7, 4), ((66, 64), 20, 20)])
def test_it_is_brute_force(size, window, stride):
    """The last of these is computed incrementally."""
    classifier = plain(size)
    for target, image in enumerate(pictures(2, size)):
        found = duplication_gain(classifier, image, target, steps=2, window=window, stride=stride, sources=ALL)
        story, moved, first, last = slow(classifier, image, target, 2, window, stride)
        assert len(story) > 1
        np.testing.assert_allclose(found.probability[0, : len(story)], story, atol=1e-6)
        assert found.sources[0, : len(moved), :2].tolist() == [list(source) for source, _ in moved]
        assert found.destinations[0, : len(moved), :2].tolist() == [list(place) for _, place in moved]
        np.testing.assert_allclose(found.first[0].flatten(), [first[key] for key in sorted(first)], atol=1e-6)
        assert torch.equal(found.images[0], last)


def test_large_images_are_computed_where_they_change(monkeypatch):
    """Patches go through the incremental engine, and a hand-made image says the same."""
    calls, logits = [], incremental.LocalEdits.logits

    def spied(self, boxes, content, *rest):
        calls.append(len(boxes))
        return logits(self, boxes, content, *rest)

    monkeypatch.setattr(incremental.LocalEdits, "logits", spied)
    duplication_gain(plain((64, 64)), pictures(1, (64, 64)), 0, steps=1, window=16, sources=3)
    assert calls == [16, 3 * 15]  # which windows matter, then each of three at fifteen places


@pytest.mark.parametrize("stride", [2, 3])
def test_nothing_changes_but_the_destinations_and_the_parts_stay(network, stride):
    images = pictures(3)
    found = duplication_gain(network, images, steps=4, window=3, stride=stride)
    assert found.destinations.any(2).all()  # each found something four times
    for row, image in enumerate(images):
        changed = torch.zeros(20, 24, dtype=torch.bool)
        for (top, left, bottom, right), (y, x, _, _) in zip(
            found.destinations[row].tolist(), found.sources[row].tolist(), strict=True
        ):
            assert not changed[top:bottom, left:right].any()
            changed[top:bottom, left:right] = True
            part = image[:, y : y + 3, x : x + 3]
            assert torch.equal(found.images[row, :, top:bottom, left:right], part)
            assert torch.equal(found.images[row, :, y : y + 3, x : x + 3], part)
        assert torch.equal(found.images[row][:, ~changed], image[:, ~changed])


def test_what_hiding_alone_would_have_done_is_told(network):
    images = pictures(2)
    found = duplication_gain(network, images, 1, steps=3)
    for row, image in enumerate(images):
        for step, (source, place) in enumerate(zip(found.sources[row], found.destinations[row], strict=True)):
            hidden = hide(image, place[None], network.mean[0])
            with torch.no_grad():
                wanted = network.eval()(hidden).softmax(1)[0, 1]
            assert torch.isclose(found.covered[row, step], wanted, atol=1e-6)
            (top, left, bottom, right), (y, x, v, u) = source.tolist(), place.tolist()
            image[:, y:v, x:u] = image[:, top:bottom, left:right].clone()


def test_it_tells_a_part_that_counts_from_one_that_only_hides(one_eye):
    """Darkness at one place speaks for the class: what is pasted there helps by hiding, whatever it shows."""
    hides = formula(lambda x: two_classes(-x[..., 3:6, 6:9].sum((1, 2, 3))), SIZE)
    found = duplication_gain(hides, one_eye, 0, steps=2, window=WINDOW, sources=ALL)
    np.testing.assert_allclose(found.probability[0], sigmoid([-9, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(found.covered[0], sigmoid([0, 0]), atol=1e-6)


@pytest.mark.parametrize("target", [0, 1, 2, 3, None])
def test_probabilities_never_fall_and_are_those_of_the_images(network, target):
    images = pictures(4)
    found = duplication_gain(network, images, target, steps=3)
    assert found.probability.shape == (4, 4)
    assert (found.probability.diff(dim=1) >= 0).all()
    assert (found.probability.diff(dim=1) > 0).any()
    assert torch.equal(found.probability.diff(dim=1) > 0, found.sources.any(2))
    with torch.no_grad():
        before, after = network.eval()(images).softmax(1), network(found.images).softmax(1)
    classes = before.argmax(1) if target is None else torch.full((4,), target)
    torch.testing.assert_close(found.probability[:, 0], before.gather(1, classes[:, None])[:, 0])
    torch.testing.assert_close(found.probability[:, -1], after.gather(1, classes[:, None])[:, 0])


def test_it_stops_when_nothing_helps(one_eye):
    """Only one corner speaks, and it says already what it can."""
    shown = []

    def answer(x):
        shown.append(len(x))
        return two_classes(x[..., :3, :3].sum((1, 2, 3)))

    classifier = formula(answer, SIZE)
    one_eye[:, :3, :3] = 1
    shown.clear()
    found = duplication_gain(classifier, one_eye, 0, steps=3, window=WINDOW, sources=2)
    # The image; every window hidden; the white corner at each black place; the black window beside it at each white.
    assert sum(shown) == 1 + 20 + 18 + 2
    assert not found.sources.any()
    assert not found.destinations.any()
    assert torch.equal(found.images[0], one_eye)
    assert torch.equal(found.probability, found.probability[:, :1].expand(-1, 4))
    assert torch.equal(found.covered, found.probability[:, 1:])


def test_one_image_stops_while_another_goes_on(counting, one_eye):
    both = torch.stack([torch.ones_like(one_eye), one_eye])
    found = duplication_gain(counting, both, 0, steps=2, window=WINDOW)
    assert not found.sources[0].any()
    assert found.first[0].isnan().all()  # a duplicate of white on white is no change
    assert found.sources[1].any(1).all()
    alone = duplication_gain(counting, one_eye, 0, steps=2, window=WINDOW)
    assert torch.equal(found.destinations[1], alone.destinations[0])
    assert torch.equal(found.probability[1], alone.probability[0])


def test_it_ends_when_no_place_is_left():
    """Two windows: whichever is pasted onto the other, nothing more can follow."""
    brightness = formula(lambda x: two_classes(x.sum((1, 2, 3))), (4, 8))
    image = torch.full((1, 4, 8), 0.2)
    image[..., 4:] = 0.3
    found = duplication_gain(brightness, image, 0, steps=3, window=4)
    np.testing.assert_allclose(found.probability[0], sigmoid([8.0, 9.6, 9.6, 9.6]), atol=1e-6)
    assert found.sources[0].tolist() == [[0, 4, 4, 8], [0] * 4, [0] * 4]


def test_without_steps_only_the_answer_is_given(counting, one_eye):
    found = duplication_gain(counting, one_eye, 0, steps=0, window=WINDOW)
    assert found.probability.shape == (1, 1)
    assert found.covered.shape == (1, 0)
    assert found.sources.shape == found.destinations.shape == (1, 0, 4)
    assert found.first.isnan().all()
    assert torch.equal(found.images[0], one_eye)


def test_the_argument_is_left_as_it_was(counting, one_eye):
    before = one_eye.clone()
    duplication_gain(counting, one_eye, 0, window=WINDOW)
    assert torch.equal(one_eye, before)


def test_wrong_settings_are_refused(counting, one_eye):
    with pytest.raises(UsageError, match="at least 1"):
        duplication_gain(counting, one_eye, 0, sources=0)
    with pytest.raises(UsageError, match="does not cover"):
        duplication_gain(counting, one_eye, 0, window=13)
    with pytest.raises(UsageError, match="Targets must be"):
        duplication_gain(counting, one_eye, 2, window=WINDOW)


def test_patches_are_put_where_the_windows_are():
    image, boxes = pictures(1)[0], window_grid((20, 24), 4, 4)[0]
    patches = torch.rand(len(boxes), 3, 4, 4, generator=torch.Generator().manual_seed(3))
    copies = hide(image, boxes, patches)
    for copy, (top, left, bottom, right), patch in zip(copies, boxes.tolist(), patches, strict=True):
        assert torch.equal(copy[:, top:bottom, left:right], patch)
        copy[:, top:bottom, left:right] = image[:, top:bottom, left:right]
        assert torch.equal(copy, image)
