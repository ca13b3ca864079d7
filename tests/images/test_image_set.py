"""An image set is lazy, and its fingerprint changes with what decides the findings and nothing else."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deeptroubles.errors import ImagesError
from deeptroubles.images import ImageSet, load_images


@pytest.fixture
def arrays():
    return np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, arrays):
    for index, array in enumerate(arrays):
        path = tmp_path / "photos" / ("cat" if index % 2 else "dog") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return tmp_path / "photos"


def test_arrays_come_back_as_pictures(arrays):
    images = ImageSet.from_arrays(arrays, ["a", None, 3, np.nan], {"group": [1, 2, 3, 4]})
    assert len(images) == 4
    assert images.labels == ["a", None, "3", None]
    assert images.table["group"].tolist() == [1, 2, 3, 4]
    assert images.table["path"].is_unique
    assert all(np.array_equal(np.asarray(picture), array) for picture, array in zip(images, arrays, strict=True))
    with pytest.raises(IndexError):
        images[4]


def test_gray_floats_and_images_of_different_sizes():
    images = ImageSet.from_arrays([np.zeros((2, 3)), np.ones((4, 5, 3), np.float32), np.full((1, 1, 1), 7, np.uint8)])
    assert [(picture.mode, picture.size) for picture in images] == [("L", (3, 2)), ("RGB", (5, 4)), ("L", (1, 1))]
    assert [np.asarray(picture).max() for picture in images] == [0, 255, 7]


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((1, 2, 2), 2.0), "floats from 2 to 2"),
        (np.full((1, 2, 2), np.nan), "nan"),
        (np.full((1, 2, 2), -0.1), "[0, 1]"),
        (np.zeros((1, 2, 2), complex), "complex128"),
        (np.zeros((1, 2, 2), bool), "bool"),
        (np.zeros((1, 3, 8, 8), np.uint8), "3 x 8 x 8"),
        (np.zeros((1, 0, 8), np.uint8), "0 x 8"),
        (np.zeros((3,), np.uint8), "single number"),
        (np.zeros((0, 2, 2), np.uint8), "no images"),
    ],
)
def test_arrays_that_are_no_images(array, says):
    with pytest.raises(ImagesError) as caught:
        ImageSet.from_arrays(array)
    assert says in str(caught.value)


def test_lengths_and_names_of_columns_are_checked(arrays):
    with pytest.raises(ImagesError, match="4 images but 1 of 'label'"):
        ImageSet.from_arrays(arrays, ["a"])
    with pytest.raises(ImagesError, match="4 images but 2 of 'group'"):
        ImageSet.from_arrays(arrays, columns={"group": [1, 2]})
    with pytest.raises(ImagesError, match="cannot be called 'path'"):
        ImageSet.from_arrays(arrays, columns={"path": [1, 2, 3, 4]})


def test_a_column_is_taken_in_order_whatever_its_index(arrays):
    column = pd.Series([1, 2, 3, 4], index=[9, 8, 7, 6])
    assert ImageSet.from_arrays(arrays, columns={"group": column}).table["group"].tolist() == [1, 2, 3, 4]


@given(st.lists(st.integers(-5, 4), max_size=8))
def test_a_subset_holds_the_rows_asked_for(rows):
    images = ImageSet.from_arrays([np.full((1, 1), i, np.uint8) for i in range(5)], list("abcde"))
    subset = images.subset(rows)
    assert subset.labels == [images.labels[row] for row in rows]
    assert [picture.getpixel((0, 0)) for picture in subset] == [row % 5 for row in rows]
    assert subset.table.index.tolist() == list(range(len(rows)))
    again = subset.subset(list(range(len(rows)))[::-1])
    assert again.labels == subset.labels[::-1]


def test_a_subset_takes_booleans_and_refuses_rows_that_do_not_exist(arrays):
    images = ImageSet.from_arrays(arrays, list("abcd"))
    assert images.subset(np.array([True, False, False, True])).labels == ["a", "d"]
    assert images.subset(images.table["label"] == "b").labels == ["b"]
    with pytest.raises(IndexError):
        images.subset([4])


def test_nothing_is_opened_before_it_is_asked_for(folder, monkeypatch):
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or original(*a, **k))
    images = load_images(folder).subset([0, 2])
    assert images.labels == ["cat", "dog"]
    assert not opened
    assert images[1].size == (6, 5)
    assert len(opened) == 1


def test_the_fingerprint_survives_a_move(folder, tmp_path):
    before = load_images(folder).fingerprint()
    shutil.copytree(folder, tmp_path / "elsewhere" / "renamed")
    assert load_images(tmp_path / "elsewhere" / "renamed").fingerprint() == before
    assert load_images(folder).fingerprint() == before


def test_the_fingerprint_changes_with_a_byte_a_label_a_column_or_the_order(folder, arrays):
    images = load_images(folder)
    seen = {images.fingerprint(), images.subset([1, 0, 2, 3]).fingerprint(), images.subset([0, 1, 2]).fingerprint()}
    (folder / "cat").rename(folder / "lynx")
    seen.add(load_images(folder).fingerprint())
    path = folder / "lynx" / "1.png"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    seen.add(load_images(folder).fingerprint())
    path.unlink()
    seen.add(load_images(folder).fingerprint())
    changed = arrays.copy()
    changed[0, 0, 0, 0] ^= 1
    seen |= {ImageSet.from_arrays(a).fingerprint() for a in (arrays, changed, arrays.reshape(4, 6, 5, 3))}
    seen |= {ImageSet.from_arrays(arrays, columns={"group": list(g)}).fingerprint() for g in ("abcd", "abce")}
    assert len(seen) == 11


def test_a_missing_file_still_has_a_fingerprint(folder):
    images, again = load_images(folder), load_images(folder)
    before = images.fingerprint()
    (folder / "cat" / "1.png").unlink()
    assert images.fingerprint() == before  # files are read once
    assert again.fingerprint() != before


def test_image_sets_travel_to_other_processes(folder, arrays):
    for images in (load_images(folder).subset([1, 2]), ImageSet.from_arrays(arrays, name="x")):
        copy = pickle.loads(pickle.dumps(images))  # noqa: S301 (our own)
        assert copy.fingerprint() == images.fingerprint()
        assert repr(copy) == repr(images)
