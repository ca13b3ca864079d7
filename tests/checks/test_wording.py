from __future__ import annotations

import pytest

from deeptroubles.checks.wording import duration, listed, percent, points, points_interval
from deeptroubles.statistics.intervals import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.42, "42"),
        (0.039, "3.9"),
        (0.05, "5"),
        (-0.017, "-1.7"),
        (0.0004, "0"),
        (-0.0004, "0"),
        (0.0, "0"),
        (1.0, "100"),
    ],
)
def test_numbers_have_a_decimal_where_it_matters(value, text):
    assert percent(value) == f"{text}%"
    assert points(value) == f"{text} points"


def test_one_point_is_singular():
    assert points(0.01) == "1 point"
    assert points(-0.01) == "-1 point"
    assert points_interval(Interval(0.12, -0.012, 0.25)) == "12 points (95% CI -1.2 to 25)"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        ([*"abcde"], "a, b, c and 2 more"),
    ],
)
def test_lists_are_cut(names, text):
    assert listed(names, most=3) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 second"), (100, "100 seconds"), (7_100, "118 minutes")])
def test_times_have_the_largest_unit_that_fits(seconds, text):
    assert duration(seconds) == text
