from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.adversarial.fooling import fooling
from deeptroubles.checks.adversarial.patch import patch
from deeptroubles.checks.adversarial.targeted import targeted
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.checks.test_adversarial_untargeted import clean, planted
from tests.methods.test_masking import MASKED, Rounds, masked
from tests.networks import formula

__all__ = ["clean", "planted"]  # a network that reads what nobody sees, and one that reads what everybody does


def test_a_class_that_it_is_not_is_drawn_and_reached():
    classifier, image_set = planted()
    engine = LocalEngine()
    result = targeted(record(classifier, image_set, engine), engine, seed=0)
    assert result.success.all()
    (finding,) = result.findings()
    before, _, after = (item.caption for item in finding.evidence[1].items[:3])
    assert before != after


def test_nothing_is_reached_by_what_everybody_would_see():
    engine = LocalEngine()
    result = targeted(record(*clean(), engine), engine, seed=1)
    assert not np.any(result.success)


def digits():
    from tests.digits import unseen

    return ImageSet.from_arrays((unseen(12)[0][:, 0] * 255).round().to(torch.uint8).numpy())


def rounding():
    """Rounding to 8 levels hides the gradient; the network behind it is as easily changed as any."""
    return masked(before=Rounds())


@pytest.mark.parametrize("ask", [targeted, fooling, patch])
@pytest.mark.parametrize("make", [*MASKED.values(), rounding], ids=[*MASKED, "rounds"])
@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_a_network_without_usable_gradients_never_passes(ask, make):
    engine = LocalEngine()
    (finding,) = ask(record(make(), digits(), engine), engine, seed=0).findings()
    assert finding.verdict != Verdict.PASS
    assert any("gradient" in caveat for caveat in finding.caveats)


def test_squares_reach_targets_where_gradients_do_not():
    """A network that rounds to 32 levels, and reads a pattern of one of them."""
    sign = torch.where(torch.arange(28) < 14, 1.0, -1.0)

    def read(x):
        score = ((x * 32).round() * sign).mean((1, 2, 3)) * 10
        return torch.stack([-score, score], 1)

    images = ImageSet.from_arrays(np.stack([np.full((28, 28), 60 + 5 * i, dtype=np.uint8) for i in range(12)]))
    engine = LocalEngine()
    result = targeted(record(formula(read), images, engine), engine, seed=0)
    assert result.success.any()
    (finding,) = result.findings()
    assert "Square" in finding.claim
