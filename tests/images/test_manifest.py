"""Manifests as people write them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images import load_images


@pytest.fixture
def manifest(tmp_path):
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / name)

    def write(text, encoding="utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_paths_labels_and_further_columns(manifest):
    images = load_images(
        manifest("path,label,country,lat,mask\na.png,cat,NA,1.5,m/a.png\nsub\\b.png,None,DE,,m\\b.png\n")
    )
    assert images.name == "list.csv"
    assert images.table["path"].tolist() == ["a.png", "sub/b.png"]
    assert images.labels == ["cat", "None"]
    assert images.table["country"].tolist() == ["NA", "DE"]  # Namibia, not a missing value
    assert images.table["mask"].tolist() == ["m/a.png", "m/b.png"]
    assert images.table["lat"].iloc[0] == 1.5
    assert np.isnan(images.table["lat"].iloc[1])
    assert [picture.size for picture in images] == [(3, 2)] * 2


def test_labels_are_optional_and_may_be_missing(manifest):
    assert load_images(manifest("path\na.png\n")).labels == [None]
    assert load_images(manifest("path,label\na.png,\nsub/b.png,x\n")).labels == [None, "x"]
    assert load_images(manifest("path,mask\na.png,\nsub/b.png,x.png\n")).table["mask"].tolist() == [None, "x.png"]


def test_numbers_stay_as_they_are_written(manifest):
    assert load_images(manifest("path,label\na.png,3\nsub/b.png,\n")).labels == ["3", None]
    assert load_images(manifest("path,label\na.png,3.0\nsub/b.png,\n")).labels == ["3", None]
    assert load_images(manifest("path,label\na.png,007\nsub/b.png,1.0\n")).labels == ["007", "1.0"]


def test_parquet(manifest, tmp_path):
    manifest("")
    table = pd.DataFrame({"path": ["a.png", "sub/b.png"], "label": [3.0, None], "group": pd.Categorical(["x", "y"])})
    table.index = [5, 6]
    table.to_parquet(tmp_path / "list.parquet")
    images = load_images(tmp_path / "list.parquet")
    assert images.labels == ["3", None]
    assert images.table["group"].tolist() == ["x", "y"]
    assert images.table.index.tolist() == [0, 1]


def test_a_mark_of_utf8_spaces_and_trailing_commas(manifest):
    images = load_images(manifest("\ufeffpath, label\na.png,größe\n", "utf-8"))
    assert images.labels == ["größe"]
    assert load_images(manifest("path,label\na.png,cat,\n")).labels == ["cat"]


def test_full_paths(manifest, tmp_path):
    images = load_images(manifest(f"path\n{tmp_path}/sub/b.png\n/elsewhere/c.png\n"))
    assert images.table["path"].tolist() == ["sub/b.png", "/elsewhere/c.png"]
    assert images[0].size == (3, 2)


def test_a_missing_file_is_unreadable_when_it_is_asked_for(manifest):
    images = load_images(manifest("path\nnone.png\na.png\n"))
    assert len(images) == 2
    with pytest.raises(UnreadableImageError, match=r"^none\.png: there is no such file$"):
        images[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "paths,label\na.png,cat\n",
            r"no column 'path' \(it has: paths, label\); .*--path-column.* Did you mean paths\?",
        ),
        ("path,label\n", "lists no images"),
        ("", "cannot be read"),
        ('path\n"a.png\n', "cannot be read"),
        ("path,label\na.png,x\na.png,y\n", "lists a.png in row 1 and in row 2"),
        ("path,label\na.png,x\n,y\n", "Row 2 .* has no path"),
    ],
)
def test_manifests_that_cannot_be_used(manifest, text, says):
    with pytest.raises(ImagesError, match=says):
        load_images(manifest(text))


def test_manifests_that_are_not_text(manifest, tmp_path):
    with pytest.raises(ImagesError, match="UTF-8"):
        load_images(manifest("path,label\na.png,größe\n", "latin-1"))
    (tmp_path / "x.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(ImagesError, match="cannot be read"):
        load_images(tmp_path / "x.parquet")
