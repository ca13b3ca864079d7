"""Areas under ROC curves against pairs counted one by one and peers; attributes against tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn.metrics import roc_auc_score

from deeptroubles import ImageSet
from deeptroubles.methods.units.shared.attributes import MIN_OCCURRENCES, Attributes, attribute_table, attributes_of
from deeptroubles.statistics.auroc import auroc
from deeptroubles.subject import Subject
from tests.networks import formula


def generator(seed=0):
    return np.random.default_rng(seed)


def attributes(carried, columns=None, known=None):
    names = tuple(f"w{i}" for i in range(carried.shape[1]))
    known = np.ones_like(carried) if known is None else known
    return Attributes(names, columns or ("tag",) * len(names), carried, known)


def slow_auroc(values, present, known, strata):
    """All pairs, one by one."""
    wins, pairs = 0.0, 0
    for i in np.flatnonzero(present & known):
        for j in np.flatnonzero(~present & known):
            if strata[i] == strata[j]:
                wins += (values[i] > values[j]) + (values[i] == values[j]) / 2
                pairs += 1
    return wins / pairs if pairs else np.nan, pairs


# --- the area


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_share_of_pairs_counted_one_by_one(seed):
    random = generator(seed)
    values = random.integers(0, 6, (40, 3)).astype(np.float32)  # many ties
    present, known = random.random((40, 4)) < 0.4, random.random((40, 4)) < 0.8
    known[:, 1] = known[:, 0]
    strata = random.integers(-1, 3, 40)
    found = auroc(values, present, known, strata)
    for unit in range(3):
        for attribute in range(4):
            area, pairs = slow_auroc(values[:, unit], present[:, attribute], known[:, attribute], strata)
            assert found.value[unit, attribute] == pytest.approx(area, abs=1e-12)
            assert found.pairs[attribute] == pairs


def test_it_is_what_scikit_learn_computes():
    random = generator()
    values, present = random.normal(size=(60, 5)), random.random((60, 3)) < 0.3
    expected = [[roc_auc_score(attribute, unit) for attribute in present.T] for unit in values.T]
    np.testing.assert_allclose(auroc(values, present).value, expected, atol=1e-12)


def test_without_pairs_there_is_no_area():
    present = np.array([[True, False], [True, True], [True, False]])
    found = auroc(np.arange(3.0)[:, None], present, strata=np.array([0, 1, 0]))
    assert np.isnan(found.value).all()  # the first has no image without it, the second none of the same stratum
    assert found.present.tolist() == found.absent.tolist() == [0, 0]
    assert found.interval()[0].tolist() == [[0, 0]]
    assert found.interval()[1].tolist() == [[1, 1]]
    assert auroc(np.arange(3.0)[:, None], np.zeros((3, 0), bool)).value.shape == (1, 0)


# --- its interval


def hanley_mcneil(area, m, n):
    """The variance as the paper has it; Newcombe's method 5 puts the mean of the two sizes for each of them."""
    size = (m + n) / 2
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    return (area * (1 - area) + (size - 1) * (q1 - area**2) + (size - 1) * (q2 - area**2)) / (m * n)


@pytest.mark.parametrize(("m", "n", "shift", "level"), [(20, 20, 0.5, 0.95), (12, 70, 2.0, 0.99), (30, 10, 9.0, 0.95)])
def test_the_ends_solve_the_equation_of_the_paper(m, n, shift, level):
    values = generator().normal(size=(m + n, 1))
    present = (np.arange(m + n) < m)[:, None]
    values[present] += shift
    found = auroc(values, present)
    (area,), z = found.value[0], stats.norm.ppf((1 + level) / 2)
    ends = found.interval(level)

    def distance(end):
        return abs(area - end) - z * np.sqrt(hanley_mcneil(end, m, n))

    assert ends[0][0, 0] == pytest.approx(optimize.brentq(distance, 1e-9, area - 1e-9), abs=1e-7)
    high = 1 if area == 1 else optimize.brentq(distance, area + 1e-9, 1 - 1e-9)
    assert ends[1][0, 0] == pytest.approx(high, abs=1e-7)


def test_it_leaves_a_half_out_exactly_where_the_wilcoxon_test_is_significant():
    random = generator(1)
    present = (np.arange(50) < 18)[:, None]
    values = random.normal(size=(50, 400)) + present * 0.6
    found = auroc(values, present)
    p = stats.mannwhitneyu(values[:18], values[18:], method="asymptotic", use_continuity=False).pvalue
    low, high = found.interval(0.95)
    assert 0.2 < (p < 0.05).mean() < 0.8
    np.testing.assert_array_equal((low[:, 0] > 0.5) | (high[:, 0] < 0.5), p < 0.05)


@pytest.mark.parametrize(("shift", "strata"), [(0.0, 1), (1.2, 1), (2.5, 1), (1.2, 3)])
def test_it_covers_the_true_area_as_often_as_it_says(shift, strata):
    """Two normal distributions: the area is Phi(shift / sqrt 2). Strata differ in their level, too."""
    units, rows = 3000, 60
    which = np.arange(rows) % strata
    present = (np.arange(rows) < 24)[:, None]
    values = generator(2).normal(size=(rows, units)) + present * shift + 5.0 * which[:, None]
    low, high = auroc(values, present, strata=which).interval(0.95)
    true = stats.norm.cdf(shift / np.sqrt(2))
    assert 0.935 < ((low <= true) & (true <= high)).mean() < 0.985


# --- the table


def test_pure_noise_gives_no_detector():
    """In one of twenty tables at most, whatever their size; judged one by one, there would be some in all of them."""
    tables, singly = 0, 0
    for seed in range(40):
        random = generator(seed)
        values, carried = random.normal(size=(80, 150)), random.random((80, 6)) < 0.4
        classes = random.integers(0, 3, 80)
        table = attribute_table(values, attributes(carried), classes)
        tables += bool((table.overall_ends[0] > 0.5).any() or (table.within_ends[0] > 0.5).any())
        singly += bool((table.overall.interval()[0] > 0.5).any())
    assert tables <= 6  # expected: 2 at most (two families of intervals, of which 2.5 % lie too high)
    assert singly == 40


def test_a_word_that_only_goes_along_with_a_class_is_not_detected_within_it():
    random = generator()
    classes = random.integers(0, 2, 400)
    carried = (random.random(400) < np.where(classes == 1, 0.85, 0.15))[:, None]
    of_class, of_attribute = classes + 0.1 * random.normal(size=400), carried[:, 0] + 0.1 * random.normal(size=400)
    table = attribute_table(np.stack([of_class, of_attribute], 1), attributes(carried), classes)
    first, second = table.detector(0, 0), table.detector(1, 0)
    assert first.overall.low > 0.7
    assert first.within.low < 0.5 < first.within.high
    assert second.overall.low > 0.9
    assert second.within.low > 0.9
    assert table.best_unit(0, within=True).unit == 1


def test_a_word_that_is_the_class_cannot_be_told_from_it():
    classes = np.repeat([0, 1], 40)
    table = attribute_table(generator().normal(size=(80, 2)), attributes((classes == 1)[:, None]), classes)
    assert table.attributes.enough.tolist() == [True]
    assert table.enough_within.tolist() == [False]
    assert np.isnan(table.within.value).all()


def test_images_without_a_class_make_no_pairs_within_one():
    random = generator()
    classes, carried = np.repeat([-1, 0, 1], 30), random.random((90, 1)) < 0.5
    values = random.normal(size=(90, 2))
    labelled = classes >= 0
    expected = auroc(values[labelled], carried[labelled], strata=classes[labelled])
    np.testing.assert_array_equal(attribute_table(values, attributes(carried), classes).within.value, expected.value)


def test_a_word_on_too_few_images_is_not_looked_at():
    random = generator()
    carried = random.random((60, 3)) < 0.5
    carried[:, 0] = np.arange(60) < MIN_OCCURRENCES
    carried[:, 1] = np.arange(60) < MIN_OCCURRENCES - 1
    carried[:, 2] = np.arange(60) >= MIN_OCCURRENCES - 1
    values, classes = random.normal(size=(60, 4)), np.zeros(60, dtype=int)
    table = attribute_table(values, attributes(carried), classes)
    assert table.attributes.enough.tolist() == [True, False, False]
    assert {w.attribute for w in table.best_attributes(0)} == {0}
    assert (table.overall_ends[0][:, 1:] == 0).all()
    alone = attribute_table(values, attributes(carried[:, :1]), classes)
    np.testing.assert_array_equal(table.overall_ends[0][:, 0], alone.overall_ends[0][:, 0])  # they cost nothing


def test_the_correction_is_that_of_bonferroni():
    random = generator()
    carried, values = random.random((60, 4)) < 0.5, random.normal(size=(60, 5))
    table = attribute_table(values, attributes(carried), np.zeros(60, dtype=int), level=0.9)
    low, high = auroc(values, carried).interval(1 - 0.1 / 20)
    np.testing.assert_allclose(table.overall_ends[0], low)
    np.testing.assert_allclose(table.overall_ends[1], high)


def test_purity_is_the_share_of_the_strongest_images():
    random = generator()
    values, carried = random.normal(size=(50, 3)), random.random((50, 2)) < 0.5
    known = random.random((50, 2)) < 0.7
    table = attribute_table(values, attributes(carried, known=known), np.zeros(50, dtype=int), top=7)
    for unit in range(3):
        strongest = sorted(range(50), key=lambda row: -values[row, unit])[:7]
        for attribute in range(2):
            seen = [carried[row, attribute] for row in strongest if known[row, attribute]]
            assert table.purity[unit, attribute] == pytest.approx(np.mean(seen))
    np.testing.assert_allclose(table.attributes.base_rate, [carried[known[:, w], w].mean() for w in range(2)])


def test_the_best_attributes_of_a_unit_come_clearest_first():
    random = generator()
    carried = random.random((100, 3)) < [0.5, 0.3, 0.5]
    values = carried @ np.array([[0.3], [2.0], [0.0]]) + random.normal(size=(100, 1))
    table = attribute_table(values, attributes(carried), np.zeros(100, dtype=int))
    best = table.best_attributes(0, count=2)
    assert best[0].attribute == 1
    assert best[0].overall.low >= best[1].overall.low
    assert table.best_unit(1) == best[0]


# --- where attributes come from


def subject(columns, labels=None):
    count = len(next(iter(columns.values())))
    images = ImageSet.from_arrays(np.zeros((count, 4, 4), np.uint8), labels, columns)
    targets = np.array([-1 if label is None else ["cat", "dog"].index(label) for label in images.labels])
    return Subject(formula(lambda x: 3 + x.mean((2, 3)).repeat(1, 2), 4, 1, ["cat", "dog"]), images, targets)


def as_table(found):
    """Name to what is known of each image: 1, 0, or None."""
    return {
        name: [int(c) if k else None for c, k in zip(carried, known, strict=True)]
        for name, carried, known in zip(found.names, found.present.T, found.known.T, strict=True)
    }


def test_labels_are_attributes():
    found = attributes_of(subject({"x": ["a", "a", "b", "b"]}, ["dog", None, "cat", "dog"]), range(4))
    assert found.columns == ("label", "label", "x", "x")
    assert found.is_label.tolist() == [True, True, False, False]
    assert as_table(found) == {"cat": [0, None, 1, 0], "dog": [1, None, 0, 1], "x=a": [1, 1, 0, 0], "x=b": [0, 0, 1, 1]}


def test_every_kind_of_column():
    columns = {
        "text": ["a", "b", None, "a", ""] * 4,
        "flag": [True, False, True, True, False] * 4,
        "maybe": pd.array([True, None, False, True, None] * 4, dtype="boolean"),
        "few": [1, 2, 1, 2, 3] * 4,
        "floats": [1.0, np.nan, 1.0, 2.0, 2.0] * 4,
        "lat": [*np.linspace(0, 9.5, 19), np.nan],
        "file": [f"masks/{i}.png" for i in range(20)],
        "boxes": [[1, 2]] * 20,
        "empty": [None] * 20,
    }
    found = as_table(attributes_of(subject(columns), range(20)))
    assert found == {
        "text=a": [1, 0, None, 1, None] * 4,
        "text=b": [0, 1, None, 0, None] * 4,
        "flag=True": [1, 0, 1, 1, 0] * 4,
        "flag=False": [0, 1, 0, 0, 1] * 4,
        "maybe=True": [1, None, 0, 1, None] * 4,
        "maybe=False": [0, None, 1, 0, None] * 4,
        "few=1": [1, 0, 1, 0, 0] * 4,
        "few=2": [0, 1, 0, 1, 0] * 4,
        "few=3": [0, 0, 0, 0, 1] * 4,
        "floats=1": [1, None, 1, 0, 0] * 4,
        "floats=2": [0, None, 0, 1, 1] * 4,
        "lat above 4.75": [0] * 10 + [1] * 9 + [None],
        "lat at most 4.75": [1] * 10 + [0] * 9 + [None],
    }


def test_attributes_are_those_of_the_chosen_images():
    given = subject({"x": list("aabbcc")}, ["cat", "dog"] * 3)
    assert as_table(attributes_of(given, [4, 0, 1])) == {
        "cat": [1, 1, 0],
        "dog": [0, 0, 1],
        "x=a": [0, 1, 1],
        "x=c": [1, 0, 0],
    }


def test_only_the_most_frequent_values_of_a_long_column_are_attributes():
    values = [f"camera {i:02d}" for i in range(70) for _ in range(1 + (i >= 30))]
    found = attributes_of(subject({"camera": values}), range(len(values)))
    assert len(found.names) == 50
    assert set(found.names) >= {f"camera=camera {i:02d}" for i in range(30, 70)}


def test_without_columns_and_labels_there_are_no_attributes():
    found = attributes_of(subject({"file": list("abcd")}), range(4))
    assert found.names == ()
    assert found.present.shape == found.known.shape == (4, 0)
    table = attribute_table(np.zeros((4, 2)), found, np.full(4, -1))
    assert table.best_attributes(0) == []
