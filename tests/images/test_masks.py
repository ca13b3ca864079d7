"""Masks of objects and of cues: in image sets, as the classifier sees them, and in a recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import Plain, formula

from deeptroubles import Classifier, ImageSet, audit, load_images
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.recording import record
from deeptroubles.subject import Subject

KINDS = [("masks", False), ("cue_masks", True)]


def arrays(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 6, 8), dtype=np.uint8)


def mask(*place) -> np.ndarray:
    marked = np.zeros((6, 8), dtype=bool)
    if place:
        marked[place] = True
    return marked


@pytest.mark.parametrize(("name", "cue"), KINDS)
@pytest.mark.parametrize("kind", [bool, np.float32, np.uint8, "zeros and ones"])
def test_a_mask_is_what_was_given(name, cue, kind):
    marked = mask(slice(1, 3), slice(2, 5))
    given = (
        marked.astype(np.uint8) if kind == "zeros and ones" else marked.astype(kind) * (255 if kind is np.uint8 else 1)
    )
    images = ImageSet.from_arrays(arrays(2), **{name: [given.astype(bool) if kind is bool else given, None]})
    assert np.array_equal(np.asarray(images.mask(0, cue=cue)), marked * np.uint8(255))
    assert images.mask(1, cue=cue) is None
    assert images.mask(0, cue=not cue) is None


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ([mask()] * 3, "2 images but 3 masks"),
        ([mask()[None], None], "mask of image 0 has 3 dimensions"),
        ([None, mask().astype(np.float32) - 1], "The mask of image 1 has floats from -1"),
        ([None, mask().astype(np.int64)], "The mask of image 1 has the type int64"),
    ],
)
def test_masks_that_cannot_be_used_are_told(masks, says):
    with pytest.raises(ImagesError, match=says):
        ImageSet.from_arrays(arrays(2), masks=masks)


@pytest.mark.parametrize(("name", "cue"), KINDS)
def test_a_subset_takes_its_masks_along(name, cue):
    images = ImageSet.from_arrays(arrays(), **{name: [mask(i) for i in range(4)]})
    subset = images.subset([3, 1]).subset([1, 0])
    assert [int(np.asarray(subset.mask(i, cue=cue)).argmax()) // 8 for i in range(2)] == [1, 3]


def test_the_fingerprint_changes_with_a_mask():
    plain = {"masks": [mask(0), None]}
    seen = {
        ImageSet.from_arrays(arrays(2), **settings).fingerprint()
        for settings in (
            {},
            plain,
            {"masks": [None, mask(0)]},
            {"masks": [mask(1), None]},
            {"cue_masks": [mask(0), None]},
            {**plain, "cue_masks": [mask(0), None]},
            {"masks": [mask(0), mask(0)]},
        )
    }
    assert len(seen) == 7
    assert ImageSet.from_arrays(arrays(2), **plain).fingerprint() in seen


@pytest.fixture
def manifest(tmp_path):
    """Four images; the second has no mask, the third's is of another size, the fourth's is missing."""
    (tmp_path / "m").mkdir()
    for i, pixels in enumerate(arrays()):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    Image.fromarray(mask(slice(1, 4), slice(2, 6))).save(tmp_path / "m" / "0.png")
    Image.fromarray(np.ones((6, 7), dtype=np.uint8)).save(tmp_path / "m" / "2.png")
    lines = [
        "path,label,mask,cue_mask",
        "0.png,a,m/0.png,",
        "1.png,a,,m\\0.png",
        "2.png,b,m/2.png,",
        "3.png,b,m/3.png,",
    ]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return load_images(tmp_path / "list.csv")


def test_a_manifest_names_files_of_masks(manifest):
    assert manifest.table["mask"].tolist() == ["m/0.png", None, "m/2.png", "m/3.png"]
    assert np.array_equal(np.asarray(manifest.mask(0)) > 0, mask(slice(1, 4), slice(2, 6)))
    assert manifest.mask(1) is None
    assert np.array_equal(np.asarray(manifest.mask(1, cue=True)) > 0, mask(slice(1, 4), slice(2, 6)))
    with pytest.raises(UnreadableImageError, match=r"mask of 2\.png: it has 7 x 6 pixels and the image 8 x 6"):
        manifest.mask(2)


def test_the_audit_says_which_masks_cannot_be_used_and_goes_on(manifest):
    classifier = formula(lambda x: x.flatten(1)[:, :2], (6, 8), 1, ("a", "b"))
    recording = record(classifier, manifest, LocalEngine())
    assert recording.masked.tolist() == [0]
    assert recording.cue_masked.tolist() == [1]
    assert [(u.path, u.reason) for u in recording.unusable_masks] == [
        ("mask of 2.png", "it has 7 x 6 pixels and the image 8 x 6"),
        ("mask of 3.png", "there is no such file"),
    ]
    result = audit(classifier, manifest, checks=["performance.accuracy"])
    (note,) = (note for note in result.images.notes if "mask" in note)
    assert note == "2 masks cannot be used (the first, mask of 2.png: it has 7 x 6 pixels and the image 8 x 6)."
    assert result.status == "complete"
    one = audit(classifier, manifest.subset([0, 3]), checks=["performance.accuracy"])
    assert "1 mask cannot be used (mask of 3.png: there is no such file)." in one.images.notes


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        (mask(), "it marks no pixel of the model's input"),
        (mask(slice(None)), "it marks every pixel of the model's input"),
        (mask(slice(None), 0), "it marks no pixel of the model's input"),
    ],
)
def test_masks_that_tell_nothing_are_left_out(marked, reason):
    """The classifier sees the middle 4 x 4 pixels."""
    classifier = Classifier(Plain(channels=1), size=4, channels=1, resize=6)
    recording = record(classifier, ImageSet.from_arrays(arrays(1), masks=[marked]), LocalEngine())
    assert not len(recording.masked)
    assert recording.unusable_masks[0].reason == reason


@pytest.mark.parametrize("resize", [None, 12, (10, 14)])
@pytest.mark.parametrize("size", [(40, 60), (61, 33), (9, 9)])
def test_a_mask_is_cropped_and_scaled_as_its_image_is(resize, size):
    """An image that is white where its mask marks, and black elsewhere, is its own mask."""
    marked = np.random.default_rng(1).random(size) < 0.5
    classifier = Classifier(Plain(channels=1), size=(8, 10), channels=1, resize=resize)
    images = ImageSet.from_arrays((marked * np.uint8(255))[None], masks=[marked])
    subject = Subject(classifier, images, np.array([-1]))
    assert torch.equal(subject.masks([0]), subject.pixels([0])[:, 0] >= 0.5)
    assert 0.1 < subject.masks([0]).float().mean() < 0.9


def test_an_image_without_a_mask_has_none():
    subject = Subject(formula(lambda x: x.flatten(1)[:, :2], (6, 8)), ImageSet.from_arrays(arrays(1)), np.array([-1]))
    with pytest.raises(ImagesError, match="no mask of image 0"):
        subject.masks([0])
