from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.registry import all_checks
from deeptroubles.checks.reliance.patch_shuffling import GRIDS, JUDGED, Shuffled, patch_shuffling
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from deeptroubles.statistics.intervals import mean_share
from deeptroubles.workflows.audit import ask
from tests.looks import all_seen
from tests.networks import blobs, formula

NAMES = ("left", "right")


def images(count: int = 60) -> ImageSet:
    """A blob on the left or on the right; those on the right are larger."""
    random = np.random.default_rng(0)
    tops = random.integers(5, 23, count)
    sides = [blobs([(int(top), 5 + 16 * (i % 2))], radius=2 + i % 2)[0] for i, top in enumerate(tops)]
    return ImageSet.from_arrays(np.stack(sides), [NAMES[i % 2] for i in range(count)])


def planted():
    """It counts bright pixels, wherever they are."""
    return formula(lambda x: torch.stack([37 - x.sum((1, 2, 3)), x.sum((1, 2, 3)) - 37], 1) / 12, names=NAMES), images()


def clean():
    """It says on which side the blob is."""
    side = torch.linspace(-1, 1, 28)
    return formula(lambda x: torch.stack([(x * -side).sum((1, 2, 3)), (x * side).sum((1, 2, 3))], 1), names=NAMES), (
        images()
    )


def result(case):
    engine = LocalEngine()
    return patch_shuffling(record(*case, engine), engine, seed=0)


def test_a_network_that_counts_loses_nothing_and_likes_second_copies():
    found = result(planted())
    assert found.whole.correct.all()
    assert np.allclose(found.whole.chance, 0.5)
    assert found.whole.beyond_chance(JUDGED).value == 1
    pixels = np.stack([np.asarray(images()[i]) > 0 for i in range(1, 60, 2)]).astype(float)  # the larger blobs
    bright = pixels.reshape(-1, 7, 4, 7, 4).sum((2, 4)).max((1, 2))  # in the window that counts most
    logistic = 1 / (1 + np.exp([-(12 + bright) / 6, np.full(30, -2.0)]))
    assert np.allclose(found.gains[1::2], logistic[0] - logistic[1], atol=1e-5)
    assert np.allclose(found.gains[::2], 0)  # a second small blob makes it less confident


def test_a_network_that_needs_the_arrangement_is_at_chance():
    found = result(clean())
    assert abs(found.whole.survived(JUDGED).value - found.whole.chance[GRIDS.index(JUDGED)]) < 0.12
    assert found.whole.beyond_chance(JUDGED).high < 0.3


def test_chance_is_taken_off():
    right = np.zeros((40, 3, 3), dtype=bool)
    right[:30] = True
    shuffled = Shuffled(looks=all_seen(len(right)), correct=right, chance=np.full(3, 0.5))
    plain = mean_share(np.repeat([1.0, 0.0], [30, 10]))
    assert np.allclose(shuffled.beyond_chance(4), [2 * (share - 0.5) for share in plain])
    assert shuffled.beyond_chance(4).value == 0.5
    always = Shuffled(looks=all_seen(40), correct=np.ones((40, 3, 3), dtype=bool), chance=np.ones(3))
    assert always.beyond_chance(4) == (0, 0, 1)


def test_objects_alone_are_shuffled_where_there_are_masks():
    classifier, plain = clean()
    arrays = [np.asarray(plain[i]) for i in range(len(plain))]
    masked = ImageSet.from_arrays(arrays, plain.labels, masks=[array > 0 for array in arrays])
    found = result((classifier, masked))
    assert found.inside is not None
    assert found.inside.correct.all()  # the blob stays on its side
    assert not found.whole.correct.all()
    assert result((classifier, plain)).inside is None


def test_without_correct_predictions_it_is_inconclusive():
    classifier, image_set = clean()
    wrong = formula(lambda x: -classifier.module.function(x), names=NAMES)
    engine = LocalEngine()
    ((finding,), _) = ask(all_checks()["reliance.patch_shuffling"], record(wrong, image_set, engine), engine, seed=0)
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "0 images are predicted correctly" in finding.claim
