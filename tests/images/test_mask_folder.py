from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.networks import formula

from deeptroubles import load_images
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ImagesError
from deeptroubles.recording import record

MARKED = np.zeros((6, 8), dtype=np.uint8)
MARKED[1:4, 2:6] = 3


def write(file, pixels, **more):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **more)


@pytest.fixture
def photos(tmp_path):
    """Five images in class folders; the names of two hold dots."""
    for name in ("a/0.png", "a/1.jpg", "b/2.0.png", "b/1.2.840", "b/4.png"):
        write(tmp_path / "photos" / name, np.full((6, 8), 100, dtype=np.uint8), format="png")
    return tmp_path / "photos"


def test_masks_mirror_the_images_with_any_suffix(photos, tmp_path):
    colors = Image.fromarray(MARKED, "P")
    colors.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9, 0, 0, 128])  # 3 is dark blue
    masks = tmp_path / "masks"
    write(masks / "a" / "0.tif", MARKED)
    colors.save(masks / "a" / "1.png")
    write(masks / "b" / "2.0.JPG", np.where(MARKED, 250, 4).astype(np.uint8).repeat(1, 0))
    write(masks / "b" / "1.2.840.png", 80 * MARKED)
    images = load_images(photos, masks=masks)
    rows = {path: i for i, path in enumerate(images.table["path"])}
    for name in ("a/0.png", "a/1.jpg", "b/2.0.png", "b/1.2.840"):
        assert np.array_equal(np.asarray(images.mask(rows[name])), np.where(MARKED, 255, 0)), name
    assert images.mask(rows["b/4.png"]) is None
    assert images.notes[-1] == "1 of 5 images have no mask in masks."
    assert images.fingerprint() != load_images(photos).fingerprint()


def test_masks_that_cannot_be_used_are_told_by_name(photos, tmp_path):
    masks = tmp_path / "masks"
    write(masks / "a" / "0.png", MARKED)
    write(masks / "a" / "1.png", MARKED[:, :7])
    write(masks / "b" / "2.0.png", 0 * MARKED)
    (masks / "b" / "4.png").write_bytes(b"no picture")
    images = load_images(photos, masks=masks)
    recording = record(formula(lambda x: x.flatten(1)[:, :2], (6, 8), 1, ("a", "b")), images, LocalEngine())
    usable = [images.table["path"].iloc[row] for row in recording.masked]
    assert usable == ["a/0.png"]
    assert {unusable.path: unusable.reason for unusable in recording.unusable_masks} == {
        "mask of a/1.jpg": "it has 7 x 6 pixels and the image 8 x 6",
        "mask of b/2.0.png": "it marks no pixel of the model's input",
        "mask of b/4.png": "it is not an image in a known format",
    }


def test_a_folder_of_masks_takes_the_place_of_a_column(tmp_path):
    write(tmp_path / "0.png", np.full((6, 8), 100, dtype=np.uint8))
    write(tmp_path / "whole.png", np.full((6, 8), 255, dtype=np.uint8))
    write(tmp_path / "masks" / "0.png", MARKED)
    (tmp_path / "list.csv").write_text("path,mask\n0.png,whole.png\n")
    images = load_images(tmp_path / "list.csv", masks=str(tmp_path / "masks"))
    assert np.array_equal(np.asarray(images.mask(0)) > 0, MARKED > 0)


def test_a_folder_that_does_not_fit_says_what_would(photos, tmp_path):
    with pytest.raises(ImagesError, match=r"no folder .*nowhere with masks"):
        load_images(photos, masks=tmp_path / "nowhere")
    write(tmp_path / "flat" / "0.png", MARKED)
    with pytest.raises(ImagesError, match=r"mask of a/0\.png would be a/0\.png \(or another kind of image\)"):
        load_images(photos, masks=tmp_path / "flat")
    write(tmp_path / "twice" / "a" / "0.png", MARKED)
    write(tmp_path / "twice" / "a" / "0.tif", MARKED)
    with pytest.raises(ImagesError, match=r"two masks of one image, a/0\.png and a/0\.tif"):
        load_images(photos, masks=tmp_path / "twice")
