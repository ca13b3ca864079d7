"""Folders of images, single files, and what to say about anything else."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images import load_images


def put(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 3), shade, np.uint8)).save(path)


def test_class_folders(tmp_path):
    for name in ("dog/b.png", "cat/sub/deep/c.JPG", "cat/a b é.png"):
        put(tmp_path / name)
    for name in (
        ".DS_Store",
        "cat/Thumbs.db",
        "cat/notes.txt",
        "cat/a.json",
        "cat/._a.png",
        ".git/x.png",
        "empty.png/",
    ):
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
    images = load_images(str(tmp_path))
    assert images.name == tmp_path.name
    assert images.table["path"].tolist() == ["cat/a b é.png", "cat/sub/deep/c.JPG", "dog/b.png"]
    assert images.labels == ["cat", "cat", "dog"]
    assert [picture.size for picture in images] == [(3, 2)] * 3
    assert images.notes == ("Files that are not images were left out: 1 .db, 1 .json, 1 .txt.",)


def test_a_flat_folder_has_no_labels(tmp_path):
    put(tmp_path / "b.png")
    put(tmp_path / "a.png")
    images = load_images(tmp_path)
    assert images.table["path"].tolist() == ["a.png", "b.png"]
    assert images.labels == [None, None]


def test_images_beside_class_folders_are_noted(tmp_path):
    put(tmp_path / "cat/a.png")
    put(tmp_path / "stray.png")
    images = load_images(tmp_path)
    assert images.labels == ["cat", None]
    assert images.notes == ("1 images lie beside the class folders and have no label.",)


def test_a_text_that_is_called_jpg_is_unreadable_when_it_is_asked_for(tmp_path):
    (tmp_path / "a.jpg").write_text("hello")
    images = load_images(tmp_path)
    with pytest.raises(UnreadableImageError, match=r"^a\.jpg: it is not an image"):
        images[0]


def test_a_folder_of_splits_is_not_a_folder_of_classes(tmp_path):
    put(tmp_path / "train/cat/a.png")
    put(tmp_path / "val/cat/b.png")
    with pytest.raises(ImagesError, match=r"splits \(train, val\).*such as .*val"):
        load_images(tmp_path)
    assert load_images(tmp_path / "val").labels == ["cat"]


@pytest.mark.parametrize("names", [("train", "dev"), ("Test_set", "val2017"), ("held-out", "training"), ("eval",)])
def test_splits_are_no_classes(tmp_path, names):
    for name in names:
        put(tmp_path / name / "a.png")
    images = load_images(tmp_path)
    assert set(images.labels) == {None}
    assert sorted(images.table["split"]) == sorted(names)
    assert "taken for splits" in images.notes[0]
    put(tmp_path / names[0] / "cat" / "b.png")
    with pytest.raises(ImagesError, match="holds splits"):
        load_images(tmp_path)


def test_a_class_may_be_called_as_a_split_among_others(tmp_path):
    for name in ("train", "ship", "test pattern"):
        put(tmp_path / name / "a.png")
    assert sorted(load_images(tmp_path).labels) == ["ship", "test pattern", "train"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_links_are_followed_and_loops_are_not(tmp_path):
    put(tmp_path / "store" / "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "loop").symlink_to(tmp_path)
    (tmp_path / "set" / "self").symlink_to(tmp_path / "set")
    assert load_images(tmp_path / "set").table["path"].tolist() == ["cat/a.png"]


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    put(tmp_path / "cat/a.png")
    listing = os.scandir

    def refuse(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImagesError, match="cat cannot be listed"):
        load_images(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ImagesError, match="no images"):
        load_images(tmp_path)
    (tmp_path / "a.npy").write_bytes(b"x")
    with pytest.raises(ImagesError, match=r"but 1 \.npy"):
        load_images(tmp_path)


def test_one_file(tmp_path):
    put(tmp_path / "a.png", 9)
    images = load_images(tmp_path / "a.png")
    assert len(images) == 1
    assert images[0].getpixel((0, 0)) == 9


def test_what_does_not_exist_and_what_is_no_image(tmp_path):
    put(tmp_path / "photos/a.png")
    with pytest.raises(ImagesError, match=r"nothing at .*photo\. Did you mean .*photos.*Give a folder"):
        load_images(tmp_path / "photo")
    with pytest.raises(ImagesError, match="Did you mean demo"):
        load_images("dmeo")
    with pytest.raises(ImagesError, match="nothing at"):
        load_images(tmp_path / "no" / "such" / "place")
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(ImagesError, match="not a kind of file"):
        load_images(tmp_path / "a.docx")
