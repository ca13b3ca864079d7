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
class LabelMatch:
    """Which class each label means.

    Attributes:
        targets: N class indices (int64); -1 where there is no label or it matches no class.
        unmatched: The labels that match no class, or more than one, with how often each occurs.
        note: One sentence on how labels were matched; empty when it was by name.
    """

    targets: NDArray[np.int64]
    unmatched: dict[str, int]
    note: str


def label_text(value: Any) -> str | None:
    """Write a label as text: 3 and 3.0 as "3", missing values and empty text as None."""
    if value is None or pd.isna(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return readable(str(value).strip()) or None


def readable(text: str) -> str:
    """Write what is no text, such as a byte of a file name in an old encoding, as an escape; leave text as it is."""
    return text.encode("utf-8", "backslashreplace").decode()


def match_labels(
    labels: Sequence[str | None], class_names: Sequence[str], aliases: Mapping[str, int], *, named: bool
) -> LabelMatch:
    """Match labels to classes.

    A label means the class whose whole name it is, then the class whose alias it is, then the only class with that
    synonym (class names may list synonyms: "tabby, tabby cat"), then the class with that index. Case, and spaces,
    underscores, hyphens and commas make no difference. What could mean two classes is left unmatched.

    Args:
        labels: N labels, None where there is none.
        class_names: K names, in the order of the classifier's outputs.
        aliases: Further names of classes, in lower case.
        named: Whether the classifier came with names. If it did not, labels that are no numbers and are as many as
            the classes are taken in sorted order.

    Returns:
        N targets, with what was left unmatched.
    """
    counts = Counter(label for label in labels if label is not None)
    by_name = _by_name(counts, class_names, aliases)
    nameless = not named and not any(target >= 0 for target in by_name.values())
    found = {label: by_name.get(label, _by_number(label, len(class_names))) for label in counts}
    note = ""
    if nameless and len(counts) == len(class_names) and not all(map(_is_number, counts)):
        found = {label: index for index, label in enumerate(sorted(counts))}
        note = (
            "The classifier has no class names, so the labels were taken for its classes in sorted order, as "
            "torchvision's ImageFolder does."
        )
    elif any(found[label] >= 0 for label in counts if label not in by_name):
        note = "Labels that are numbers were taken for the indices of classes, counted from 0."
    targets = np.array([_NONE if label is None else found[label] for label in labels], dtype=np.int64)
    return LabelMatch(targets, {label: n for label, n in counts.items() if found[label] == _NONE}, note)


def find_class(classifier: Classifier, name: str) -> int:
    """The index of a class by its name, one of its aliases, or its index as text. Raises UsageError."""
    match = match_labels([name], classifier.class_names, classifier.class_aliases, named=True)
    if match.targets[0] < 0:
        raise UsageError(f"The model has no class {name!r}.{nearest(name, classifier.class_names)}")
    return int(match.targets[0])


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


def _by_number(label: str, classes: int) -> int:
    return int(label) if _is_number(label) and 0 <= int(label) < classes else _NONE
