"""Attacks on linear classifiers, whose smallest perturbations are known, and what holds for every attack."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.apgd import apgd
from deeptroubles.methods.attacks.apgd_t import apgd_t
from deeptroubles.methods.attacks.bim import bim
from deeptroubles.methods.attacks.carlini_wagner import carlini_wagner
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.deep_fool import deep_fool
from deeptroubles.methods.attacks.fab_t import fab_t
from deeptroubles.methods.attacks.fgsm import fgsm
from deeptroubles.methods.attacks.fmn import fmn
from deeptroubles.methods.attacks.mi_fgsm import mi_fgsm
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attacks.shared.balls import NORMS, lp_norm, project, quantize, steepest_direction, uniform
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.subject import logits_of
from tests import digits
from tests.networks import Plain

SIDE, COUNT = 8, 6
DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}
"""The dual norm of each norm."""


def linear(classes: int, seed: int = 0) -> tuple[Classifier, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A linear classifier, images in the middle of the box, their answers, and the weights (K x D)."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, classes))
    weight = torch.randn(classes, 3 * SIDE * SIDE, generator=generator) * 0.3
    model[1].weight.data, model[1].bias.data = weight, -weight.sum(1) / 2  # boundaries near the middle of the box
    classifier = Classifier(model, size=SIDE).eval()
    images = 0.5 + 0.02 * torch.randn(COUNT, 3, SIDE, SIDE, generator=generator)
    return classifier, images, logits_of(classifier, images).argmax(1), weight


def smallest(classifier, images, labels, weight, norm) -> torch.Tensor:
    """min_j (z_y - z_j) / ||w_y - w_j||_q: the distance of the nearest boundary."""
    logits = logits_of(classifier, images)
    gap = logits.gather(1, labels[:, None]) - logits
    width = torch.linalg.vector_norm(weight[labels][:, None] - weight[None], ord=DUAL[norm], dim=2)
    return (gap / width).scatter(1, labels[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("loss", ["margin", "dlr"])
def test_pgd_succeeds_just_above_the_smallest_perturbation_and_never_below(classes, norm, loss):
    classifier, images, labels, weight = linear(classes)
    exact = smallest(classifier, images, labels, weight, norm)
    for factor, expected in ((1.01, True), (0.99, False)):
        for i in range(len(images)):
            epsilon = factor * float(exact[i])
            found = pgd(
                classifier,
                images[i],
                labels[i : i + 1],
                epsilon=epsilon,
                norm=norm,
                loss=loss,
                restarts=classes,
                steps=100,
                eight_bit=False,
            )
            assert found.success.item() == expected, (i, factor)


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("attack", [ddn, deep_fool])
def test_minimal_attacks_come_close_to_the_smallest_perturbation(attack, classes):
    classifier, images, labels, weight = linear(classes)
    exact = smallest(classifier, images, labels, weight, "l2")
    found = attack(classifier, images, labels, eight_bit=False)
    assert found.success.all()
    ratio = found.distance / exact
    assert (ratio >= 1 - 1e-4).all()
    assert ratio.max() < 1.05


def test_targeted_ddn_finds_the_boundary_of_the_target():
    classifier, images, labels, _ = linear(4)
    targets = (labels + 2) % 4
    found = ddn(classifier, images, targets=targets, eight_bit=False, steps=300)
    assert found.success.all()
    assert (logits_of(classifier, found.images).argmax(1) == targets).all()


ATTACKS = [
    fgsm,
    bim,
    mi_fgsm,
    pgd,
    partial(apgd, steps=20),
    partial(apgd_t, steps=10),
    random_noise,
    ddn,
    deep_fool,
    partial(fab_t, steps=10),
    partial(fmn, steps=30),
    partial(carlini_wagner, steps=20),
]


@pytest.fixture(scope="module")
def trained():
    """A network and its answers on random 8-bit images."""
    classifier = Classifier(Plain().eval(), size=(10, 14))
    images = torch.randint(0, 256, (6, 3, 10, 14), generator=torch.Generator().manual_seed(1)) / 255
    return classifier, images, logits_of(classifier, images).argmax(1)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_holds_for_every_attack(attack, trained):
    classifier, images, labels = trained
    state = torch.get_rng_state()
    found, again = attack(classifier, images, labels), attack(classifier, images, labels)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found.images, again.images)
    levels = found.images * 255
    assert (levels - levels.round()).abs().max() < 1e-3
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert torch.equal(logits_of(classifier, found.images).argmax(1) != labels, found.success)
    assert torch.equal(found.images[~found.success], images[~found.success])
    assert (found.queries > 0).all()
    assert all(p.grad is None for p in classifier.parameters())


@pytest.mark.parametrize("attack", ATTACKS)
def test_wrong_answers_succeed_at_once(attack, trained):
    classifier, images, labels = trained
    found = attack(classifier, images, (labels + 1) % classifier.classes)
    assert found.success.all()
    assert (found.distance == 0).all()


@pytest.mark.parametrize("attack", [fgsm, bim, mi_fgsm, pgd, apgd, apgd_t, random_noise, fab_t])
@pytest.mark.parametrize("epsilon", [0.0, 4 / 255, 0.3])
def test_perturbations_stay_in_the_ball(attack, epsilon, trained):
    classifier, images, labels = trained
    found = attack(classifier, images, labels, epsilon=epsilon)
    assert (found.images - images).abs().max() <= epsilon + 1e-6
    assert epsilon > 0 or not found.success.any()


def test_more_budget_never_breaks_less(trained):
    classifier, images, labels = trained
    rates = [
        float(pgd(classifier, images, labels, epsilon=e / 255).success.float().mean()) for e in (0, 4, 16, 64, 255)
    ]
    assert rates == sorted(rates)
    assert rates[-1] == 1


@pytest.mark.parametrize("norm", NORMS)
def test_projection_is_the_nearest_point_of_the_ball(norm):
    generator = torch.Generator().manual_seed(3)
    outside = torch.randn(40, 1, 2, 2, generator=generator)
    epsilon = torch.full((40,), 0.7)
    inside = project(outside, epsilon, norm)
    assert (lp_norm(inside, norm) <= 0.7 + 1e-6).all()
    others = uniform(outside.repeat(200, 1, 1, 1), epsilon.repeat(200), norm, generator).view(200, 40, -1)
    distance = (inside - outside).flatten(1).norm(dim=1)
    assert (distance[None] <= (others - outside.flatten(1)).norm(dim=2) + 1e-6).all()
    assert torch.equal(project(inside * 0.5, epsilon, norm), inside * 0.5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1, 1e-25])  # whose square is 0 in single precision
def test_steps_have_length_one(norm, scale):
    gradient = scale * torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    assert not steepest_direction(0 * gradient, norm).any()
    assert torch.allclose(lp_norm(steepest_direction(gradient, norm), norm), torch.ones(3))


def test_rounding_never_lengthens_a_perturbation():
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (5, 3, 6, 6), generator=generator) / 255
    moved = (clean + torch.randn(5, 3, 6, 6, generator=generator) * 0.05).clamp(0, 1)
    rounded = quantize(moved, clean)
    assert ((rounded - clean).abs() <= (moved - clean).abs() + 1e-6).all()
    assert ((moved - rounded).abs() < 1 / 255 + 1e-6).all()
    brighter = clean + 8 / 255 * (clean < 0.5)
    assert torch.equal(quantize(brighter, clean), as_8_bit(brighter))


def test_dlr_does_not_change_when_logits_are_scaled():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    for targeted in (True, False):
        goal = Goal(torch.arange(6) % 5, targeted)
        assert torch.allclose(goal.loss(logits, "dlr"), goal.loss(logits * 1000, "dlr"), atol=1e-5)
        assert torch.equal(goal.loss(logits, "margin") > 0, goal.reached(logits))


def test_errors_say_what_to_do(trained):
    classifier, images, labels = trained
    with pytest.raises(UsageError, match="labels, or the class to reach"):
        pgd(classifier, images)
    with pytest.raises(UsageError, match="linf, l2, l1"):
        pgd(classifier, images, labels, norm="l0")
    with pytest.raises(UsageError, match="cross_entropy, margin, dlr"):
        pgd(classifier, images, labels, loss="ce")
    with pytest.raises(UsageError, match="0 or more"):
        pgd(classifier, images, labels, epsilon=-1)


def test_the_default_step_under_l1_finds_more_than_steps_of_epsilon():
    """Steps as long as the ball is wide jump from one few pixels to the next."""
    classifier, (images, labels) = digits.trained(), digits.unseen(200)
    labels = torch.as_tensor(labels)
    default = pgd(classifier, images, labels, norm="l1", epsilon=2.0).success.sum()
    assert default > pgd(classifier, images, labels, norm="l1", epsilon=2.0, step_size=2.0).success.sum()
