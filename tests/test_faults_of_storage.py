"""Disks that are full or read-only, files that are damaged or hang, other versions: what an audit does then."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deeptroubles import Classifier, ImageSet, analyze_units, audit, load_images, read_audit
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import DeeptroublesError, ImagesError, RunFolderError
from deeptroubles.images import patience
from deeptroubles.recording import record
from deeptroubles.run.pixels import PixelFolder
from deeptroubles.run.tables import read_table
from deeptroubles.run.unit_store import UnitStore
from tests.networks import Plain
from tests.served import opened
from tests.test_faults import alike

CHECKS = ["performance.accuracy", "data.balance", "stability.rotation"]
LABELS = ["cat", "dog"]


def png(i: int, size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def small() -> Classifier:
    return Classifier(Plain(classes=2).eval(), size=8, class_names=LABELS)


def audited(folder, **more):
    what = opened(24)
    return audit(what.classifier, what.images, folder, checks=CHECKS, budget=None, **more)


@pytest.fixture(scope="module")
def undisturbed():
    return alike(audited(None))


# --- disks


@pytest.fixture
def disk(tmp_path):
    """Mounts a real file system of so many KiB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options: str):
        command = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
        if sys.platform != "linux" or os.geteuid() or subprocess.run(command, check=False).returncode:
            pytest.skip("a file system can be mounted by root on Linux only")
        return place

    yield mounted
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", [4, 40, 120, 300])
def test_an_audit_on_a_full_disk_goes_on_when_there_is_room(disk, size, undisturbed):
    """Full at the first file, in the pixels, between two chunks, or in the report."""
    place = disk(f"size={size}k")
    with suppress(RunFolderError):
        audited(place / "run")
        assert (place / "run" / "report.html").exists()
    left = [path for path in place.rglob("*") if path.is_file() and path.name.startswith(".")]
    assert not left
    subprocess.run(["mount", "-o", "remount,size=20m", str(place)], check=True)
    assert alike(audited(place / "run")) == undisturbed


def limited(folder, most):
    """An audit that may write no file larger than so many bytes, as a disk quota forbids it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        audited(folder)
    except RunFolderError as error:
        (folder.parent / "said.txt").write_text(str(error))


def test_a_file_that_grows_too_large_is_one_sentence_and_the_audit_goes_on_later(tmp_path, undisturbed):
    process = multiprocessing.get_context("forkserver").Process(target=limited, args=(tmp_path / "run", 20_000))
    process.start()
    process.join(120)
    assert "cannot be written" in (tmp_path / "said.txt").read_text()
    assert alike(audited(tmp_path / "run")) == undisturbed


def test_a_run_on_a_read_only_disk_is_read_and_not_written(disk, undisturbed):
    place = disk("size=20m")
    audited(place / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    assert alike(read_audit(place / "run")) == undisturbed
    with pytest.raises(RunFolderError, match=r"cannot be (locked|written)"):
        audited(place / "run")


def test_images_on_a_read_only_disk_are_audited(disk, tmp_path):
    place = disk("size=1m")
    for i in range(6):
        folder = place / LABELS[i % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(i))
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    found = audit(small(), load_images(place), tmp_path / "run", checks=["data.balance"])
    assert found.images.count == 6
    assert not found.images.unreadable


# --- two at once


def test_two_units_runs_in_one_folder_lose_nothing(tmp_path):
    """Each lists what it made in the same catalogue."""
    stores = [UnitStore(tmp_path, "subject") for _ in range(2)]

    def keep(store, layer):
        for i in range(20):
            store.keep(layer, "statistics", {"i": i}, pd.DataFrame({"unit": [i]}))

    both = [threading.Thread(target=keep, args=(s, layer)) for s, layer in zip(stores, ["a", "b"], strict=True)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(stores[0].entries()) == 40


def test_an_audit_and_its_units_in_one_folder(tmp_path, undisturbed):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["deeptroubles.workflows.audit", "tests.served"])
    beside = processes.Process(target=audited, args=(tmp_path / "run",))
    beside.start()
    what = opened(24)
    analyze_units(what.classifier, what.images, tmp_path / "run", ["6"])
    beside.join(120)
    assert beside.exitcode == 0
    assert alike(read_audit(tmp_path / "run")) == undisturbed
    assert UnitStore(tmp_path / "run").entries()


# --- other versions


def test_an_audit_of_the_first_version_is_read(tmp_path):
    """What the first version wrote: fields that are gone since, and none of those that came."""
    found = {"check": "a.b", "verdict": "warn", "claim": "c", "criterion": "d"}
    estimate = {"kind": "estimate", "label": "e", "value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    model = dict.fromkeys(["name", "source", "fingerprint", "input", "preprocessing", "graph"], "x")
    guide = dict.fromkeys(["question", "asks", "matters", "reading", "limits", "references"], "x")
    document = {
        "schema_version": 1,
        "status": "complete",
        "created": "2024-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "command": "c",
        "seed": 0,
        "environment": {},
        "model": model | {"classes": 2, "parameters": 3},
        "images": {"name": "i", "fingerprint": "g", "count": 4, "labelled": 2, "classes": 2},
        "findings": [found | {"evidence": [estimate]}],
        "guides": {"a.b": guide},
    }
    (tmp_path / "audit.json").write_text(json.dumps(document))
    read = read_audit(tmp_path)
    assert read.findings[0].evidence[0].value == 0.5
    assert read.summary


def test_an_audit_of_a_newer_version_is_refused_and_replaced_by_the_same_audit(tmp_path, undisturbed):
    audited(tmp_path / "run")
    file = tmp_path / "run" / "audit.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    with pytest.raises(RunFolderError, match=r"of format 99.*reads up to 1; update deeptroubles"):
        read_audit(tmp_path / "run")
    assert alike(audited(tmp_path / "run")) == undisturbed


# --- damaged files


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_table_with_changed_bytes_is_read_or_refused(data, tmp_path):
    file = tmp_path / "x.parquet"
    pd.DataFrame({"path": ["a", "b"] * 50, "correct": [True, None] * 50}).to_parquet(file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(RunFolderError):
        read_table(file, "try again", ["path"])


def shard(path, damaged=()):
    """A Parquet file of 6 images in 3 row groups, some of them damaged."""
    rows = [{"image": png(i), "label": LABELS[i % 2]} for i in range(6)]
    pd.DataFrame(rows).to_parquet(path, row_group_size=2, compression="gzip")
    import pyarrow.parquet as pq

    content = bytearray(path.read_bytes())
    for group in damaged:
        column = pq.ParquetFile(path).metadata.row_group(group).column(0)
        start = column.dictionary_page_offset or column.data_page_offset
        content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    return path


def test_a_damaged_part_of_a_parquet_file_is_listed_and_the_rest_audited(tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "PAUSES", (0.0,))
    images = load_images(shard(tmp_path / "x.parquet", damaged=[1]))
    found = audit(small(), images, tmp_path / "run", checks=["data.balance"])
    assert [each.path for each in found.images.unreadable] == ["x.parquet/1/0", "x.parquet/1/1"]
    assert all("its part of the file is damaged" in each.reason for each in found.images.unreadable)
    again = audit(small(), images, tmp_path / "run", checks=["data.balance"])
    assert alike(again) == alike(found)


def test_damaged_pixels_of_a_killed_audit_are_decoded_again(tmp_path):
    what = opened(24)
    pixels = PixelFolder(tmp_path / "pixels", 10**9)
    before = record(what.classifier, what.images, LocalEngine(), pixels=pixels).logits
    (file,) = (tmp_path / "pixels").iterdir()
    content = bytearray(file.read_bytes())
    content[100:5000:7] = b"\x55" * len(range(100, 5000, 7))
    file.write_bytes(content[:-50])
    subject = record(what.classifier, what.images, LocalEngine(), pixels=pixels)
    assert np.array_equal(subject.logits, before)


# --- reads that fail for a moment, or hang


@pytest.fixture
def hanging(tmp_path):
    """A manifest of four images, the third a pipe into which nobody writes."""
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    (tmp_path / "2.png").unlink()
    os.mkfifo(tmp_path / "2.png")
    pd.DataFrame({"path": [f"{i}.png" for i in range(4)], "label": [*"abab"]}).to_csv(tmp_path / "m.csv", index=False)
    return tmp_path / "m.csv"


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_that_hangs_is_given_up_and_listed(hanging, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(patience, "LIMIT", 0.4)
    monkeypatch.setattr("deeptroubles.preparing.torch.get_num_threads", lambda: threads)
    found = audit(small(), load_images(hanging), tmp_path / "run", checks=["data.balance"])
    ((path, reason),) = [(each.path, each.reason) for each in found.images.unreadable]
    assert (path, reason.startswith("reading it took more than")) == ("2.png", True)


def test_a_process_ends_though_an_image_hangs(hanging):
    code = (
        "from deeptroubles.images import patience\n"
        "patience.LIMIT = 0.3\n"
        "from deeptroubles import load_images\n"
        f"print(load_images({str(hanging)!r}).fingerprint())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.strip()) == 32


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_row_gets_its_result_in_order(threads, monkeypatch):
    monkeypatch.setattr(patience, "LIMIT", 0.3)
    forever = threading.Event()

    def do(row):
        if row in {3, 4, 17}:
            forever.wait(20)
        return 2 * row

    found = patience.do_each(do, range(40), lambda row: -row, threads=threads)
    assert found == [-row if row in {3, 4, 17} else 2 * row for row in range(40)]
    forever.set()
    assert patience.do_each(do, [], lambda row: row) == []


def test_what_a_row_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        patience.do_each(lambda row: 1 // row, range(3), lambda row: row, threads=2)


def test_a_read_that_fails_for_a_moment_is_tried_again(monkeypatch):
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    attempts = []

    def read(failures, error):
        attempts.append(1)
        if len(attempts) <= failures:
            raise error
        return b"x"

    assert patience.patiently(lambda: read(2, OSError("reset by peer")), "s3://b/x") == b"x"
    attempts.clear()
    with pytest.raises(ImagesError, match=r"s3://b/x could not be read in 3 attempts \(reset by peer\); run the same"):
        patience.patiently(lambda: read(9, OSError("reset by peer")), "s3://b/x")
    attempts.clear()
    with pytest.raises(FileNotFoundError):
        patience.patiently(lambda: read(9, FileNotFoundError()), "s3://b/x")
    assert len(attempts) == 1


def test_an_audit_whose_images_are_out_of_reach_stops_and_goes_on_later(tmp_path, monkeypatch):
    """What could not be reached must not be kept as unreadable."""
    monkeypatch.setattr(patience, "PAUSES", ())
    down = threading.Event()

    def fetch(i):
        if down.is_set() and i >= 3:
            return patience.patiently(refused, f"image {i}")
        return png(i)

    def refused():
        raise ConnectionError("refused")

    listed = ImageSet.from_arrays([np.zeros((8, 8), np.uint8)] * 6, ["cat", "dog"] * 3)
    images = ImageSet("elsewhere", listed.table, fetch)
    images.fingerprint()
    down.set()
    with pytest.raises(DeeptroublesError, match="could not be read"):
        audit(small(), images, tmp_path / "run", checks=["data.balance"])
    down.clear()
    assert not audit(small(), images, tmp_path / "run", checks=["data.balance"]).images.unreadable
