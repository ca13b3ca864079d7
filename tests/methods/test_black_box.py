"""Attacks that see no gradient: against known optima, white-box attacks, and classifiers that answer nonsense."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.hop_skip_jump import hop_skip_jump
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attacks.square import HALVINGS, _side, _wave, square
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen
from tests.methods.test_attacks import linear, smallest
from tests.networks import Formula, Plain, formula

ATTACKS = {
    "square, linf": lambda *a, **k: square(*a, **{"epsilon": 0.1, "steps": 30, **k}),
    "square, l2": lambda *a, **k: square(*a, **{"epsilon": 1.0, "norm": "l2", "steps": 30, **k}),
    "hop, skip, jump": lambda *a, **k: hop_skip_jump(*a, **{"steps": 3, "init_num_evals": 20, **k}),
}
every = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture(scope="module", params=[1, 3, 5])
def subject(request):
    """A network with 1, 3 or 5 channels, not square, and its answers on random 8-bit images."""
    classifier = Classifier(Plain(request.param).eval(), size=(10, 14), channels=request.param)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (6, request.param, 10, 14), generator=generator) / 255
    return classifier, images, logits_of(classifier, images).argmax(1)


@every
def test_what_holds_for_every_attack(attack, subject):
    classifier, images, labels = subject
    classifier.train()
    state = torch.get_rng_state()
    found, again = attack(classifier, images, labels), attack(classifier, images, labels)
    assert torch.equal(torch.get_rng_state(), state)
    assert classifier.training
    classifier.eval()
    assert torch.equal(found.images, again.images)
    levels = found.images * 255
    assert (levels - levels.round()).abs().max() < 1e-3
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert torch.equal(logits_of(classifier, found.images).argmax(1) != labels, found.success)
    assert torch.equal(found.images[~found.success], images[~found.success])
    assert (found.queries > 0).all()


@every
def test_wrong_answers_succeed_at_once(attack, subject):
    classifier, images, labels = subject
    found = attack(classifier, images, (labels + 1) % classifier.classes)
    assert found.success.all()
    assert (found.distance == 0).all()
    assert (found.queries == 2).all()


@every
def test_a_target_is_reached(attack):
    classifier, (images, labels) = trained(), unseen(20)
    targets = (labels + 1) % 10
    found = attack(classifier, images, targets=targets)
    assert torch.equal(logits_of(classifier, found.images).argmax(1) == targets, found.success)


@every
def test_a_classifier_that_cannot_be_broken_ends_in_failure(attack):
    classifier = formula(lambda x: torch.stack([x.mean((1, 2, 3)) * 0 + 2, x.mean((1, 2, 3)) * 0], 1), size=8)
    images = as_8_bit(torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    found = attack(classifier, images, torch.zeros(3, dtype=torch.long))
    assert not found.success.any()
    assert torch.equal(found.images, images)
    assert (found.distance == 0).all()


@every
def test_answers_that_are_no_numbers_neither_count_nor_stop_the_others(attack):
    """Whatever is darker than 0.2 on the average is answered with NaN; all images are attacked all the same."""

    def logits(x):
        mean = x.mean((1, 2, 3))
        return torch.stack([3 * mean, 3 - 3 * mean], 1) + torch.where(mean < 0.2, torch.nan, 0.0)[:, None]

    classifier = formula(logits, size=8)
    images = torch.tensor([0.0, 0.505, 0.6]).view(3, 1, 1, 1).repeat(1, 1, 8, 8)
    found = attack(classifier, images, torch.zeros(3, dtype=torch.long), eight_bit=False)
    assert found.success[1]
    assert found.images.isfinite().all()
    answers = logits_of(classifier, found.images)
    assert torch.equal(found.success, answers.isfinite().all(1) & (answers.argmax(1) == 1))
    assert torch.equal(found.images[~found.success], images[~found.success])


# --- Square ---


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_succeeds_above_the_smallest_perturbation_and_never_below(norm):
    classifier, images, labels, weight = linear(3)
    exact = smallest(classifier, images, labels, weight, norm)
    for i in range(len(images)):
        for factor, expected in ((1.5 if norm == "linf" else 2, True), (0.99, False)):
            found = square(
                classifier,
                images[i],
                labels[i : i + 1],
                epsilon=factor * float(exact[i]),
                norm=norm,
                steps=1000 if expected else 100,
                eight_bit=False,
            )
            assert found.success.item() == expected, (i, factor)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_stays_in_the_ball(norm, subject):
    classifier, images, labels = subject
    for epsilon in (0.0, 4 / 255, 0.5):
        found = square(classifier, images, labels, epsilon=epsilon, norm=norm, steps=50, eight_bit=False)
        assert (found.distance <= epsilon * (1 + 1e-5)).all()
        assert epsilon > 0 or not found.success.any()


def test_square_lies_between_noise_and_gradients():
    classifier, (images, labels) = trained(), unseen(40)
    noise = random_noise(classifier, images, labels, epsilon=0.1, tries=300).success.sum()
    squares = square(classifier, images, labels, epsilon=0.1, steps=300)
    gradients = pgd(classifier, images, labels, epsilon=0.1, restarts=3).success.sum()
    assert noise + 3 <= squares.success.sum() <= gradients
    assert squares.success.sum() >= 0.9 * gradients
    assert squares.queries.max() <= 300 + 2


def test_squares_of_an_image_do_not_depend_on_when_others_finish():
    classifier, (images, labels) = trained(), unseen(20)
    first = square(classifier, images, labels, epsilon=0.1, steps=60)
    easier = torch.where(torch.arange(20) == 3, labels, (labels + 1) % 10)  # all but one are "wrong" at once
    assert torch.equal(square(classifier, images, easier, epsilon=0.1, steps=60).images[3], first.images[3])
    assert torch.equal(square(classifier, images, labels, epsilon=0.1, steps=60, batch_size=3).images, first.images)
    assert not torch.equal(square(classifier, images, labels, epsilon=0.1, steps=60, seed=1).images, first.images)


def test_sides_follow_the_published_schedule():
    images = torch.zeros(1, 3, 100, 100)
    sides = [_side(step, 10_000, 1.0, images) for step in (1, 10, 11, 50, 51, *HALVINGS[2:], 9999)]
    assert sides[:5] == [100, 100, 71, 71, 50]
    assert sides[5:] == [50, 35, 25, 18, 12, 9, 6, 4]
    assert _side(11, 1000, 1.0, images) == _side(110, 10_000, 1.0, images)
    assert _side(0, 10, 1.0, torch.zeros(1, 1, 8, 20)) == 8


def eta(height: int, width: int) -> torch.Tensor:
    """The paper's definition, one pixel at a time: rectangles around the middle, each 1 / (k + 1)^2 high."""
    values = torch.zeros(height, width)
    for ring in range(max(height // 2, width // 2) + 1):
        for row in range(height):
            for column in range(width):
                if abs(row - height // 2) <= ring and abs(column - width // 2) <= ring:
                    values[row, column] += 1 / (ring + 1) ** 2
    return values / values.norm()


@pytest.mark.parametrize("side", [2, 3, 5, 8])
def test_waves_are_the_published_ones(side):
    expected = torch.cat([eta(side // 2, side), -eta(side - side // 2, side)]) / 2**0.5
    assert torch.allclose(_wave(side), expected, atol=1e-6)


def test_square_knows_two_norms(subject):
    classifier, images, labels = subject
    with pytest.raises(UsageError, match="linf and l2"):
        square(classifier, images, labels, norm="l1")
    with pytest.raises(UsageError, match="0 or more"):
        square(classifier, images, labels, epsilon=-1)


# --- HopSkipJump ---


def test_hop_skip_jump_comes_close_to_the_smallest_perturbation():
    classifier, images, labels, weight = linear(2)
    exact = smallest(classifier, images, labels, weight, "l2")
    few, many = (hop_skip_jump(classifier, images, labels, steps=n, eight_bit=False) for n in (2, 12))
    assert many.success.all()
    assert (many.distance >= exact * (1 - 1e-4)).all()
    assert (many.distance / exact).max() < 1.1
    assert (many.distance / exact).mean() < (few.distance / exact).mean()


def test_hop_skip_jump_comes_close_to_white_box_distances():
    classifier, (images, labels) = trained(), unseen(30)
    white = ddn(classifier, images, labels)
    for eight_bit in (True, False):
        found = hop_skip_jump(classifier, images, labels, steps=7, eight_bit=eight_bit)
        assert found.success.all()
        moved = white.distance > 0
        assert (found.distance / white.distance)[moved].median() < 1.2


def test_hop_skip_jump_sees_decisions_only():
    """Logits that tell the decision and nothing else change nothing."""
    classifier, (images, labels) = trained(), unseen(6)

    def decisions(x):
        return nn.functional.one_hot(classifier(x).argmax(1), 10) * 2.0

    blind = Classifier(Formula(decisions), size=8, channels=1).eval()
    found, plain = (hop_skip_jump(c, images, labels, steps=3, init_num_evals=30) for c in (blind, classifier))
    assert torch.equal(found.images, plain.images)


def test_a_start_comes_from_the_batch_or_from_noise_or_there_is_none():
    dark = formula(lambda x: torch.stack([x.mean((1, 2, 3)) - 0.9, 0 * x.mean((1, 2, 3))], 1), size=8)
    images = torch.full((2, 1, 8, 8), 0.2)
    targets = torch.zeros(2, dtype=torch.long)  # brighter than any noise
    assert not hop_skip_jump(dark, images, targets=targets, steps=2).success.any()
    with_start = torch.cat([images, torch.ones(1, 1, 8, 8)])
    found = hop_skip_jump(dark, with_start, targets=[0, 0, 0], steps=2, init_num_evals=20)
    assert found.success.all()
    assert torch.allclose(found.distance[:2], torch.tensor(0.7 * 8), rtol=0.02)
    noise = formula(lambda x: torch.stack([x.mean((1, 2, 3)) - 0.4, 0 * x.mean((1, 2, 3))], 1), size=8)
    assert hop_skip_jump(noise, images, targets=targets, steps=2, init_num_evals=20).success.all()


def test_queries_are_counted():
    """Every image that is shown counts once, whichever batch it is in."""
    classifier, (images, labels) = trained(), unseen(8)
    shown = []

    def counted(x):
        shown.append(len(x))
        return classifier(x)

    spy = Classifier(Formula(counted), size=8, channels=1).eval()
    for attack in ATTACKS.values():
        shown.clear()
        spy.classes  # noqa: B018 (the number of classes is found out with a forward pass of its own)
        shown.clear()
        found = attack(spy, images, labels)
        assert found.queries.sum() == sum(shown)
