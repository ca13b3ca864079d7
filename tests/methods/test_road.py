"""ROAD and infidelity: closed forms on linear classifiers, plain re-implementations, and captum."""

from __future__ import annotations

import pytest
import torch

from deeptroubles import Classifier, occlusion
from deeptroubles.methods.attribution.shared.infidelity import _squares, infidelity
from deeptroubles.methods.attribution.shared.road import impute, road
from tests.networks import Plain, formula

SIDE = 14
WEIGHTS = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def linear():
    """The logit of class 0 is a weighted sum of the pixels; the mean color is black."""
    return formula(lambda x: torch.stack([(x * WEIGHTS).sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), SIDE)


@pytest.fixture
def pixels():
    return torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(4))


def new():
    return torch.Generator().manual_seed(0)


def test_removed_pixels_solve_the_equations_of_their_neighbors():
    image = torch.rand(3, 6, 7, generator=new())
    removed = torch.rand(6, 7, generator=new()) < 0.6
    filled = impute(image, removed, new(), noise=0.0)
    assert torch.equal(filled[:, ~removed], image[:, ~removed])
    for row, column in removed.nonzero().tolist():
        total, weights = torch.zeros(3), 0.0
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                y, x = row + down, column + right
                if (down or right) and 0 <= y < 6 and 0 <= x < 7:
                    weight = 1 / 6 if 0 in {down, right} else 1 / 12
                    total, weights = total + weight * filled[:, y, x], weights + weight
        assert torch.allclose(filled[:, row, column], total / weights, atol=1e-5)


def test_an_image_of_one_color_is_filled_in_with_it():
    image = torch.full((3, 8, 8), 0.4)
    removed = torch.ones(8, 8, dtype=torch.bool)
    removed[0, 0] = False
    assert torch.allclose(impute(image, removed, new(), noise=0.0), image, atol=1e-5)
    assert (impute(image, removed, new()) - image).std() == pytest.approx(0.01, rel=0.2)
    assert torch.equal(impute(image, ~removed & removed, new()), image)


def test_the_right_order_beats_others_and_its_reverse_is_as_bad(linear, pixels):
    right = (pixels * WEIGHTS)[:, 0]
    best = road(linear, pixels, right, 0)
    assert best.most_first.shape == best.least_first.shape == (2, 5)
    assert torch.allclose(road(linear, pixels, -right, 0).gap, -best.gap, atol=0.05)
    for seed in range(3):
        other = torch.rand(2, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        assert (best.gap > road(linear, pixels, other, 0).gap).all()


def test_the_same_seed_gives_the_same_numbers(linear, pixels):
    maps = pixels[:, 0]
    assert torch.equal(road(linear, pixels, maps).gap, road(linear, pixels, maps).gap)
    assert torch.equal(infidelity(linear, pixels, maps).raw, infidelity(linear, pixels, maps).raw)


def test_contributions_of_a_linear_classifier_have_no_infidelity(linear, pixels):
    right = (pixels * WEIGHTS)[:, 0]
    found = infidelity(linear, pixels, right, 0)
    assert found.raw.max() < 1e-8
    tripled = infidelity(linear, pixels, 3 * right, 0)
    assert torch.allclose(tripled.raw, 4 * found.change, rtol=1e-4)
    assert tripled.scaled.max() < 1e-8
    assert tripled.share.max() < 1e-8


def test_an_empty_map_and_a_classifier_that_never_changes(linear, pixels):
    empty = infidelity(linear, pixels, torch.zeros(2, SIDE, SIDE), 0)
    assert torch.equal(empty.raw, empty.change)
    assert (empty.share == 1).all()
    constant = formula(lambda x: torch.stack([0 * x.sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), SIDE)
    assert (infidelity(constant, pixels, pixels[:, 0], 0).share == 1).all()


def test_infidelity_is_that_of_a_plain_loop():
    classifier = Classifier(Plain().eval(), size=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))
    images, maps = torch.rand(2, 3, 16, 16, generator=new()), torch.randn(2, 16, 16, generator=new())
    found = infidelity(classifier, images, maps, 1, squares=12)
    color = torch.tensor([0.4, 0.5, 0.6]).view(3, 1)
    for image, values, raw in zip(images, maps, found.raw, strict=True):
        errors = []
        for square in _squares((16, 16), 12, 0):
            shown = image.clone()
            shown[:, square] = color
            fall = (classifier(image[None]) - classifier(shown[None]))[0, 1].detach()
            errors.append(float((values[square].sum() - fall) ** 2))
        assert float(raw) == pytest.approx(sum(errors) / 12, rel=1e-4)


def test_infidelity_of_captum():
    """With captum's perturbations set to ours, and its normalization to our best factor."""
    metrics = pytest.importorskip("captum.metrics")
    classifier = Classifier(Plain().eval(), size=16)
    image, values = torch.rand(1, 3, 16, 16, generator=new()), torch.randn(1, 16, 16, generator=new())
    squares, color = _squares((16, 16), 20, 0), classifier.mean[0]

    def perturb(inputs):
        shown = torch.where(squares[:, None], color, image)
        return squares[:, None].float().expand(-1, 3, -1, -1) / 3, shown  # our map is the sum over the channels

    attributions = values[:, None].expand(-1, 3, -1, -1)
    found = infidelity(classifier, image, values, 1, squares=20)
    for ours, normalize in ((found.raw, False), (found.scaled, True)):
        theirs = metrics.infidelity(
            classifier,
            perturb,
            image,
            attributions,
            target=1,
            n_perturb_samples=20,
            normalize=normalize,
            max_examples_per_batch=20,
        )
        assert torch.allclose(ours.float(), theirs, rtol=1e-3)


def test_squares_have_all_sizes_and_lie_inside():
    squares = _squares((8, 12), 300, 0)
    sides = squares.any(2).sum(1)
    assert torch.equal(sides, squares.any(1).sum(1))
    assert torch.equal(sides**2, squares.sum((1, 2)))
    assert set(sides.tolist()) == {1, 2, 3, 4}


def test_occlusion_is_more_faithful_than_noise():
    classifier = Classifier(Plain(), size=16)
    pixels = torch.rand(4, 3, 16, 16, generator=new())
    maps, noise = occlusion(classifier, pixels, window=2, stride=1), torch.rand(4, 16, 16, generator=new())
    assert road(classifier, pixels, maps).gap.mean() > road(classifier, pixels, noise).gap.mean()
