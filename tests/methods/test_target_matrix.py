"""Any image into any class: against linear boundaries, where the way to each is known."""

from __future__ import annotations

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.target_matrix import target_matrix
from deeptroubles.subject import logits_of
from tests.digits import trained, unseen
from tests.methods.test_attacks import linear
from tests.networks import Plain, formula


def test_two_classes_have_the_distance_of_the_boundary():
    classifier, images, labels, weight = linear(2)
    found = target_matrix(classifier, images, eight_bit=False)
    logits = logits_of(classifier, images)
    exact = (logits[:, 0] - logits[:, 1]).abs() / (weight[0] - weight[1]).norm()
    assert found.success.all()
    other = found.distance.gather(1, 1 - labels[:, None])[:, 0]
    assert (other >= exact * (1 - 1e-4)).all()
    assert (other / exact).max() < 1.05
    assert (found.distance.gather(1, labels[:, None]) == 0).all()


def test_every_digit_becomes_every_digit():
    classifier, (images, _) = trained(), unseen(6)
    found = target_matrix(classifier, images)
    assert found.images.shape == (6, 10, 1, 8, 8)
    assert found.success.shape == found.distance.shape == found.queries.shape == (6, 10)
    assert found.success.all()
    assert torch.equal(
        logits_of(classifier, found.images.flatten(0, 1)).argmax(1).view(6, 10), torch.arange(10).expand(6, -1)
    )
    assert torch.allclose((found.images - images[:, None]).flatten(2).norm(dim=2), found.distance)
    levels = found.images * 255
    assert (levels - levels.round()).abs().max() < 1e-3
    assert (found.distance == 0).sum(1).eq(1).all()
    # The nearest class of the row is no farther than what an attack without a target finds, give or take its luck.
    free = ddn(classifier, images, logits_of(classifier, images).argmax(1)).distance
    nearest = found.distance.masked_fill(found.distance == 0, torch.inf).amin(1)
    assert (nearest <= 1.02 * free).all()


def test_pairs_do_not_depend_on_each_other():
    classifier, (images, _) = trained(), unseen(3)
    whole = target_matrix(classifier, images, steps=30)
    part = target_matrix(classifier, images[1], classes=[7, 2], steps=30, batch_size=1)
    assert torch.allclose(part.distance, whole.distance[1:2, [7, 2]], atol=1e-4)


def test_a_class_that_is_never_answered_is_infinitely_far():
    never = formula(
        lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3)), -9 - x.mean((1, 2, 3))], 1), size=8
    )
    images = torch.tensor([0.2, 0.7]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    found = target_matrix(never, images, eight_bit=False)
    assert found.success.tolist() == [[True, True, False], [True, True, False]]
    assert found.distance[:, 2].isinf().all()
    assert torch.equal(found.images[:, 2], images)
    assert torch.allclose(found.distance[:, :2], torch.tensor([[0.3 * 8, 0.0], [0.0, 0.2 * 8]]), rtol=0.02)


def test_it_leaves_everything_as_it_was():
    classifier = Classifier(Plain(5), size=(10, 14), channels=5).train()
    images = torch.rand(2, 5, 10, 14, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    first, second = (target_matrix(classifier, images, steps=5) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(state, torch.get_rng_state())
    assert classifier.training
    assert all(p.grad is None and p.requires_grad for p in classifier.parameters())
    with pytest.raises(UsageError, match="from 0 to 3"):
        target_matrix(classifier, images, classes=[4])
