"""Images in a bucket of S3: a server on this machine, which sometimes fails, gives what the same files here give."""

from __future__ import annotations

import io
import pickle
import tarfile
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.networks import Plain

from deeptroubles import Classifier, audit, load_images
from deeptroubles.errors import ImagesError
from deeptroubles.images import patience

s3fs = pytest.importorskip("s3fs", reason="s3fs is what fsspec needs for S3")
moto_server = pytest.importorskip("moto.server", reason="moto is the server on this machine")
from werkzeug.serving import make_server  # noqa: E402 (after the skip)

LABELS = ["cat", "ä dog"]
COUNT = 6


def png(i):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class Unreliable:
    """The server, and what it does to reads of images: it fails every so many times, or always."""

    def __init__(self, app):
        self._app, self._lock = app, threading.Lock()
        self.every, self.reads, self.failed = 0, 0, 0

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"} and self.every:
            with self._lock:
                self.reads += 1
                fails = self.reads % self.every == 0
                self.failed += fails
            if fails:
                start_response("503 Service Unavailable", [("Content-Length", "0")])
                return [b""]
        return self._app(environ, start_response)


@pytest.fixture(scope="module")
def server():
    app = Unreliable(moto_server.DomainDispatcherApplication(moto_server.create_backend_app))
    with pytest.MonkeyPatch.context() as patch:
        running = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{running.port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3fs.S3FileSystem.clear_instance_cache()
        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        fill(files)
        yield app
        running.shutdown()
        s3fs.S3FileSystem.clear_instance_cache()


def fill(files):
    """The same images as class folders, under a manifest, in tar shards and in Parquet files."""
    for i in range(COUNT):
        files.pipe_file(f"bucket/photos/{LABELS[i % 2]}/{i}.png", png(i))
    lines = [f"photos/{LABELS[i % 2]}/{i}.png,{LABELS[i % 2]},{i},{'m.png' if i == 1 else ''}" for i in range(COUNT)]
    text = "\n".join(["path,label,hour,mask", *lines, "photos/cat/gone.png,cat,9,"])
    files.pipe_file("bucket/list.csv", text.encode())
    files.pipe_file("bucket/m.png", png(1))
    for part in range(2):
        rows = range(part, COUNT, 2)
        shard = io.BytesIO()
        with tarfile.open(fileobj=shard, mode="w") as archive:
            for i in rows:
                for name, content in ((f"{i}.png", png(i)), (f"{i}.cls", LABELS[i % 2].encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        files.pipe_file(f"bucket/shards/{part}.tar", shard.getvalue())
        table = io.BytesIO()
        pd.DataFrame([{"image": {"bytes": png(i)}, "label": LABELS[i % 2]} for i in rows]).to_parquet(table)
        files.pipe_file(f"bucket/table/{part}.parquet", table.getvalue())


@pytest.fixture(autouse=True)
def reliable(server, monkeypatch):
    server.every = server.reads = server.failed = 0
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0, 0.0))
    yield
    server.every = 0


SOURCES = {"photos": [0, 2, 4, 1, 3, 5], "shards/*.tar": [0, 2, 4, 1, 3, 5], "table": [0, 2, 4, 1, 3, 5]}


def are_those(images, numbers):
    assert images.labels == [LABELS[i % 2] for i in numbers]
    for row, i in enumerate(numbers):
        assert np.array_equal(np.asarray(images[row]), np.asarray(Image.open(io.BytesIO(png(i)))))


@pytest.mark.parametrize("where", SOURCES)
def test_a_bucket_is_read(where):
    images = load_images(f"s3://bucket/{where}")
    are_those(images, SOURCES[where])
    are_those(pickle.loads(pickle.dumps(images)), SOURCES[where])  # noqa: S301 (as it travels to workers)


def test_a_manifest_in_a_bucket_is_read():
    images = load_images("s3://bucket/list.csv")
    are_those(images.subset(range(COUNT)), range(COUNT))
    assert images.table["hour"].tolist() == [*range(COUNT), 9]
    assert images.mask(0) is None
    assert images.mask(1).size == images[1].size


def test_an_audit_of_a_bucket_is_that_of_the_files(tmp_path):
    for i in range(COUNT):
        folder = tmp_path / "photos" / LABELS[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(i))
    here, there = load_images(tmp_path / "photos"), load_images("s3://bucket/photos")
    assert here.fingerprint() == there.fingerprint()
    classifier = Classifier(Plain(classes=2).eval(), size=8, class_names=LABELS)
    checks = ["performance.accuracy", "data.balance"]
    found = [audit(classifier, images, tmp_path / "run", checks=checks) for images in (here, there)]
    assert found[0].findings == found[1].findings
    listed = audit(classifier, load_images("s3://bucket/list.csv"), checks=checks).images
    assert [(each.path, each.reason) for each in listed.unreadable] == [
        ("photos/cat/gone.png", "there is no such file")
    ]


@pytest.mark.parametrize("where", SOURCES)
def test_a_server_that_fails_now_and_then_is_asked_again(server, where):
    server.every = 3
    s3fs.S3FileSystem.clear_instance_cache()
    are_those(load_images(f"s3://bucket/{where}"), SOURCES[where])
    assert server.failed


@pytest.mark.parametrize("where", SOURCES)
def test_a_server_that_is_gone_is_told_in_a_sentence(server, where):
    images = load_images(f"s3://bucket/{where}")
    server.every = 1
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ImagesError, match="could not be read in 4 attempts"):
        images[0]
    with pytest.raises(ImagesError, match="could not be read in 4 attempts"):
        load_images(f"s3://bucket/{where}")


def test_what_is_not_in_the_bucket():
    for address in ("s3://bucket/nothing", "s3://nosuch/x", "s3://bucket/nothing.csv", "s3://bucket/nothing.tar"):
        with pytest.raises(ImagesError, match=r"no images|no manifest|cannot be (listed|read)"):
            load_images(address)
