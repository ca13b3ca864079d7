"""Tar shards and Parquet files of images, here and elsewhere: the same images, labels and facts as in a folder."""

from __future__ import annotations

import io
import json
import pickle
import tarfile

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.networks import Plain

from deeptroubles import Classifier, audit, load_images
from deeptroubles.errors import ImagesError

LABELS = ["cat", "ä dog"]


def encoded(i):
    pixels = np.random.default_rng(i).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def is_as_encoded(images, numbers):
    for row, i in enumerate(numbers):
        assert np.array_equal(np.asarray(images[row]), np.asarray(Image.open(io.BytesIO(encoded(i)))))


@pytest.fixture
def shards(tmp_path):
    """Two shards of three samples, with a class, a JSON and a text each."""
    (tmp_path / "shards").mkdir()
    for shard in range(2):
        members = []
        for i in range(3 * shard, 3 * shard + 3):
            facts = {"camera": f"c{i % 2}", "size": [1, 2], "hour": i}
            members += [
                (f"{i:06}.cls", LABELS[i % 2].encode()),
                (f"{i:06}.png", encoded(i)),
                (f"{i:06}.json", json.dumps(facts).encode()),
                (f"{i:06}.txt", f"a text {i}".encode()),
            ]
        tar(tmp_path / "shards" / f"part-{shard:03}.tar", members)
    return tmp_path / "shards"


@pytest.mark.parametrize("how", ["folder", "pattern", "address"])
def test_shards_are_read(shards, how):
    source = {"folder": shards, "pattern": f"{shards}/part-*.tar", "address": f"file://{shards}/part-*.tar"}[how]
    images = load_images(source)
    assert images.labels == [LABELS[i % 2] for i in range(6)]
    assert images.table["camera"].tolist() == [f"c{i % 2}" for i in range(6)]
    assert images.table["text"].tolist() == [f"a text {i}" for i in range(6)]
    assert "size" not in images.table
    is_as_encoded(images, range(6))
    is_as_encoded(pickle.loads(pickle.dumps(images.fetch)) and images, range(6))  # noqa: S301 (our own)


def test_folders_in_an_archive_are_classes(tmp_path):
    tar(tmp_path / "a.tar", [("./cat/1.png", encoded(1)), ("./ä dog/x.y.png", encoded(2)), ("notes.md", b"x")])
    images = load_images(tmp_path / "a.tar")
    assert images.labels == LABELS
    is_as_encoded(images, [1, 2])


def test_what_is_no_shard_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(ImagesError, match="cannot be read as a tar file"):
        load_images(tmp_path / "a.tar")
    tar(tmp_path / "a.tar", [("notes.md", b"x")])
    with pytest.raises(ImagesError, match="holds no images"):
        load_images(tmp_path / "a.tar")


@pytest.mark.parametrize("nested", [True, False])
def test_parquet_files_of_images_are_read(tmp_path, nested):
    values = [{"bytes": encoded(i), "path": f"{i}.png"} if nested else encoded(i) for i in range(7)]
    table = pa.table({"image": values, "label": [i % 2 for i in range(7)], "camera": list("abababa")})
    names = {"info": {"features": {"label": {"names": LABELS, "_type": "ClassLabel"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(table, tmp_path / "train-0.parquet", row_group_size=3)
    for source in (tmp_path / "train-0.parquet", f"file://{tmp_path}/*.parquet"):
        images = load_images(source)
        assert images.labels == [LABELS[i % 2] for i in range(7)]
        assert images.table["camera"].tolist() == list("abababa")
        is_as_encoded(images.subset([6, 0, 3]), [6, 0, 3])


def test_a_parquet_manifest_is_still_one(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(3))
    pd.DataFrame({"path": ["x.png"], "label": ["cat"]}).to_parquet(tmp_path / "m.parquet")
    is_as_encoded(load_images(tmp_path / "m.parquet"), [3])


@pytest.fixture
def bucket():
    files = fsspec.filesystem("memory")
    for i in range(6):
        files.pipe_file(f"/bucket/photos/{LABELS[i % 2]}/{i}.png", encoded(i))
    files.pipe_file("/bucket/list.csv", b"path,label,hour\nphotos/cat/0.png,cat,3\nphotos/cat/gone.png,cat,4\n")
    yield files
    files.rm("/bucket", recursive=True)


def test_folders_and_manifests_elsewhere_are_read(bucket):
    images = load_images("memory://bucket/photos")
    assert images.labels == [LABELS[k] for k in (0, 0, 0, 1, 1, 1)]
    is_as_encoded(images, [0, 2, 4, 1, 3, 5])
    listed = load_images("memory://bucket/list.csv")
    assert listed.table["hour"].tolist() == [3, 4]
    is_as_encoded(listed, [0])
    with pytest.raises(ImagesError, match="no images"):
        load_images("memory://bucket/nothing")
    with pytest.raises(ImagesError, match="unknown"):
        load_images("nosuch://bucket/x")


def test_an_audit_of_shards_counts_what_cannot_be_read(bucket):
    classifier = Classifier(Plain(classes=2), size=8, class_names=LABELS)
    found = audit(classifier, load_images("memory://bucket/list.csv"), checks=["data.balance"])
    assert found.images.count == 2
    assert [each.path for each in found.images.unreadable] == ["photos/cat/gone.png"]
