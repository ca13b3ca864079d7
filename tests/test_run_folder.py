"""What a run folder keeps, and what it does when the disk, or a person, has damaged it."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deeptroubles import Classifier, read_audit
from deeptroubles.engine import LocalEngine, local
from deeptroubles.errors import RunFolderError
from deeptroubles.findings import (
    Audit,
    Estimate,
    Finding,
    GridItem,
    Guide,
    Heatmap,
    Heatmaps,
    ImageFacts,
    ImageGrid,
    ModelFacts,
    Unreadable,
    Verdict,
    audit_to_json,
)
from deeptroubles.pictures import picture
from deeptroubles.run.files import write_whole
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.lock import locked
from tests.networks import Plain

IDENTITY = {"model": "m", "images": "i", "seed": "0"}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run", IDENTITY)


def example() -> Audit:
    """An audit with pictures everywhere they can be."""
    random = np.random.default_rng(0)
    photos = [picture(random.random((3, 6, 7)), f"Zürich {i} 写真") for i in range(3)]
    grid = ImageGrid(title="g", items=[GridItem(picture=p, caption="c") for p in (*photos, photos[0])])
    maps = Heatmaps(
        title="h",
        items=[Heatmap(values=[[0.5, None]], caption="c", alt="a", picture=photos[1])],
        scale_label="s",
        low=0,
        high=1,
    )
    estimate = Estimate(label="e", value=0.5, low=0.4, high=0.6, n=9)
    found = Finding(check="a.b", verdict=Verdict.WARN, claim="½ → 1", criterion="c", evidence=[estimate, grid, maps])
    guide = Guide(question="q?", asks="a", matters="m", reading="r", limits="l", references="f")
    model = ModelFacts(
        name="m", source="s", fingerprint="f", classes=2, parameters=3, input="3 x 6 x 7", preprocessing="p"
    )
    images = ImageFacts(
        name="i",
        fingerprint="g",
        count=4,
        labelled=2,
        classes=2,
        unmatched_labels={"x": 1},
        unreadable=[Unreadable(path="p", reason="r")],
        credits=["c"],
        notes=["n"],
    )
    return Audit(
        status="complete",
        created="2024-01-01T00:00:00+00:00",
        seconds=1.5,
        command="c",
        seed=0,
        environment={"python": "3"},
        model=model,
        images=images,
        findings=[found],
        guides={"a.b": guide},
    )


def files(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


# --- writing in one step


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_a_crash_before_the_move_leaves_the_old_file_alone(tmp_path, monkeypatch, crash):
    path = tmp_path / "file.txt"
    write_whole(path, b"old")

    def fail(*_):
        assert len(files(tmp_path)) == 2  # the new content is written, beside the old
        raise crash

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunFolderError if isinstance(crash, OSError) else type(crash)):
        write_whole(path, b"new")
    assert files(tmp_path) == ["file.txt"]
    assert path.read_bytes() == b"old"


def test_a_file_is_replaced_and_may_be_read_by_others(tmp_path):
    path = tmp_path / "deep" / "er" / "file.txt"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert files(tmp_path) == ["deep/er/file.txt"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "The disk is full: .*free some space and run the same command again"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EACCES, "permission denied.*choose another place"),
        (errno.EROFS, "permission denied"),
        (errno.EIO, "Input/output error.*choose another place"),
    ],
)
@pytest.mark.parametrize("when", ["mkdir", "write", "replace"])
def test_errors_of_the_disk_are_told_in_a_sentence(tmp_path, monkeypatch, code, sentence, when):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    if when == "mkdir":
        monkeypatch.setattr(Path, "mkdir", fail)
    elif when == "write":
        monkeypatch.setattr("deeptroubles.run.files.tempfile.NamedTemporaryFile", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunFolderError, match=sentence) as caught:
        write_whole(tmp_path / "run" / "file.txt", b"x")
    assert "file.txt" in str(caught.value)
    assert files(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place))
    if sys.platform != "linux" or os.geteuid() or subprocess.run(options, check=False, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root on Linux only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk):
    folder = RunFolder(small_disk / "run", IDENTITY)
    folder.keep_chunk("one", {"a": np.arange(10)})
    before = files(small_disk)
    noise = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8)
    with pytest.raises(RunFolderError, match="The disk is full"):
        folder.keep_chunk("two", {"a": noise})
    assert files(small_disk) == before
    assert folder.chunk("one")["a"].tolist() == list(range(10))
    assert folder.chunk("two") is None
    folder.keep_chunk("two", {"a": noise[:100]})  # there is room again: nothing half-written takes it


def test_a_disk_that_is_really_read_only(small_disk):
    folder = RunFolder(small_disk / "run", IDENTITY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for attempt in (lambda: folder.keep_chunk("one", {}), lambda: RunFolder(small_disk / "other", IDENTITY)):
        with pytest.raises(RunFolderError, match="cannot be written"):
            attempt()


def test_a_reader_that_holds_a_file_for_a_moment_does_not_stop_the_writer(tmp_path, monkeypatch):
    """As on Windows, where a file that is open cannot be replaced."""
    path, held, real = tmp_path / "file.txt", [1, 1, 1], os.replace
    write_whole(path, b"old")

    def replace_when_free(source, target):
        if held:
            held.pop()
            raise PermissionError(errno.EACCES, "Access is denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_when_free)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert files(tmp_path) == ["file.txt"]


def test_a_reader_always_sees_a_whole_audit(folder):
    folder.write_audit(example())
    seen, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            seen.append(read_audit(folder.path).seconds)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(40):
        folder.write_audit(replace(example(), seconds=float(i)))
    stop.set()
    reader.join()
    assert set(seen) <= {1.5, *map(float, range(40))}
    assert len(seen) > 1


# --- one audit at a time


def test_a_folder_is_held_by_one_audit_at_a_time(tmp_path):
    refused = pytest.raises(RunFolderError, match=r"Another audit is writing to .*; wait until it ends, or choose")
    with locked(tmp_path), refused, locked(tmp_path):
        pytest.fail("held twice")
    with locked(tmp_path):
        pass


def test_a_killed_audit_leaves_no_lock(tmp_path):
    code = "from deeptroubles.run.lock import locked; from pathlib import Path; import time\n"
    code += f"with locked(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match="Another audit"), locked(tmp_path):
            pytest.fail("held twice")
        process.kill()
        process.wait()
    assert (tmp_path / "run.lock").exists()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_told(tmp_path):
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(RunFolderError, match="cannot be locked"), locked(tmp_path):
        pass


# --- which run a folder holds


def test_the_same_run_is_resumed(folder):
    folder.keep_chunk("one", {"a": np.arange(3)})
    again = RunFolder(str(folder.path), dict(reversed(IDENTITY.items())))
    assert again.chunk("one")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"model": "other"}, r"different model\)"), ({"images": "o", "seed": "1"}, r"different images and seed\)")],
)
def test_another_run_is_refused_and_what_differs_is_named(folder, change, words):
    with pytest.raises(RunFolderError, match=rf"holds another run \({words}.*choose another folder with --out"):
        RunFolder(folder.path, IDENTITY | change)
    assert json.loads((folder.path / "run.json").read_text()) == IDENTITY


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="is not a run of deeptroubles; choose another folder"):
        RunFolder(tmp_path, IDENTITY)
    assert files(tmp_path) == ["thesis.tex"]


def test_an_empty_folder_is_taken(tmp_path):
    RunFolder(tmp_path, IDENTITY)
    assert files(tmp_path) == ["run.json"]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(RunFolderError, match="is not a run"):
        RunFolder(tmp_path / "run", IDENTITY)
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder(tmp_path / "run" / "below", IDENTITY)
    assert (tmp_path / "run").read_text() == "x"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe\x00"])
def test_a_damaged_marker_is_told(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"run\.json cannot be read"):
        RunFolder(tmp_path, IDENTITY)


def test_a_folder_that_cannot_be_looked_into(tmp_path, monkeypatch):
    def refused(_self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(RunFolderError, match="cannot be read"):
        RunFolder(tmp_path, IDENTITY)


def test_a_name_that_no_file_system_takes(tmp_path):
    with pytest.raises(RunFolderError, match="x" * 300):
        RunFolder(tmp_path / ("x" * 300), IDENTITY)


# --- chunks


def test_chunks_come_back_as_they_were(folder):
    arrays = {
        "floats": np.random.default_rng(0).random((3, 4)).astype(np.float32),
        "flags": np.array([True, False]),
        "words": np.array(["", "schön", "写真"]),
        "none": np.zeros((0, 5)),
        "number": np.array(3),
    }
    folder.keep_chunk("key", arrays)
    held = folder.chunk("key")
    assert held.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(held[name], array)
        assert held[name].dtype == array.dtype
    assert folder.chunk("other") is None


class Planted:
    """Unpickling this would leave a file behind."""

    def __init__(self, where: Path) -> None:
        self.where = str(where)

    def __reduce__(self):
        return open, (self.where, "w")


def test_a_planted_pickle_is_never_executed(folder, tmp_path):
    chunks = folder.path / "chunks"
    chunks.mkdir()
    trap = Planted(tmp_path / "executed")
    (chunks / "plain.npz").write_bytes(pickle.dumps(trap))
    np.savez(chunks / "array.npz", a=np.array([trap], dtype=object))
    with zipfile.ZipFile(chunks / "member.npz", "w") as archive:
        archive.writestr("a.npy", pickle.dumps(trap))
    with zipfile.ZipFile(chunks / "bare.npz", "w") as archive:
        archive.writestr("a", pickle.dumps(trap))
    for key in ("plain", "array", "member", "bare"):
        assert folder.chunk(key) is None
    assert not (tmp_path / "executed").exists()


def damaged(whole: bytes):
    yield "empty", b""
    yield "cut", whole[: len(whole) // 2]
    yield "text", b"no archive at all"
    yield "header", whole[:4]
    for position in range(0, len(whole), 13):
        yield f"byte {position}", whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :]


def test_a_damaged_chunk_is_treated_as_absent(folder):
    arrays = {"a": np.random.default_rng(0).random(50), "b": np.array(["x", "y"])}
    folder.keep_chunk("key", arrays)
    place = folder.path / "chunks" / "key.npz"
    refused = 0
    for what, content in damaged(place.read_bytes()):
        place.write_bytes(content)
        held = folder.chunk("key")
        refused += held is None
        if held is not None:  # some bytes (a date) do not matter
            assert held.keys() == arrays.keys(), what
            assert all(np.array_equal(held[name], array) for name, array in arrays.items()), what
    assert refused > 20


def test_a_single_array_and_a_folder_are_no_chunk(folder):
    (folder.path / "chunks" / "folder.npz").mkdir(parents=True)
    with (folder.path / "chunks" / "single.npz").open("wb") as file:
        np.save(file, np.arange(3))
    assert folder.chunk("folder") is None
    assert folder.chunk("single") is None


class Subject:
    fingerprint = "f"
    classifier = Classifier(Plain(), size=8)


CALLS: list[list[int]] = []


def double(_subject, indices, _batch_size, by=2):
    CALLS.append(list(indices))
    return {"doubled": np.array(indices) * by}


def test_the_engine_computes_a_damaged_chunk_anew_and_the_others_not(folder):
    CALLS.clear()
    engine = LocalEngine(folder)
    first = engine.map(double, Subject(), range(7), task="x", chunk=3)
    assert CALLS == [[0, 1, 2], [3, 4, 5], [6]]
    places = sorted((folder.path / "chunks").iterdir())
    assert len(places) == 3
    places[1].write_bytes(places[1].read_bytes()[:-30])
    again = LocalEngine(RunFolder(folder.path, IDENTITY)).map(double, Subject(), range(7), task="x", chunk=3)
    assert len(CALLS) == 4
    assert first["doubled"].tolist() == again["doubled"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    engine.map(double, Subject(), range(7), task="another label", chunk=3)
    assert len(CALLS) == 4
    assert engine.map(double, Subject(), range(3), task="x", chunk=3, by=3)["doubled"].tolist() == [0, 3, 6]
    assert len(CALLS) == 5


def listed(_subject, indices, _batch_size, dies_at=-1):
    CALLS.append(list(indices))
    if dies_at in indices:
        raise KeyboardInterrupt
    return {"seen": np.array(indices, dtype=np.int64), "sum": np.array(sum(indices))}


def joined(a, b):
    return {"seen": np.concatenate([a["seen"], b["seen"]]), "sum": a["sum"] + b["sum"]}


def reduced(folder, count=10, work=listed, merge=joined, **settings):
    CALLS.clear()
    return LocalEngine(folder).reduce(work, merge, Subject(), range(count), task="x", chunk=3, **settings)


def test_a_reduction_merges_the_chunks_in_order_and_keeps_one_total(folder):
    for where in (None, folder):
        total = reduced(where)
        assert total["seen"].tolist() == list(range(10))
        assert total["sum"] == 45
        assert set(total) == {"seen", "sum"}
        assert CALLS == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert len(list((folder.path / "chunks").iterdir())) == 1
    again = reduced(RunFolder(folder.path, IDENTITY))
    assert CALLS == []
    assert again["seen"].tolist() == list(range(10))
    assert set(again) == {"seen", "sum"}
    assert reduced(folder, 0) == {}


def test_another_question_is_another_reduction(folder):
    reduced(folder)
    for change in ({"count": 9}, {"merge": lambda a, b: joined(b, a)}, {"dies_at": 99}):
        reduced(folder, **change)
        assert CALLS
    reduced(folder)
    assert not CALLS


def test_a_killed_reduction_goes_on_and_a_damaged_total_is_computed_anew(folder, monkeypatch):
    monkeypatch.setattr(local, "PAUSE", -1.0)  # keep after every chunk
    monkeypatch.setattr(local, "_SAVING", -1)
    with pytest.raises(KeyboardInterrupt):
        reduced(folder, dies_at=7)
    assert CALLS == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(KeyboardInterrupt):
        reduced(folder, dies_at=7)
    assert CALLS == [[6, 7, 8]]
    (place,) = (folder.path / "chunks").iterdir()
    place.write_bytes(place.read_bytes()[:-30])
    with pytest.raises(KeyboardInterrupt):
        reduced(folder, dies_at=7)
    assert len(CALLS) == 3


def test_a_total_is_not_kept_after_every_chunk(folder, monkeypatch):
    kept = []
    monkeypatch.setattr(RunFolder, "keep_chunk", lambda _self, _key, arrays: kept.append(arrays))
    assert reduced(folder, 100)["sum"] == 4950
    assert len(kept) == 1


# --- the audit


def test_an_audit_comes_back_with_its_pictures(folder):
    folder.write_audit(example())
    for path in (folder.path, str(folder.path)):
        assert audit_to_json(read_audit(path)) == audit_to_json(example())
    pictures = [name for name in files(folder.path) if name.startswith("images/")]
    assert len(pictures) == 3  # the same picture is one file, however often it is shown
    text = (folder.path / "audit.json").read_text(encoding="utf-8")
    assert "base64" not in text
    assert "Zürich" in text
    for name in pictures:
        assert (folder.path / name).read_bytes()[8:12] == b"WEBP"


def test_a_later_audit_replaces_the_earlier(folder):
    folder.write_audit(replace(example(), status="running", findings=[]))
    folder.write_audit(example())
    assert read_audit(folder.path).status == "complete"


@pytest.mark.parametrize("src", ["../secret", "images/../../secret", "/etc/hostname", "images/../run.json", "images/l"])
def test_pictures_outside_of_the_folder_are_not_read(folder, src):
    (folder.path.parent / "secret").write_text("secret")
    folder.write_audit(example())
    (folder.path / "images" / "l").symlink_to(folder.path.parent / "secret")
    document = json.loads((folder.path / "audit.json").read_text(encoding="utf-8"))
    document["findings"][0]["evidence"][1]["items"][0]["picture"]["src"] = src
    (folder.path / "audit.json").write_text(json.dumps(document), encoding="utf-8")
    assert read_audit(folder.path).findings[0].evidence[1].items[0].picture.src == src  # as it was, and not its content


def test_a_folder_without_an_audit_is_told(folder, tmp_path):
    for place in (folder.path, tmp_path / "nowhere"):
        with pytest.raises(RunFolderError, match="holds no complete audit"):
            read_audit(place)
    folder.write_audit(example())
    next((folder.path / "images").iterdir()).unlink()
    with pytest.raises(RunFolderError, match=r"holds no complete audit \(.*webp is missing"):
        read_audit(folder.path)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff", b'{"status": 3}', b'{"src": 3}'])
def test_a_damaged_audit_is_told(folder, content):
    (folder.path / "audit.json").write_bytes(content)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_audit(folder.path)


def test_a_table_is_written(folder):
    table = pd.DataFrame({"path": ["a", "ü"], "value": [1.5, None]})
    folder.write_table("images", table)
    pd.testing.assert_frame_equal(pd.read_parquet(folder.path / "tables" / "images.parquet"), table)


def test_a_table_column_of_mixed_kinds_is_written_as_text(folder):
    folder.write_table("images", pd.DataFrame({"path": ["a", "b", "c"], "group": [1, "two", None]}))
    found = pd.read_parquet(folder.path / "tables" / "images.parquet")["group"]
    assert found[:2].tolist() == ["1", "two"]
    assert pd.isna(found[2])
