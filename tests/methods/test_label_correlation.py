"""What properties tell of labels: slow loops, counter-examples, and how often noise is found telling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from skimage import data

from deeptroubles.methods.properties.cells import MAX_CELLS, column_cells, point_cells
from deeptroubles.methods.properties.image_properties import image_properties
from deeptroubles.methods.properties.label_correlation import label_correlations
from deeptroubles.statistics.balanced_accuracy import (
    beyond_chance,
    beyond_chance_interval,
    cell_counts,
    left_out_recall,
)
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import wilson


def slow_recall(cells, classes):
    """Leave each sample out and tell it from the others, one by one."""
    kinds = classes.max() + 1
    right = np.zeros(kinds)
    for i in range(len(cells)):
        others = np.arange(len(cells)) != i
        shares = [(cells[others & (classes == k)] == cells[i]).mean() for k in range(kinds)]
        best = [k for k in range(kinds) if shares[k] == max(shares)]
        right[classes[i]] += (classes[i] in best) / len(best)
    return right / np.bincount(classes)


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 6))
def test_recall_equals_leaving_out_one_by_one(seed, kinds, cells):
    random = np.random.default_rng(seed)
    classes = np.concatenate([np.repeat(np.arange(kinds), 2), random.integers(0, kinds, 15)])
    which = random.integers(0, cells, len(classes))
    assert np.allclose(left_out_recall(cell_counts(which, classes)), slow_recall(which, classes))
    shuffled = np.stack([random.permutation(classes) for _ in range(3)])
    many = left_out_recall(cell_counts(which, shuffled))
    assert np.allclose(many, [slow_recall(which, row) for row in shuffled])


def test_telling_all_and_telling_nothing():
    classes = np.repeat([0, 1, 2], [5, 10, 30])
    assert beyond_chance(left_out_recall(cell_counts(classes, classes))) == 1
    assert beyond_chance(left_out_recall(cell_counts(np.zeros(45, dtype=int), classes))) == pytest.approx(0)
    assert beyond_chance(left_out_recall(cell_counts(np.arange(45), classes))) == pytest.approx(0)  # names of files


def test_the_interval_of_one_class_in_two_is_wilsons_and_it_covers():
    low, high = (beyond_chance_interval(np.array([share, 1.0]), np.array([50, 10**9])) for share in (0.7, 0.9))
    for found, right in ((low, 35), (high, 45)):
        value, left, upper = wilson(right, 50)
        assert found == pytest.approx((value, left, upper), abs=1e-3)  # 2 (mean - 1/2) of the share and 1
    random = np.random.default_rng(0)
    recall = np.array([0.6, 0.9, 0.3])
    counts = np.array([40, 25, 80])
    seen = random.binomial(counts, recall, (2000, 3)) / counts
    ends = np.array([beyond_chance_interval(row, counts)[1:] for row in seen])
    truth = beyond_chance(recall)
    covered = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert 0.93 < covered < 0.975


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_sequential_procedure_rejects(p_values):
    corrected = holm(np.array(p_values))
    for alpha in (0.01, 0.05, 0.2):
        rejected, order = set(), np.argsort(p_values, kind="stable")
        for rank, index in enumerate(order):
            if p_values[index] * (len(p_values) - rank) > alpha:
                break
            rejected.add(int(index))
        assert set(np.flatnonzero(corrected <= alpha).tolist()) == rejected


def noise(seed: int, count: int = 120, properties: int = 4):
    """Properties that know nothing of labels of which 80 % are the same."""
    random = np.random.default_rng(seed)
    classes = np.repeat([0, 1], [count * 4 // 5, count // 5])
    return {f"noise {i}": point_cells(random.normal(size=(count, 1))) for i in range(properties)}, classes


def test_noise_is_found_telling_no_more_often_than_the_level_says():
    """Counter-example of Datalab: labels of 80 and 20 %. One test each: Holm corrects nothing."""
    level, runs, found = 0.1, 300, 0
    for seed in range(runs):
        (result,) = label_correlations(*noise(seed, properties=1), seed=seed, shuffles=99)
        found += result.p <= level
    low, high = stats.binom.ppf([0.001, 0.999], runs, level)
    assert low <= found <= high


def test_nor_is_the_best_of_several():
    level, runs = 0.1, 200
    found = [min(c.p for c in label_correlations(*noise(1000 + s), seed=s, shuffles=99)) <= level for s in range(runs)]
    assert sum(found) <= stats.binom.ppf(0.999, runs, level)
    strongest = [max(c.strength.low for c in label_correlations(*noise(s), seed=s, shuffles=199)) for s in range(100)]
    assert np.mean(np.array(strongest) > 0) <= stats.binom.ppf(0.999, 100, 0.05) / 100


def test_what_tells_is_found_and_its_cells_add_up():
    properties, classes = noise(0)
    random = np.random.default_rng(0)
    tag = pd.Series(np.where(random.random(120) < np.where(classes, 0.95, 0.1), "tag", None))
    properties["tag"] = column_cells(tag)
    found = {c.name: c for c in label_correlations(properties, classes, seed=0)}
    assert found["tag"].p < 0.05
    assert found["tag"].strength.low > 0.5
    assert found["tag"].cells == ("missing", "tag")
    assert found["tag"].counts.sum(0).tolist() == [96, 24]
    assert all(found[name].p > 0.05 for name in found if name != "tag")


def test_a_property_that_tells_one_class_from_many_is_found():
    """Like a tag on one class: over all classes it predicts little."""
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(6), 25)
    tagged = random.random(150) < np.where(classes == 2, 0.96, 0.02)
    (found,) = label_correlations({"tag": (tagged.astype(np.int64), ("no", "yes"))}, classes)
    assert found.one_class == 2
    assert found.strength.low > 0.5
    assert beyond_chance(left_out_recall(found.counts)) < 0.3
    rest = cell_counts(tagged.astype(np.int64), (classes != 2).astype(np.int64))
    assert found.strength.value == pytest.approx(float(beyond_chance(left_out_recall(rest))))


def test_noise_of_several_classes_is_found_telling_no_more_often_than_the_level_says():
    level, runs, found = 0.1, 150, 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        noise = {"noise": point_cells(random.normal(size=(90, 1)))}
        found += label_correlations(noise, np.repeat([0, 1, 2], [60, 20, 10]), seed=seed, shuffles=99)[0].p <= level
    low, high = stats.binom.ppf([0.001, 0.999], runs, level)
    assert low <= found <= high


# --- cells


def test_few_numbers_are_categories_and_many_are_ranges_of_about_the_same_size():
    few, names = column_cells(pd.Series([3, 1, 2, 3, 1]))
    assert [names[i] for i in few] == ["3", "1", "2", "3", "1"]
    numbers = np.random.default_rng(0).normal(size=600)
    cells, names = point_cells(numbers[:, None])
    assert len(names) == MAX_CELLS
    assert np.bincount(cells).tolist() == [50] * MAX_CELLS
    assert (np.diff(cells[np.argsort(numbers)]) >= 0).all()


def test_what_is_missing_is_a_cell_of_its_own():
    values = pd.Series([*range(40), None, np.nan, np.inf])
    cells, names = column_cells(values)
    assert names[-1] == "missing"
    assert (cells == len(names) - 1).tolist() == [False] * 40 + [True] * 3
    assert column_cells(pd.Series([True, False, None]))[1] == ("False", "True", "missing")


# --- properties of pictures


@pytest.mark.parametrize("shape", [(1, 1), (1, 7, 3), (40, 30), (33, 65, 3), (2, 2, 3)])
def test_pictures_of_any_size_have_finite_properties(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = image_properties(picture)
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["width"] == shape[1]
    assert found["width / height"] == shape[1] / shape[0]


def test_properties_of_plain_pictures_are_what_they_must_be():
    picture = np.zeros((32, 48, 3), dtype=np.uint8)
    picture[:, :, 0] = 255
    found = image_properties(picture)
    assert found["brightness"] == pytest.approx(0.299)
    assert found["contrast"] == pytest.approx(0, abs=1e-6)
    assert found["saturation"] == pytest.approx(1)
    assert found["color"] == pytest.approx([1, -0.5])
    assert found["frame"] == pytest.approx([1, 0, 0, 0])
    picture[-5:, -8:] = (0, 0, 255)
    found = image_properties(picture)
    assert found["corner at the bottom right"] == pytest.approx([0, 0, 1, 0])
    assert found["corner at the bottom left"] == pytest.approx([1, 0, 0, 0])


def test_fine_detail_tells_upright_from_lying_stripes():
    upright = np.tile(np.array([0, 255], dtype=np.uint8), (20, 10))
    upright_detail, lying, slanting = image_properties(upright)["fine detail"]
    assert upright_detail == pytest.approx(np.log(2), abs=1e-3)
    assert max(lying, slanting) < -9
    assert image_properties(upright.T)["fine detail"] == pytest.approx([lying, upright_detail, slanting])


def test_blur_lowers_sharpness_and_fine_detail():
    sharp = data.camera()
    blurred = (sharp[:-1, :-1] / 4.0 + sharp[1:, :-1] / 4.0 + sharp[:-1, 1:] / 4.0 + sharp[1:, 1:] / 4.0).astype(
        "uint8"
    )
    before, after = image_properties(sharp), image_properties(blurred)
    assert after["sharpness"] < before["sharpness"]
    assert (after["fine detail"] < before["fine detail"]).all()
