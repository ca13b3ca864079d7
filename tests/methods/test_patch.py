"""Patches, stickers, views and printability."""

from __future__ import annotations

import pytest
import torch

from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.masked_attack import masked_attack, total_variation
from deeptroubles.methods.attacks.patch import disc, patch
from deeptroubles.methods.attacks.shared.expectation import turns
from deeptroubles.methods.attacks.shared.printability import non_printability, palette
from deeptroubles.methods.transforms.shared.physical import Conditions, draw_views, place, see
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen
from tests.networks import formula

STILL = Conditions(degrees=0, scale=(1, 1), shift=0, tilt=0, brightness=0, gain=(1, 1), blur=0)
MILD = Conditions(degrees=5, scale=(0.95, 1.05), shift=0.05, tilt=0.02, brightness=0.05, blur=0.2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(count=2, channels=3, size=(10, 13)):
    return torch.rand(count, channels, *size, generator=generator())


@pytest.fixture(scope="module")
def object_():
    """Three photographs of a zero, a mask, and the network."""
    images, labels = unseen(60)
    mask = torch.zeros(8, 8)
    mask[1:5, 2:7] = 1
    return trained(), images[labels == 0][:3], mask


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_view_without_conditions_is_the_picture(channels):
    images = pixels(3, channels)
    views = draw_views(3, channels, (10, 13), STILL, generator())
    assert torch.allclose(see(images, views), images, atol=1e-6)


def test_views_stay_in_bounds_and_come_from_the_seed():
    conditions = Conditions(degrees=40, brightness=0.3, gain=(0.5, 1.5), blur=2)
    images, state = pixels(20), torch.get_rng_state()
    views = draw_views(20, 3, (10, 13), conditions, generator())
    assert views.brightness.abs().max() <= 0.3
    assert views.gain.min() >= 0.5
    assert views.gain.max() <= 1.5
    assert views.blur.max() <= 2
    seen = see(images, views)
    assert seen.min() >= 0
    assert seen.max() <= 1
    again = see(images, draw_views(20, 3, (10, 13), conditions, generator()))
    assert torch.equal(seen, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_light_is_gain_then_brightness():
    images = pixels(1)
    views = draw_views(1, 3, (10, 13), Conditions(0, (1, 1), 0, 0, 0.2, (0.7, 1.3), 0), generator())
    expected = (images * views.gain[0, :, None, None] + views.brightness[0]).clamp(0, 1)
    assert torch.allclose(see(images, views), expected.float(), atol=1e-6)


def test_a_thing_is_placed_on_backgrounds():
    thing, backgrounds = torch.ones(3, 11, 11), torch.zeros(2, 3, 11, 11)
    mask = torch.zeros(11, 11)
    mask[4:7, 4:7] = 1
    views = draw_views(2, 3, (11, 11), STILL, generator())
    views.source[1, :2, 2] = torch.tensor([-2.0, 1.0])  # 2 to the right, 1 up
    found = place(thing, mask, backgrounds, views)
    assert torch.allclose(found[0], mask.expand(3, -1, -1), atol=1e-6)
    assert torch.allclose(found[1], shift(mask, -1, 2, "black").expand(3, -1, -1), atol=1e-6)


def test_views_can_be_differentiated():
    images = pixels(1, 1, (6, 7)).double().requires_grad_()
    views = draw_views(1, 1, (6, 7), Conditions(blur=1, brightness=0, gain=(0.9, 0.95)), generator())
    assert torch.autograd.gradcheck(lambda x: see(x, views), (images,))


def test_printable_colors_cost_nothing_and_others_do():
    colors = palette(3)
    assert len(colors) == 27
    printable = colors[torch.arange(20) % 27].T.reshape(1, 3, 4, 5)
    assert non_printability(printable) < 1e-6
    pure = torch.zeros(1, 3, 4, 5)
    expected = 20 * torch.linalg.vector_norm(colors, dim=1).prod()
    assert torch.allclose(non_printability(pure), expected)
    assert torch.allclose(non_printability(pure, torch.eye(4, 5)), expected / 5)
    few = torch.tensor([[1.0, 0, 0], [0, 0, 1]])
    assert non_printability(pure, colors=few).item() == pytest.approx(20)
    with pytest.raises(UsageError, match="P x 3"):
        non_printability(pure, colors=torch.zeros(4, 1))
    with pytest.raises(UsageError, match="5 channels"):
        non_printability(torch.zeros(1, 5, 4, 5))


def test_total_variation_counts_steps():
    step = torch.zeros(1, 4, 5)
    step[:, :, 2:] = 1
    assert total_variation(step).item() == pytest.approx(1 / 4)


def test_images_take_turns():
    shown = torch.cat([turns(step, 4, 3) for step in range(3)])
    assert shown.tolist() == [0, 1, 2] * 4


def test_nothing_changes_outside_of_the_mask(object_):
    classifier, images, mask = object_
    found = masked_attack(classifier, images, mask, targets=5, conditions=MILD, steps=40, views=60)
    assert torch.equal(found.images * (1 - mask), images * (1 - mask))
    assert (found.perturbation * (1 - mask) == 0).all()
    assert torch.equal(logits_of(classifier, found.images).argmax(1) == 5, found.success)
    assert torch.equal(found.images[~found.success], images[~found.success])
    assert found.seen.low > max(found.control.high, found.clean.high)
    assert (found.queries == 40 * 16 // 3 + torch.tensor([1, 0, 0]) + 1).all()
    levels = found.images * 255
    assert (levels - levels.round()).abs().max() < 1e-3


def test_away_from_the_label_and_the_same_bytes_again(object_):
    classifier, images, mask = object_
    classifier.zero_grad()  # attacks of other libraries, which other tests run on this network, leave gradients behind
    first, again = (
        masked_attack(classifier, images, mask, 0, conditions=MILD, steps=15, views=30, seed=2) for _ in range(2)
    )
    assert torch.equal(first.perturbation, again.perturbation)
    assert first.seen == again.seen
    assert all(p.grad is None for p in classifier.parameters())
    with torch.inference_mode():
        inside = masked_attack(classifier, images.clone(), mask.clone(), 0, conditions=MILD, steps=15, views=30, seed=2)
    assert torch.equal(first.perturbation, inside.perturbation)


def test_penalties_do_what_they_are_for(object_):
    classifier, images, mask = object_
    free, smooth, printed = (
        masked_attack(classifier, images, mask, targets=5, conditions=STILL, steps=40, views=10, **weights)
        for weights in ({}, {"variation": 30.0}, {"printability": 300.0})
    )
    assert total_variation(smooth.perturbation) < 0.7 * total_variation(free.perturbation)
    worn = [(images + r.perturbation).clamp(0, 1) for r in (free, printed)]
    scores = [float(non_printability(w, mask).mean()) for w in worn]
    assert scores[1] < 0.7 * scores[0]


def test_a_patch_finds_the_pattern_that_a_linear_network_looks_for():
    """The network looks for white above black in the middle; the patch, which stays there, must become that."""
    stripe = torch.zeros(1, 16, 20)
    stripe[:, 4:8, 6:14], stripe[:, 8:12, 6:14] = 1.0, -1.0
    classifier = formula(
        lambda x: torch.stack([x.sum((1, 2, 3)) * 0 + 0.6, 0.05 * (x * stripe).sum((1, 2, 3))], 1), (16, 20), channels=1
    )
    backgrounds = torch.full((2, 1, 16, 20), 0.5)
    found = patch(classifier, backgrounds, 1, area=0.15, conditions=STILL, steps=60, views=40)
    side = found.patch.shape[-1]
    top, left = (16 - side) // 2, (20 - side) // 2
    wanted = stripe[:, top : top + side, left : left + side] * found.mask
    assert torch.equal(found.patch[wanted > 0], torch.ones_like(found.patch[wanted > 0]))
    assert torch.equal(found.patch[wanted < 0], torch.zeros_like(found.patch[wanted < 0]))
    assert found.success.value == 1
    assert found.success.low > 0.9
    assert found.clean.value == 0


def test_a_patch_beats_random_content_on_fresh_views():
    classifier = trained()
    images, _ = unseen(30)
    state = torch.get_rng_state()
    where = Conditions(degrees=10, shift=0.15, blur=0.2)
    found = patch(classifier, images, 3, area=0.25, conditions=where, steps=120, views=200)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.success.low > max(found.control.high, found.clean.high)
    assert found.queries == 120 * 16
    assert torch.allclose(found.patch * 255, (found.patch * 255).round(), atol=1e-3)
    with torch.inference_mode():
        again = patch(classifier, images.clone(), 3, area=0.25, conditions=where, steps=120, views=200)
    assert torch.equal(found.patch, again.patch)


def test_a_disc_touches_all_sides():
    for side in (1, 4, 7):
        mask = disc(side)
        assert all(bool(edge.any()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        assert torch.equal(mask, mask.T)
    assert disc(101).mean().item() == pytest.approx(torch.pi / 4, abs=0.005)


def test_errors_say_what_to_do(object_):
    classifier, images, mask = object_
    for wrong in (torch.zeros(8, 8), torch.ones(7, 8), mask * 0.5):
        with pytest.raises(UsageError, match="8 x 8, of zeros and ones"):
            masked_attack(classifier, images, wrong, 0)
    with pytest.raises(UsageError, match="labels, or the class to reach"):
        masked_attack(classifier, images, mask)
    for area in (0, 1.0):
        with pytest.raises(UsageError, match="does not fit"):
            patch(classifier, images, 3, area=area)
    with pytest.raises(UsageError, match="from 0 to 9"):
        patch(classifier, images, 12)
