"""IDX files: what is written is read, and what is damaged is told."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeptroubles.errors import ImagesError
from deeptroubles.images import load_images
from deeptroubles.images.idx import read_idx

PAIRS = [
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
    ("emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters-test-labels-idx1-ubyte.gz"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"),
]


def idx(array):
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(path, array):
    data = idx(array)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_pair(folder, images_name, labels_name, count=3, channels=()):
    images = np.random.default_rng(count).integers(0, 256, (count, 4, 5, *channels), dtype=np.uint8)
    write(folder / images_name, images)
    write(folder / labels_name, np.arange(count) % 10)
    return images


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)), st.booleans())
def test_what_is_written_is_read(tmp_path, array, packed):
    path = tmp_path / ("x.gz" if packed else "x")
    write(path, array)
    assert np.array_equal(read_idx(path), array)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=40))
def test_anything_else_is_one_sentence(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    try:
        read_idx(path)
    except ImagesError as error:
        assert "\n" not in str(error)  # noqa: PT017 (what is read without complaint is fine too)


@pytest.mark.parametrize(("images_name", "labels_name"), PAIRS)
def test_labels_are_found_beside_the_images(tmp_path, images_name, labels_name):
    arrays = write_pair(tmp_path, images_name, labels_name)
    for source in (tmp_path / images_name, tmp_path):
        images = load_images(source)
        assert images.labels == ["0", "1", "2"]
        assert all(np.array_equal(np.asarray(picture), array) for picture, array in zip(images, arrays, strict=True))


def test_color_images(tmp_path):
    arrays = write_pair(tmp_path, "train-images-idx4-ubyte", "train-labels-idx1-ubyte", channels=(3,))
    assert np.array_equal(np.asarray(load_images(tmp_path)[1]), arrays[1])


def test_images_without_labels(tmp_path):
    write(tmp_path / "t10k-images-idx3-ubyte", np.zeros((2, 3, 3)))
    images = load_images(tmp_path)
    assert images.labels == [None, None]
    assert "No labels" in images.notes[0]


def test_of_train_and_test_the_test_images_are_taken(tmp_path):
    write_pair(tmp_path, *PAIRS[0], count=5)
    write_pair(tmp_path, *PAIRS[1], count=2)
    write(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((9, 1, 1)))  # packed, beside the unpacked one
    images = load_images(tmp_path)
    assert len(images) == 2
    assert "t10k was used" in images.notes[0]


def test_of_several_sets_one_must_be_named(tmp_path):
    write_pair(tmp_path, "emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte")
    write_pair(tmp_path, "emnist-digits-train-images-idx3-ubyte", "emnist-digits-train-labels-idx1-ubyte")
    with pytest.raises(ImagesError, match=r"several sets .*emnist-digits-train-images-idx3-ubyte, emnist-letters"):
        load_images(tmp_path)


def test_the_labels_are_not_the_images(tmp_path):
    write_pair(tmp_path, *PAIRS[0])
    with pytest.raises(ImagesError, match="give the images file"):
        load_images(tmp_path / PAIRS[0][1])


def test_other_counts_of_labels(tmp_path):
    write_pair(tmp_path, *PAIRS[0])
    write(tmp_path / PAIRS[0][1], np.zeros(7))
    with pytest.raises(ImagesError, match="7 labels for 3 images"):
        load_images(tmp_path)


GOOD = idx(np.zeros((2, 3, 4)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (GOOD[:-1], "says 2 x 3 x 4 bytes of data, and there are 23"),
        (GOOD + b"x", "there are 25"),
        (GOOD[:10], "cut short"),
        (b"", "not an IDX file"),
        (b"\x89PNG....", "not an IDX file"),
        (b"\0\0\x0d" + GOOD[3:], "type 0x0d"),
        (gzip.compress(GOOD, mtime=0)[:-12], "cannot be read"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (idx(np.zeros(5)), "has 1 dimensions"),
        (idx(np.zeros((0, 2, 2))), "no images"),
        (idx(np.zeros((1, 2, 2, 2))), "2 x 2 x 2"),
    ],
)
def test_damaged_files(tmp_path, data, says):
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(ImagesError, match=says):
        load_images(path)
