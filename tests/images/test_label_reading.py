"""Where labels do not name the classes, what they mean is decided by the predictions, or left open."""

from __future__ import annotations

import numpy as np
import pytest

from deeptroubles.images.label_reading import read_labels


def nameless(classes):
    return [f"class {k}" for k in range(classes)]


def read(labels, names, predicted, *, named=False):
    return read_labels(labels, names, {}, np.array(predicted), named=named)


TWELVE = [str(k) for k in range(12)] * 5
IN_TEXT_ORDER = sorted({*TWELVE})


def test_numbers_of_a_network_that_was_trained_in_text_order():
    """Folders 0 to 11, sorted as text: 0, 1, 10, 11, 2, ...; the network is right on all."""
    truth = [IN_TEXT_ORDER.index(label) for label in TWELVE]
    match = read(TWELVE, nameless(12), truth)
    assert match.targets.tolist() == truth
    assert "order of text" in match.note
    assert "100%" in match.note
    assert "counted from 0 the predictions are correct on 17%" in match.note
    assert not match.undecided


def test_numbers_of_a_network_that_was_trained_in_their_own_order():
    truth = [int(label) for label in TWELVE]
    match = read(TWELVE, nameless(12), truth)
    assert match.targets.tolist() == truth
    assert "counted from 0" in match.note


def test_numbers_from_1_are_all_used():
    labels = ["1", "2", "3"] * 6
    match = read(labels, nameless(3), [int(label) - 1 for label in labels])
    assert match.targets.tolist() == [0, 1, 2] * 6
    assert not match.unmatched


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("named", [True, False])
def test_numbers_of_some_classes_are_counted_as_the_network_counts(first, named):
    labels = ["3", "5", "8"] * 6
    truth = [int(label) - first for label in labels]
    names = list("abcdefghij") if named else nameless(10)
    match = read(labels, names, truth, named=named)
    assert match.targets.tolist() == truth
    assert f"counted from {first}" in match.note


def test_a_network_that_is_no_better_by_any_way_leaves_it_open():
    labels = ["3", "5", "8"] * 20
    match = read(labels, nameless(10), np.random.default_rng(0).integers(10, size=60))
    assert set(match.targets) == {-1}
    assert "It is open which class each label means" in match.undecided
    assert "--classes" in match.undecided
    assert not match.note


def test_few_images_leave_it_open_and_unreadable_ones_do_not_count():
    assert read(["3", "5"], nameless(10), [3, 5]).undecided
    assert read(["3", "5"] * 20, nameless(10), [3, 5] + [-1] * 38).undecided


def test_words_in_the_order_of_the_numbers_in_them():
    labels = [f"site{k}" for k in (1, 2, 10)] * 10
    match = read(labels, nameless(3), [0, 1, 2] * 10)
    assert match.targets.tolist() == [0, 1, 2] * 10
    assert "numbers in them" in match.note
    assert read(labels, nameless(3), [0, 2, 1] * 10).targets.tolist() == [0, 2, 1] * 10


def test_an_order_that_nobody_thinks_of_is_noticed():
    """The network knows dogs as class 0: sorted order would make every label wrong."""
    labels = sorted(["cat", "dog"] * 20)
    match = read(labels, nameless(2), [1] * 20 + [0] * 20)
    assert set(match.targets) == {-1}
    assert "another order on 100%" in match.undecided


def test_a_weak_network_without_another_way_is_taken_as_it_is():
    labels = sorted(["cat", "dog"] * 30)
    match = read(labels, nameless(2), np.random.default_rng(1).integers(2, size=60))
    assert match.targets.tolist() == [0] * 30 + [1] * 30


def test_guesses_are_wrong_no_more_often_than_the_level_says():
    """Networks that know nothing: no way of reading is preferred."""
    random, runs = np.random.default_rng(0), 200
    decided = sum(
        not read(["3", "5", "8"] * 20, nameless(10), random.integers(10, size=60)).undecided for _ in range(runs)
    )
    assert decided <= 0.04 * runs  # either of two ways at 1%


def test_names_are_taken_at_their_word_and_doubted_when_another_order_fits():
    names = [str(k) for k in range(12)]
    truth = [IN_TEXT_ORDER.index(label) for label in TWELVE]
    match = read(TWELVE, names, truth, named=True)
    assert match.targets.tolist() == [int(label) for label in TWELVE]
    assert "order of the class names is probably wrong" in match.doubt
    assert match.doubt in match.caveats
    assert not read(TWELVE, names, [int(label) for label in TWELVE], named=True).doubt
    assert not read(TWELVE, names, np.random.default_rng(0).integers(12, size=60), named=True).doubt


def test_no_labels_at_all():
    match = read([None, None], nameless(3), [0, 1])
    assert match.targets.tolist() == [-1, -1]
    assert match.caveats == []
    assert not match.undecided
