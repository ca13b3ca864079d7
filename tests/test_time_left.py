"""How long the rest of an audit is said to take."""

from __future__ import annotations

import pytest

from deeptroubles.checks.registry import all_checks
from deeptroubles.recording import Budget
from deeptroubles.workflows.time_left import PRIOR, TYPICAL, TimeLeft

BUDGET = Budget(looks=1000, seconds=0.01)


def test_every_check_that_is_named_exists():
    assert TYPICAL.keys() <= all_checks().keys()


def test_a_network_for_which_checks_take_three_times_as_long_is_said_to_go_on_like_that():
    names = list(TYPICAL)
    usual = {name: (t.seconds + (min(t.looks, 1000) if t.bounded else t.looks) * 0.01) for name, t in TYPICAL.items()}
    left, took = TimeLeft(names, 10_000, BUDGET), 0.0
    for place, name in enumerate(names):
        said = left.after(name, 3 * usual[name])
        took += usual[name]
        rest = sum(usual[other] for other in names[place + 1 :])
        assert said == pytest.approx(rest * (PRIOR + 3 * took) / (PRIOR + took))
    assert said == 0


def test_few_images_take_less_and_a_budget_bounds_what_keeps_to_it():
    def said(images: int, budget: Budget) -> float:
        return TimeLeft(["data.classes", "stability.translation"], images, budget).after("data.classes", 0.0)

    whole = said(64, Budget(looks=10**6, seconds=0.01))
    assert said(10_000, Budget(looks=10**6, seconds=0.01)) == whole
    assert said(16, Budget(looks=10**6, seconds=0.01)) == pytest.approx(whole / 4)
    assert said(64, Budget(looks=10, seconds=0.01)) < whole / 10


def test_a_check_that_is_not_known_counts_a_second():
    left = TimeLeft(["a.first", "b.second"], 10, BUDGET)
    assert left.after("a.first", 1.0) == pytest.approx(1.0)
