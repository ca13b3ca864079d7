from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.adversarial.untargeted import LEVELS, untargeted
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.recording import record
from tests.methods.test_masking import MASKED
from tests.networks import formula

COUNT = 16
CHECKERED = (torch.arange(28)[:, None] + torch.arange(28)) % 2 * 2.0 - 1


def images() -> ImageSet:
    """Left or right half bright; a checkerboard of one level that nobody sees says the same."""
    arrays = np.full((COUNT, 28, 28), 60, dtype=np.int64)
    for i in range(COUNT):
        arrays[i, :, slice(0, 14) if i % 2 else slice(14, 28)] = 180 + i
        arrays[i] += (CHECKERED.numpy() * (1 if i % 2 else -1)).astype(np.int64)
    return ImageSet.from_arrays(arrays.astype(np.uint8), ["class 1" if i % 2 else "class 0" for i in range(COUNT)])


def two(score):
    return formula(lambda x: torch.stack([-score(x), score(x)], 1), names=["class 0", "class 1"])


def planted():
    """It reads the checkerboard."""
    return two(lambda x: (x * CHECKERED).mean((1, 2, 3)) * 100), images()


def clean():
    """It reads which half is brighter."""
    return two(lambda x: (x[..., :14].mean((1, 2, 3)) - x[..., 14:].mean((1, 2, 3))) * 5), images()


def measure(classifier, image_set):
    engine = LocalEngine()
    return untargeted(record(classifier, image_set, engine), engine, seed=0)


def test_the_budget_is_the_smallest_of_the_levels():
    classifier, image_set = planted()
    result = measure(classifier, image_set)
    pixels = torch.stack([classifier.prepare(image_set[i]) for i in range(COUNT)])
    labels = torch.arange(COUNT) % 2
    for level in LEVELS[:3]:
        broken = pgd(classifier, pixels, labels, epsilon=level / 255, steps=20).success.numpy()[result.looks.rows]
        assert ((result.broken_at > 0) & (result.broken_at <= level)).tolist() == broken.tolist()
    assert result.broken(255).value == 1


def test_everything_breaks_in_the_end_and_the_curve_says_so():
    result = measure(*clean())
    assert (result.broken_at > 4).all()
    (finding,) = result.findings()
    curve = finding.evidence[-1].series[0]
    assert curve.y[-1] == 1
    assert curve.y == sorted(curve.y)


@pytest.mark.parametrize("flag", MASKED)
@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_a_masked_model_never_passes(flag):
    from tests.digits import unseen

    pixels, _ = unseen(12)
    image_set = ImageSet.from_arrays((pixels[:, 0] * 255).round().to(torch.uint8).numpy())
    (finding,) = measure(MASKED[flag](), image_set).findings()
    assert finding.verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE}
    assert any("gradient" in caveat for caveat in finding.caveats)
