from __future__ import annotations

import numpy as np
import pytest

from deeptroubles.statistics.evenly_spaced import evenly_spaced


@pytest.mark.parametrize(
    ("count", "most", "positions"), [(0, 5, []), (1, 5, [0]), (9, 1, [0]), (3, 5, [0, 1, 2]), (9, 5, [0, 2, 4, 6, 8])]
)
def test_positions(count, most, positions):
    assert evenly_spaced(count, most).tolist() == positions


def test_none_is_taken_twice():
    for count in range(1, 300, 7):
        for most in range(1, count + 1):
            assert len(np.unique(evenly_spaced(count, most))) == most
