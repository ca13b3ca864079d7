"""What stops share: drawn images with the properties that the texts claim."""

import numpy as np
import torch
from tests.networks import formula

from deeptroubles.tour.shared.drawing import framed, predictions, written
from deeptroubles.tour.shared.lookalikes import draw_lookalikes
from deeptroubles.tour.shared.networks import TESTED, accuracy, as_images, digits
from deeptroubles.tour.shared.signs import SIGNS, draw_sign, draw_signs
from deeptroubles.tour.shared.textures import conflicts, matching, mixed
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stops.attacks.one_pixel_pairs import _each_pixel
from deeptroubles.tour.stops.reasons.traffic_density import _share_inside


def test_digits_are_eight_bit_and_the_parts_do_not_overlap():
    found = digits(28)
    assert found.images.shape[1:] == (1, 28, 28)
    assert torch.equal(found.images * 255, (found.images * 255).round())
    assert len(found.training.images) + len(found.tested.images) == len(found.images)
    assert len(found.tested.images) == TESTED


def test_the_same_seed_draws_the_same():
    for draw in (lambda s: draw_signs(8, s).images, lambda s: draw_lookalikes(4, s)[0], lambda s: mixed(8, s).images):
        assert torch.equal(draw(3), draw(3))
        assert not torch.equal(draw(3), draw(4))


def test_signs_differ_and_lie_inside_of_their_mask():
    drawn = [draw_sign(name) for name in SIGNS]
    for sign, mask in drawn:
        assert 0.2 < float(mask.mean()) < 0.8
        assert float((sign * (mask == 0)).max()) < 0.05
    pictures = torch.stack([sign for sign, _ in drawn]).flatten(1)
    assert float(torch.pdist(pictures).min()) > 5


def test_a_conflict_never_has_the_texture_of_its_shape_and_uses_all_pairs():
    found = conflicts(24, 0)
    pairs = list(zip(found.shapes.tolist(), found.textures.tolist(), strict=True))
    assert all(shape != texture for shape, texture in pairs)
    assert len(set(pairs)) == 12
    assert torch.equal(matching(8, 0).shapes, matching(8, 0).textures)


def test_each_pixel_is_set_to_each_color_and_nothing_else_changes():
    image = torch.full((1, 3, 4), 0.5)
    found = _each_pixel(image, torch.tensor([[0.0], [1.0]]))
    changed = (found != 0.5).flatten(1)
    assert found.shape == (24, 1, 3, 4)
    assert torch.equal(changed.sum(1), torch.ones(24, dtype=torch.long))
    assert torch.equal(changed.float().argmax(1), torch.arange(12).repeat_interleave(2))


def test_the_share_inside_of_masks_is_that_of_the_positive_part():
    maps = torch.tensor([[[4.0, -9.0], [0.0, 1.0]]])
    left = torch.tensor([[[True, False], [True, False]]])
    assert np.isclose(_share_inside(maps, left), 0.8)


def test_a_probability_below_one_is_not_written_as_all():
    assert [written(p) for p in (1.0, 0.9995, 0.997, 0.994, 0.5, 0.012)] == [
        "above 99.9%",
        "above 99.9%",
        "99.7%",
        "99%",
        "50%",
        "1.2%",
    ]


def test_a_frame_stays_outside_of_its_box():
    found = framed(torch.zeros(3, 20, 20), (5, 5, 10, 10), (1, 1, 1), 2)
    assert float(found[:, 5:10, 5:10].sum()) == 0
    assert float(found[0].sum()) == 9 * 9 - 25


def test_predictions_and_accuracy_are_those_of_the_classifier():
    classifier = formula(lambda x: torch.stack([x.mean((1, 2, 3)) * 0, x.mean((1, 2, 3)) * 0 + 3], 1))
    pixels = torch.zeros(4, classifier.channels, *classifier.size)
    assert {text.rsplit(" ", 1)[1] for text in predictions(classifier, pixels)} == {"95%"}
    assert accuracy(classifier, pixels, torch.tensor([1, 1, 0, 1])) == 0.75


def test_pixels_become_the_same_images():
    pixels = (torch.rand(2, 3, 5, 6) * 255).round() / 255
    images = as_images(pixels, ["a", "b"], "set")
    assert np.array_equal(np.asarray(images[1]), (pixels[1] * 255).round().byte().permute(1, 2, 0).numpy())


def test_the_quick_setting_is_picked_where_it_is_asked_for():
    assert Workshop(quick=True).pick(1, 2) == 1
    assert Workshop(quick=False).pick(1, 2) == 2
