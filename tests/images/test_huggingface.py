"""Datasets of the real `datasets` library, saved to disk; nothing is downloaded."""

from __future__ import annotations

import builtins
import io

import numpy as np
import pytest
from PIL import Image

from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images import load_images

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _quiet_and_offline(monkeypatch):
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def encoded(shade):
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def dataset(**further):
    features = {
        "img": datasets.Image(),
        "kind": datasets.ClassLabel(names=["cat", "dog"]),
        "site": datasets.Value("string"),
        "box": datasets.List(datasets.Value("int64")),
    }
    rows = {
        "img": [{"bytes": encoded(shade), "path": None} for shade in (1, 2)] + [None],
        "kind": [1, 0, -1],
        "site": ["x", None, "y"],
        "box": [[1], [2], [3]],
    }
    features |= {name: feature for name, (feature, _) in further.items()}
    rows |= {name: values for name, (_, values) in further.items()}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def test_columns_are_found_by_their_kind(tmp_path):
    dataset().save_to_disk(tmp_path / "pets")
    images = load_images(tmp_path / "pets")
    assert images.name == "pets"
    assert images.labels == ["dog", "cat", None]
    assert images.table.columns.tolist() == ["path", "label", "site"]
    assert images.table["site"].iloc[0] == "x"
    assert images[1].getpixel((0, 0)) == 2
    with pytest.raises(UnreadableImageError, match="empty"):
        images[2]
    assert images.subset([0]).fingerprint() != images.subset([1]).fingerprint()


def test_images_that_stayed_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(5))
    table = datasets.Dataset.from_dict({"image": [str(path)], "label": [7]})
    table = table.cast_column("image", datasets.Image())
    table.save_to_disk(tmp_path / "set")
    images = load_images(tmp_path / "set")
    assert images.labels == ["7"]
    assert images[0].getpixel((0, 0)) == 5


def test_of_several_splits_the_test_is_taken(tmp_path):
    parts = {"train": dataset(), "test": dataset().select([1])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "pets")
    images = load_images(tmp_path / "pets")
    assert images.labels == ["cat"]
    assert images.notes == ("pets has the splits train, test; test was used.",)
    assert load_images(tmp_path / "pets" / "train").labels == ["dog", "cat", None]


def test_further_classes_and_columns_with_our_names(tmp_path):
    further = {
        "coarse": (datasets.ClassLabel(names=["animal"]), [0, 0, 0]),
        "path": (datasets.Value("string"), ["p", "q", "r"]),
    }
    dataset(**further).save_to_disk(tmp_path / "pets")
    images = load_images(tmp_path / "pets")
    assert images.table["coarse"].tolist() == ["animal"] * 3
    assert images.table["path"].tolist() == ["image 0", "image 1", "image 2"]
    assert "img was used for the images and kind for the labels" in images.notes[0]


def test_a_dataset_without_images(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "set")
    with pytest.raises(ImagesError, match=r"no column of images \(it has: text\)"):
        load_images(tmp_path / "set")


def test_a_dataset_that_cannot_be_loaded(monkeypatch):
    def fail(name, split):
        raise ConnectionError(f"Couldn't reach {name} {split}")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ImagesError, match=r"owner/pets cannot be loaded .*reach owner/pets test"):
        load_images("hf:owner/pets:test")


def test_a_dataset_by_name(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda _, split: dataset() if split else {"train": dataset()})
    assert load_images("hf:pets").name == "pets"
    assert load_images("hf:pets:train").name == "pets:train"


def test_without_the_package(tmp_path, monkeypatch):
    original = builtins.__import__

    def missing(name, *rest, **options):
        if name == "datasets":
            raise ImportError(name)
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImagesError, match=r'pip install "deeptroubles\[huggingface\]"'):
        load_images("hf:pets")
