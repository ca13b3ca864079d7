"""Auto-PGD, FAB-T, AutoAttack, FMN and C&W: against known optima, slow plain re-implementations, and one another."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.apgd import apgd
from deeptroubles.methods.attacks.apgd_t import apgd_t
from deeptroubles.methods.attacks.auto_attack import auto_attack
from deeptroubles.methods.attacks.carlini_wagner import carlini_wagner
from deeptroubles.methods.attacks.fab_t import fab_t
from deeptroubles.methods.attacks.fmn import fmn
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attacks.shared.auto_pgd import Schedule
from deeptroubles.methods.attacks.shared.balls import lp_norm
from deeptroubles.methods.attacks.shared.goal import Goal, other_classes
from deeptroubles.methods.attacks.shared.hyperplanes import to_hyperplane
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen
from tests.methods.test_attacks import linear, smallest
from tests.networks import Plain

BALLS = [("linf", 8 / 255), ("l2", 0.3)]


@pytest.fixture(scope="module")
def digits():
    """Twelve digits that the network recognizes."""
    classifier, (images, labels) = trained(), unseen(20)
    right = logits_of(classifier, images).argmax(1) == labels
    return classifier, images[right][:12], labels[right][:12]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_targeted_auto_pgd_succeeds_just_above_the_smallest_perturbation_and_never_below(classes, norm):
    classifier, images, labels, weight = linear(classes)
    exact = smallest(classifier, images, labels, weight, norm)
    for factor, expected in ((1.01, True), (0.99, False)):
        epsilon = factor * float(exact[0])
        found = apgd_t(classifier, images[0], labels[:1], epsilon=epsilon, norm=norm, steps=40, eight_bit=False)
        assert found.success.item() == expected, factor


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_minimal_attacks_find_the_smallest_perturbation(classes, norm):
    classifier, images, labels, weight = linear(classes)
    exact = smallest(classifier, images, labels, weight, norm)
    limits = {fmn: 1.1 if norm == "l1" else 1.005}
    if norm != "l1":
        limits[partial(fab_t, steps=20)] = 1.006
    if norm == "l2":
        limits[partial(carlini_wagner, step_size=1e-3, steps=100, search_steps=7)] = 1.4  # few constants
    for attack, limit in limits.items():
        options = {} if norm == "l2" and "carlini" in str(attack) else {"norm": norm}
        found = attack(classifier, images, labels, eight_bit=False, **options)
        assert found.success.all()
        ratio = found.distance / exact
        assert ratio.min() >= 1 - 1e-4
        assert ratio.max() < limit


@pytest.mark.parametrize("attack", [fmn, partial(carlini_wagner, steps=60, search_steps=6), apgd])
def test_targets_are_reached(attack):
    classifier, images, labels, _ = linear(4)
    targets = (labels + 2) % 4
    found = attack(classifier, images, targets=targets, eight_bit=False)
    assert found.success.all()
    assert (logits_of(classifier, found.images).argmax(1) == targets).all()


def test_confidence_is_a_margin():
    classifier, images, labels, _ = linear(4)
    found = carlini_wagner(classifier, images, labels, confidence=0.5, steps=60, search_steps=6, eight_bit=False)
    margin = Goal(labels, targeted=False).loss(logits_of(classifier, found.images), "margin")
    assert found.success.all()
    assert (margin >= 0.5 - 1e-4).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_step_to_a_hyperplane_is_that_of_a_plain_bisection(norm):
    generator = torch.Generator().manual_seed(0)
    images, normal = torch.rand(30, 2, 3, 3, generator=generator), torch.randn(30, 2, 3, 3, generator=generator)
    images[:10], normal[:, 0, 0, 0] = images[:10].round(), 0.0  # corners of the box, and a direction that is absent
    gap = torch.randn(30, generator=generator) * 2
    step = to_hyperplane(images, normal, gap, norm)
    assert (images + step).min() >= -1e-6
    assert (images + step).max() <= 1 + 1e-6
    for pixels, weight, wanted, found in zip(images, normal, gap, step, strict=True):
        direction = (weight.sign() if norm == "linf" else weight) * wanted.sign()

        def at(length: float, pixels=pixels, direction=direction) -> torch.Tensor:
            return (pixels + length * direction).clamp(0, 1) - pixels

        low, high = 0.0, 1e4
        for _ in range(80):
            middle = (low + high) / 2
            short = float((at(middle) * weight).sum().abs()) < float(wanted.abs())
            low, high = (middle, high) if short else (low, middle)
        assert torch.allclose(found, at(high), atol=1e-4)


def test_the_checkpoints_of_a_hundred_steps_are_the_published_ones():
    found = Schedule(8 / 255, "linf", 100, 0.75).checkpoints()
    assert list(found) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(found.values()) == [22, 19, 16, 13, 10, 7, 6, 6]


def test_the_targeted_dlr_loss_by_hand():
    """(z_t - z_y) / (z_1 - (z_3 + z_4) / 2), with the logits in order."""
    logits, label, rival = torch.tensor([[5.0, 1.0, 4.0, 2.0, 3.0]]), torch.tensor([0]), torch.tensor([3])
    assert Goal(label, targeted=False).loss(logits, "dlr", rival).item() == pytest.approx((2 - 5) / (5 - (3 + 2) / 2))
    assert other_classes(logits, label).tolist() == [[2, 4, 3, 1]]


@pytest.mark.parametrize("rival", [None, torch.tensor([3])])
def test_the_gradient_of_the_dlr_loss_is_that_of_the_whole_quotient(rival):
    """The denominator depends on the logits, too, as in the authors' code."""
    logits, goal = torch.tensor([[5.0, 1.0, 4.0, 2.0, 3.0]], dtype=torch.double), Goal(torch.tensor([0]), False)
    (found,) = torch.autograd.grad(goal.loss(logits.requires_grad_(), "dlr", rival).sum(), logits)
    step = 1e-6 * torch.eye(5, dtype=torch.double)
    with torch.no_grad():
        slopes = [(goal.loss(logits + s, "dlr", rival) - goal.loss(logits - s, "dlr", rival)) / 2e-6 for s in step]
    assert torch.allclose(found[0], torch.cat(slopes), atol=1e-6)


@pytest.mark.parametrize(("norm", "epsilon"), BALLS)
def test_more_steps_restarts_and_targets_never_break_less(norm, epsilon, digits):
    def broken(attack, **settings):
        return int(attack(*digits, norm=norm, epsilon=epsilon, **settings).success.sum())

    noise = broken(random_noise, tries=10)
    assert noise <= broken(apgd, steps=10) <= broken(apgd, steps=10, restarts=3)
    assert broken(apgd_t, steps=20, candidates=1) <= broken(apgd_t, steps=20)


def test_a_bound_ends_the_search_early_and_counts_only_what_is_within_it(digits):
    smallest_found = fab_t(*digits, steps=20, candidates=3)
    bounded = fab_t(*digits, steps=20, candidates=3, epsilon=12 / 255)
    assert bounded.distance.max() <= 12 / 255 + 1e-6
    assert torch.equal(bounded.success, smallest_found.success & (smallest_found.distance <= 12 / 255 + 1e-6))
    assert bounded.queries.sum() < smallest_found.queries.sum()


def test_autoattack_is_the_union_of_its_attacks(digits):
    classifier, images, labels = digits[0], digits[1][:6], digits[2][:6]
    found = auto_attack(classifier, images, labels, epsilon=24 / 255)
    assert list(found.accuracy) == ["clean", "apgd_ce", "apgd_t", "fab_t", "square"]
    shares = list(found.accuracy.values())
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(1 - float(found.success.float().mean()))
    assert found.distance.max() <= 24 / 255 + 1e-6
    single = apgd(classifier, images, labels, epsilon=24 / 255).success
    assert shares[1] == pytest.approx(1 - float(single.float().mean()))
    assert (found.success >= single).all()
    assert torch.equal(logits_of(classifier, found.images).argmax(1) != labels, found.success)
    assert auto_attack(classifier, images[:2], (labels[:2] + 1) % 10).accuracy["clean"] == 0


@pytest.mark.parametrize("classes", [2, 3])
def test_networks_with_few_classes_are_attacked_too(classes):
    classifier = Classifier(Plain(classes=classes).eval(), size=(10, 14))
    images = torch.randint(0, 256, (3, 3, 10, 14), generator=torch.Generator().manual_seed(1)) / 255
    labels = logits_of(classifier, images).argmax(1)
    found = auto_attack(classifier, images, labels, epsilon=1.0)
    assert 0 <= found.accuracy["square"] <= found.accuracy["clean"] == 1


@pytest.mark.parametrize("attack", [partial(fmn, steps=30), partial(fab_t, steps=10, candidates=2)])
def test_an_image_does_not_depend_on_its_batch(attack, digits):
    classifier, images, labels = digits
    together = attack(classifier, images[:6], labels[:6], eight_bit=False)
    alone = [attack(classifier, images[i], labels[i : i + 1], eight_bit=False).distance for i in range(6)]
    assert torch.allclose(together.distance, torch.cat(alone), rtol=2e-2)


def test_distances_are_those_of_what_is_returned(digits):
    _, images, _ = digits
    for norm in ("linf", "l2"):
        found = fmn(*digits, norm=norm, steps=30)
        assert torch.allclose(found.distance, lp_norm(found.images - images, norm))
        levels = found.images * 255
        assert (levels - levels.round()).abs().max() < 1e-3


@pytest.mark.parametrize("attack", [apgd, apgd_t, fab_t, auto_attack])
def test_norms_without_the_attack_are_refused(attack, digits):
    with pytest.raises(UsageError, match="linf and l2"):
        attack(*digits, norm="l1")
    with pytest.raises(UsageError, match="0 or more"):
        attack(*digits, epsilon=-1)
