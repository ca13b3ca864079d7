"""performance.lookalikes: two of four classes are confused; evenly spread mistakes are no lookalikes."""

from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.statistics.confusable_pairs import confusable_pairs
from tests.networks import formula

NAMES = ("chihuahua", "muffin", "bagel", "mop")


def quarters(each=50, twins=False):
    """A bright quarter says the class, over noise; with `twins` the first two classes look the same."""
    random = np.random.default_rng(0)
    arrays = random.integers(0, 60, (4 * each, 8, 8, 3)).astype(np.uint8)
    for i, array in enumerate(arrays):
        k = random.integers(2) if twins and i % 4 < 2 else i % 4
        array[4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] += 120
    return ImageSet.from_arrays(arrays, [NAMES[i % 4] for i in range(4 * each)])


def network():
    pool = torch.nn.functional.avg_pool2d
    return formula(lambda x: pool(x.mean(1, keepdim=True), 4).flatten(1) * 12, 8, 3, NAMES)


def planted():
    """Two classes look the same, so it guesses between them."""
    return network(), quarters(twins=True)


def clean():
    return network(), quarters()


def finding(classifier, images):
    found = audit(classifier, images, checks=["performance.lookalikes"]).findings
    return next(f for f in found if f.check == "performance.lookalikes")


def test_the_pair_is_named_and_its_images_alternate():
    found = finding(*planted())
    assert "Between chihuahua and muffin" in found.claim
    grid = next(e for e in found.evidence if e.kind == "image_grid")
    assert [item.caption for item in grid.items] == ["chihuahua", "muffin"] * 8
    assert all(item.picture.row is not None for item in grid.items)
    maps = next(e for e in found.evidence if e.kind == "heatmaps")
    assert len(maps.items) == 2


def test_few_images_are_inconclusive():
    assert finding(network(), quarters(2)).verdict == Verdict.INCONCLUSIVE


def test_a_network_of_two_classes_is_judged_by_their_error_alone():
    images = quarters(twins=True).subset(np.arange(200)[np.arange(200) % 4 < 2])
    classifier = formula(lambda x: x[:, :, :4].mean((1, 2)).reshape(-1, 2, 4).mean(2) * 12, 8, 3, NAMES[:2])
    found = finding(classifier, images)
    assert found.verdict == Verdict.FAIL
    assert "only these two classes" in found.claim


def test_masses_are_plain_means_and_sum_to_the_error():
    random = np.random.default_rng(0)
    probabilities, targets = random.dirichlet(np.ones(4), 60), np.arange(60) % 4
    found = confusable_pairs(probabilities, targets, np.arange(4))
    for a, b, mass in zip(found.first, found.second, found.mass, strict=True):
        assert np.isclose(mass, (probabilities[targets == a, b].mean() + probabilities[targets == b, a].mean()) / 2)
    error = np.mean([1 - probabilities[targets == k, k].mean() for k in range(4)])
    assert np.isclose(found.mass.sum() / 2, error)
    assert np.isclose(found.expected.sum() / 2, error)


def test_even_mistakes_are_rarely_taken_for_lookalikes():
    alarms = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        probabilities = random.dirichlet(np.full(5, 0.3), 60)
        alarms += confusable_pairs(probabilities, np.arange(60) % 5, np.arange(5), seed=seed).p.min() < 0.05
    assert alarms <= 6  # 2 expected; more than 6 has a probability of 0.3%
