"""From labels, as people write them, to the classes of a classifier."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError, nearest

_NONE = -1


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read labels.

    Attributes:
        how: The way, as in "labels were read as ...".
        targets: N class indices (int64); -1 where there is no label or it matches no class.
    """

    how: str
    targets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Readings:
    """The ways to read labels, the most plausible first. They were `guessed` unless the labels name the classes."""

    ways: tuple[Reading, ...]
    guessed: bool


@dataclass(frozen=True, eq=False)
class LabelMatch:
    """Which class each label means.

    Attributes:
        targets: N class indices (int64); -1 where there is no label, it matches no class, or it is undecided.
        unmatched: The labels that match no class, or more than one, with how often each occurs.
        note: One sentence on how labels were read; empty when it was by name.
        doubt: Why the reading is wrong by what the classifier predicts, though the labels name the classes.
        undecided: Why it is open what the labels mean; no label is used then.
    """

    targets: NDArray[np.int64]
    unmatched: dict[str, int]
    note: str
    doubt: str = ""
    undecided: str = ""

    @property
    def caveats(self) -> list[str]:
        """What to know beside every verdict that uses the labels."""
        count = sum(self.unmatched.values())
        left_out = f"{count:,} image{'s have labels' if count > 1 else ' has a label'} without a class and "
        left_out += "are left out." if count > 1 else "is left out."
        return [text for text in (self.note, self.doubt, left_out if count else "") if text]


def label_text(value: Any) -> str | None:
    """Write a label as text: 3 and 3.0 as "3", missing values and empty text as None."""
    if value is None or pd.isna(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return readable(str(value).strip()) or None


def readable(text: str) -> str:
    """Escape what is not valid text, such as a byte of a file name in an old encoding; leave the rest as it is."""
    return text.encode("utf-8", "backslashreplace").decode()


def match_labels(
    labels: Sequence[str | None], class_names: Sequence[str], aliases: Mapping[str, int], *, named: bool
) -> LabelMatch:
    """Match labels to classes by the most plausible of their `readings`.

    Args:
        labels: N labels, None where there is none.
        class_names: K names, in the order of the classifier's outputs.
        aliases: Further names of classes, in lower case.
        named: Whether the classifier came with names.

    Returns:
        N targets, with what was left unmatched.
    """
    found = readings(labels, class_names, aliases, named=named)
    return as_match(labels, found.ways[0], guessed=found.guessed)


def as_match(labels: Sequence[str | None], reading: Reading, *, guessed: bool) -> LabelMatch:
    """A reading, with the labels that it leaves unmatched."""
    lost = (label for label, target in zip(labels, reading.targets, strict=True) if target < 0 and label is not None)
    return LabelMatch(reading.targets, dict(Counter(lost)), f"Labels were read {reading.how}." if guessed else "")


def readings(
    labels: Sequence[str | None], class_names: Sequence[str], aliases: Mapping[str, int], *, named: bool
) -> Readings:
    """All ways to read labels that give most of them a class, the most usual one first.

    A label means the class whose whole name it is, then the class whose alias it is, then the only class with that
    synonym (class names may list synonyms: "tabby, tabby cat"). Case, and spaces, underscores, hyphens and commas make
    no difference. What could mean two classes is left unmatched.

    Other labels are guessed. Numbers are indices of classes, or count from 1, or are the classes in order of text or
    of size where they are as many. Words are taken in some order where the classifier has no names and they are as
    many as its classes. Labels that name their classes are also read by other orders of the names: whoever wrote the
    names may have taken another order than the classifier.

    Arguments are those of `match_labels`.
    """
    counts = Counter(label for label in labels if label is not None)
    by_name = _by_name(counts, class_names, aliases)
    nameless = not named and not any(target >= 0 for target in by_name.values())
    numbers = [label for label in counts if label not in by_name and _is_number(label)]
    if nameless and len(counts) == len(class_names) and len(numbers) < len(counts):
        found, guessed = _in_order(list(counts)), True
    elif numbers:
        found, guessed = _as_numbers(numbers, list(counts), len(class_names)), True
        found = {how: {**meaning, **by_name} for how, meaning in found.items()}
    else:
        orders = _in_order(class_names) if len(set(class_names)) == len(class_names) else {}
        others = {
            f"with the class names {how}": {
                label: order[class_names[k]] if k >= 0 else k for label, k in by_name.items()
            }
            for how, order in orders.items()
        }
        found, guessed = {"by name": by_name, **others}, False
    return Readings(_distinct(labels, found, guessed=guessed), guessed)


def _in_order(names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The place of each name in the orders that people and programs put names in."""
    orders = {
        "in the order of text (B before a), as torchvision's ImageFolder sorts folders": sorted(names),
        "in alphabetical order, whatever their case": sorted(names, key=str.casefold),
        "in the order of the numbers in them": sorted(names, key=_natural),
        "in the order in which they first occur": names,
    }
    return {how: {name: place for place, name in enumerate(order)} for how, order in orders.items()}


def _as_numbers(numbers: Sequence[str], labels: Sequence[str], classes: int) -> dict[str, dict[str, int]]:
    """What numbers can mean: indices counted from 0 or from 1, or classes in some order if all labels are numbers."""
    found = {
        f"as indices of classes, counted from {first}": {label: _by_number(label, first, classes) for label in numbers}
        for first in (0, 1)
    }
    if len(numbers) == len(labels) == classes:
        for how, order in (
            (
                "as numbers in the order of text (0, 1, 10, 2), as torchvision's ImageFolder sorts folders",
                sorted(numbers),
            ),
            ("as numbers in order of size", sorted(numbers, key=int)),
        ):
            found[how] = {label: place for place, label in enumerate(order)}
    return found


def _distinct(
    labels: Sequence[str | None], found: Mapping[str, Mapping[str, int]], *, guessed: bool
) -> tuple[Reading, ...]:
    """Readings that differ; where they were guessed, only those that give most images a class."""
    ways: dict[bytes, Reading] = {}
    for how, meaning in found.items():
        targets = np.array([_NONE if label is None else meaning.get(label, _NONE) for label in labels], dtype=np.int64)
        ways.setdefault(targets.tobytes(), Reading(how, targets))
    most = max(int((way.targets >= 0).sum()) for way in ways.values()) if guessed else 0
    return tuple(way for way in ways.values() if (way.targets >= 0).sum() >= most)


def find_class(classifier: Classifier, name: str) -> int:
    """The index of a class by its name, one of its aliases, or its index as text. Raises UsageError."""
    by_name = _by_name([name], classifier.class_names, classifier.class_aliases)
    index = by_name.get(name, _by_number(name, 0, classifier.classes) if _is_number(name) else _NONE)
    if index < 0:
        raise UsageError(
            f"The model has no class {name!r}; give a name, or an index from 0 to {classifier.classes - 1}."
            f"{nearest(name, classifier.class_names)}"
        )
    return index


def _by_name(labels: Iterable[str], class_names: Sequence[str], aliases: Mapping[str, int]) -> dict[str, int]:
    """Look labels up as whole names, aliases and synonyms; -1 where the first of these that fits is ambiguous."""
    classes = list(enumerate(class_names))
    exact = _lookup((name, index) for index, name in classes)
    whole = _lookup((_key(name), index) for index, name in classes)
    synonyms = _lookup((_key(part), index) for index, name in classes for part in name.split(","))
    found = {}
    for label in labels:
        key = _key(label)
        for known, text in ((exact, label), (whole, key), (aliases, label.lower()), (synonyms, key)):
            if text in known:
                found[label] = known[text]
                break
    return found


def _lookup(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Map each text to its class, or to -1 when two classes share it."""
    known: dict[str, int] = {}
    for text, index in pairs:
        known[text] = index if known.get(text, index) == index else _NONE
    known.pop("", None)
    return known


def _key(text: str) -> str:
    """Leave out what makes no difference. First, é becomes one character: in file names, macOS writes it as two."""
    text = unicodedata.normalize("NFKC", text).casefold().strip()
    return text if _is_number(text) else re.sub(r"[\s_,-]+", "", text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", text) is not None


def _by_number(label: str, first: int, classes: int) -> int:
    return int(label) - first if first <= int(label) < first + classes else _NONE


def _natural(text: str) -> list[tuple[int, str]]:
    """A key that puts 2 before 10, also within words."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
