"""Units that respond alike, against numpy's correlations."""

from __future__ import annotations

import numpy as np

from deeptroubles.methods.units.shared.similar_units import similar_units


def test_similar_units_are_those_with_the_highest_correlations():
    values = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    found = similar_units(values, 4)
    every = np.corrcoef(values.T)
    np.fill_diagonal(every, -2)
    assert np.array_equal(found.units, np.argsort(-every, 1)[:, :4])
    assert np.allclose(found.correlations, -np.sort(-every, 1)[:, :4], atol=1e-6)


def test_constant_units_are_like_none_and_copies_are_found():
    values = np.random.default_rng(0).normal(size=(20, 5))
    values[:, 1] = 0.1
    values[:, 4] = 3 * values[:, 0] + 1
    found = similar_units(values, 10)
    assert found.units.shape == (5, 4)
    assert found.units[0, 0] == 4
    assert np.isclose(found.correlations[0, 0], 1)
    assert (found.units[1] == -1).all()
    assert np.isnan(found.correlations[1]).all()
    assert 1 not in found.units


def test_one_unit_has_none():
    assert similar_units(np.ones((3, 1)), 5).units.shape == (1, 0)
