from __future__ import annotations

import numpy as np

from deeptroubles.checks.adversarial.targeted import targeted
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.checks.test_adversarial_untargeted import clean, planted

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
