"""Cue conflict: images with the shape of one class and the texture of another, and which of the two is predicted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import ImagesError
from deeptroubles.imagenet import wordnet_ids
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import match_labels

CATEGORIES = {
    "airplane": "404",  # 1
    "bear": "294-297",  # 4
    "bicycle": "444 671",  # 2
    "bird": "8 10-16 18-20 22-24 80-83 87-96 98-100 127-133 135-145",  # 49
    "boat": "472 554 625 814 914",  # 5
    "bottle": "440 720 737 898-899 901 907",  # 7
    "car": "436 511 817",  # 3
    "cat": "281-286",  # 6
    "chair": "423 559 765 857",  # 4
    "clock": "409 530 892",  # 3
    "dog": "152-191 193-203 205-226 228-241 243-250 252-257 259 261-263 265-268",  # 109
    "elephant": "385-386",  # 2
    "keyboard": "508 878",  # 2
    "knife": "499",  # 1
    "oven": "766",  # 1
    "truck": "555 569 656 675 717 734 864 867",  # 8
}
"""The 16 categories of the published stimuli with the indices of their ImageNet classes (207 in all), as ranges; the
comments count the classes."""


@dataclass(frozen=True, repr=False)
class Trials(Brief):
    """The images of a folder with shape and texture of different categories.

    Attributes:
        rows: N, their rows in the set of images.
        shape: N, the category of the shape, an index into `names`.
        texture: N, the category of the texture.
        names: Names of the categories: the published 16, or the classifier's classes.
        members: The classes of each category.
        agreeing: Number of images with shape and texture of the same category, which are not used.
        unnamed: Number of images whose name does not hold two categories.
    """

    rows: NDArray[np.int64]
    shape: NDArray[np.int64]
    texture: NDArray[np.int64]
    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    agreeing: int
    unnamed: int


def find_trials(classifier: Classifier, images: ImageSet) -> Trials:
    """Parse shape and texture of images from their names.

    The name of a file (`cat1-elephant3.png`) or of its folder (`cat-elephant`) is the shape, a hyphen and the texture;
    trailing numbers are ignored. Names are the 16 published categories (for a classifier of the 1000 classes of
    ImageNet) or the classifier's classes, whichever fits more images.

    Raises:
        ImagesError: No image has such a name with two different categories.
    """
    pairs = [list(_pairs(str(path))) for path in images.table["path"]]
    texts = sorted({text for each in pairs for pair in each for part in pair for text in _spellings(part)})
    systems = [_published(classifier), _own(classifier, texts)]
    found = [_match(pairs, lookup, names, members) for names, members, lookup in systems]
    best = max(found, key=lambda trials: len(trials.rows))  # the first of equals: the published one
    if not len(best.rows):
        names = classifier.class_names
        raise ImagesError(
            f"None of the {len(images)} images of {images.name} is named <shape>-<texture> after two different "
            f"classes; name files or folders such as {names[0]}-{names[1]}"
            + (" or, with the 16 published categories, cat1-elephant3.png." if systems[0][0] else ".")
        )
    return best


def category_probabilities(
    probabilities: NDArray[np.floating], members: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Probabilities of categories (N x G): the mean, not the sum, over the classes of each (N x K).

    With the sum, the 109 classes of dogs would win over the one class of knives.

    References:
        R. Geirhos et al.: ImageNet-trained CNNs are biased towards texture; increasing shape bias improves accuracy and
        robustness, ICLR 2019, section 2.
    """
    return np.stack([probabilities[:, list(classes)].mean(1) for classes in members], axis=1).astype(np.float64)


System = tuple[tuple[str, ...], tuple[tuple[int, ...], ...], Mapping[str, int]]
"""The names of categories, their classes, and the category of each text."""


def _published(classifier: Classifier) -> System:
    """The 16 categories by the WordNet ids of their classes; empty where the classifier lacks any of them."""
    members = {name: _places(spans) for name, spans in CATEGORIES.items()}
    ids = wordnet_ids()
    known = [[classifier.class_aliases.get(ids[place], -1) for place in places] for places in members.values()]
    if any(index < 0 for classes in known for index in classes):
        return (), (), {}
    names = tuple(members)
    return names, tuple(map(tuple, known)), {name: i for i, name in enumerate(names)}


def _own(classifier: Classifier, texts: Sequence[str]) -> System:
    """The classifier's classes, each as a category."""
    targets = match_labels(texts, classifier.class_names, classifier.class_aliases, named=True).targets
    lookup = {text: int(target) for text, target in zip(texts, targets, strict=True) if target >= 0}
    return classifier.class_names, tuple((i,) for i in range(classifier.classes)), lookup


def _places(spans: str) -> tuple[int, ...]:
    ends = [span.split("-") for span in spans.split()]
    return tuple(place for span in ends for place in range(int(span[0]), int(span[-1]) + 1))


def _match(
    pairs: Sequence[Iterable[tuple[str, str]]],
    lookup: Mapping[str, int],
    names: tuple[str, ...],
    members: tuple[tuple[int, ...], ...],
) -> Trials:
    rows, agreeing, unnamed = list[tuple[int, int, int]](), 0, 0
    for row, each in enumerate(pairs):
        meanings = ((_meaning(shape, lookup), _meaning(texture, lookup)) for shape, texture in each)
        shape, texture = next(((s, t) for s, t in meanings if s >= 0 and t >= 0), (-1, -1))
        if shape < 0:
            unnamed += 1
        elif shape == texture:
            agreeing += 1
        else:
            rows.append((row, shape, texture))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Trials(columns[0], columns[1], columns[2], names, members, agreeing, unnamed)


def _meaning(text: str, lookup: Mapping[str, int]) -> int:
    return next((lookup[spelling] for spelling in _spellings(text) if spelling in lookup), -1)


def _spellings(text: str) -> tuple[str, ...]:
    """A text unchanged, without trailing numbers, and that in lower case."""
    bare = re.sub(r"[\s_]*\d+$", "", text) or text
    return text, bare, bare.lower()


def _pairs(path: str) -> Iterator[tuple[str, str]]:
    """All splits of the name of a file, then of its folder, at a hyphen."""
    whole = PurePath(path)
    for name in (whole.stem, whole.parent.name):
        parts = name.split("-")
        for cut in range(1, len(parts)):
            yield "-".join(parts[:cut]).strip(), "-".join(parts[cut:]).strip()
