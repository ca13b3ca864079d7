"""The Ray engine: the same findings as in this process, on two nodes, and with workers that die."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal

from deeptroubles import analyze_units, audit, load_images, mitigate
from deeptroubles.engine import LocalEngine, engine_named
from deeptroubles.errors import EngineError, UsageError
from deeptroubles.findings import audit_to_json
from deeptroubles.images import patience
from deeptroubles.recording import record
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.subject import Subject
from deeptroubles.workflows.explain import compare_methods
from deeptroubles.workflows.visualize import visualize_units
from tests.served import opened

ray = pytest.importorskip("ray", reason="ray is an optional dependency")
from deeptroubles.engine.ray import RayEngine  # noqa: E402 (after the skip)

CHECKS = ["performance.accuracy", "stability.rotation", "adversarial.untargeted", "data.duplicates", "units.dead"]
TIMES = {"created", "seconds", "durations", "command"}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two nodes of one core each, on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the workers, so that sums are in the same order
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shared(cluster):
    """Makes an engine with the workers that are there: starting some takes seconds."""
    engine = RayEngine()

    def made(folder, batch_size=32):
        engine.folder, engine.batch_size = folder, batch_size
        return engine

    yield made
    engine.close()


def alike(found):
    document = json.loads(audit_to_json(found))
    return {name: value for name, value in document.items() if name not in TIMES}


def doubled(subject, items, batch_size, *, die=""):
    """Each row twice; the first worker that has row 5 dies."""
    if die and 5 in items and not os.path.exists(die):  # noqa: PTH110 (as short as it gets)
        open(die, "w").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return {"row": 2 * np.array(items)}


def added(first, second):
    return {"row": np.concatenate([first["row"], second["row"]])}


def failing(subject, items, batch_size):
    raise ValueError("a fault of the work itself")


@pytest.fixture
def subject():
    what = opened(12)
    return Subject.unlabelled(what.classifier, what.images)


def test_findings_are_the_same_as_in_this_process(tmp_path, shared):
    what = opened(40)
    here = audit(what.classifier, what.images, tmp_path / "here", checks=CHECKS, budget=None)
    there = audit(what.classifier, what.images, tmp_path / "there", checks=CHECKS, budget=None, engine=shared)
    assert alike(here) == alike(there)
    again = audit(what.classifier, what.images, tmp_path / "there", checks=CHECKS, budget=None)  # from what was kept
    assert alike(again) == alike(here)


def test_units_and_methods_are_the_same_as_in_this_process(tmp_path, shared):
    what, engines = opened(24), {"here": LocalEngine, "there": shared}
    stores = [analyze_units(what.classifier, what.images, tmp_path / at, ["4"], engine=e) for at, e in engines.items()]
    here, there = (store.entries() for store in stores)
    assert [entry.technique for entry in here] == [entry.technique for entry in there]
    for a, b in zip(here, there, strict=True):
        if a.table:
            assert_frame_equal(stores[0].table(a), stores[1].table(b))
    methods = ["saliency", "grad_cam"]
    compared = [compare_methods(what.classifier, what.images, methods, engine=engine) for engine in engines.values()]
    here, there = ([replace(one, seconds=0.0) for one in each] for each in compared)
    assert here == there
    drawn = [
        visualize_units(what.classifier, "4:0", images=what.images, steps=2, engine=engine).captions
        for engine in engines.values()
    ]
    assert drawn[0] == drawn[1]


def test_mitigation_is_the_same_as_in_this_process(shared):
    many, engines = opened(240), {"here": LocalEngine, "there": shared}
    mended = [mitigate(many.classifier, many.images, "camera", engine=engine) for engine in engines.values()]
    assert alike(mended[0].audit) == alike(mended[1].audit)


def test_results_come_in_order_and_are_kept(subject, tmp_path, shared):
    folder = RunFolder(tmp_path / "run", {"model": "x"})
    engine = shared(folder)
    assert engine.map(doubled, subject, range(23), task="Doubling", chunk=2)["row"].tolist() == list(range(0, 46, 2))
    kept = LocalEngine(folder).map(failing_if_called, subject, [], task="None")
    assert kept == {}
    total = engine.reduce(doubled, added, subject, range(23), task="Adding", chunk=3)
    assert total["row"].tolist() == list(range(0, 46, 2))


def failing_if_called(*_args, **_settings):
    raise AssertionError


def test_a_worker_that_dies_is_replaced_and_its_part_done_again(subject, tmp_path, shared):
    engine = shared(None)
    found = engine.map(doubled, subject, range(12), task="Doubling", chunk=2, die=str(tmp_path / "died"))
    assert found["row"].tolist() == list(range(0, 24, 2))
    assert (tmp_path / "died").exists()
    assert engine.repeated >= 1


def test_a_fault_of_the_work_is_told_as_in_this_process(subject, shared):
    with pytest.raises(ValueError, match="a fault of the work itself"):
        shared(None).map(failing, subject, range(4), task="Failing")


def test_another_recording_keeps_its_pixels_elsewhere(shared, tmp_path):
    what, engine = opened(12), shared(None)
    for place in ("a", "b"):
        with keeping_pixels(RunFolder(tmp_path / place, {"model": "x"})) as pixels:
            record(what.classifier, what.images, engine, pixels=pixels)  # the first place is gone at the second time


def test_no_room_for_workers_is_told(subject, shared, monkeypatch):
    shared(None).map(doubled, subject, range(4), task="Doubling", chunk=1)  # takes every core
    monkeypatch.setattr("deeptroubles.engine.ray.STARTS_WITHIN", 1.0)
    with pytest.raises(EngineError, match="no free core"):
        RayEngine().map(doubled, subject, range(4), task="Doubling", chunk=1)


def test_engines_by_name(monkeypatch):
    assert engine_named("local") is LocalEngine
    with pytest.raises(UsageError, match="no engine"):
        engine_named("dask")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(EngineError, match="not installed"):
        engine_named("ray")(None, 32)


@pytest.mark.parametrize(("name", "says"), [("ray", "on this machine"), ("ray://far:10001", "at ray://far:10001")])
def test_a_cluster_that_does_not_start_is_told(name, says, monkeypatch):
    def init(**_):
        raise ConnectionError  # without a text

    fake = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setitem(__import__("sys").modules, "ray", fake)
    with pytest.raises(EngineError, match=rf"{says} \(ConnectionError\)"):
        engine_named(name)(None, 32)


def decoded(subject, items, batch_size):
    """Why each image cannot be read; the worker waits half a second for one."""
    patience.LIMIT = 0.5
    return {"reason": np.array(subject.decode(items).reasons, dtype=np.str_)}


def test_an_image_that_hangs_is_given_up_by_its_worker(tmp_path, shared):
    what = opened(4)
    for i in range(4):
        what.images[i].save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").unlink()
    os.mkfifo(tmp_path / "2.png")  # nobody ever writes into it
    (tmp_path / "m.csv").write_text("path\n0.png\n1.png\n2.png\n3.png\n")
    images = load_images(tmp_path / "m.csv")
    vars(images)["_fingerprint"] = "known"  # finding it waits, too
    engine = shared(None)
    before = engine.repeated
    reasons = engine.map(decoded, Subject.unlabelled(what.classifier, images), range(4), task="Decoding", chunk=2)
    assert [bool(reason) for reason in reasons["reason"]] == [False, False, True, False]
    assert engine.repeated == before


def test_a_node_that_leaves(cluster, subject, shared, monkeypatch):
    shared(None).close()
    engine = shared(None)
    node = cluster.add_node(num_cpus=1)
    assert engine.map(doubled, subject, range(6), task="Doubling", chunk=1)["row"].tolist() == list(range(0, 12, 2))
    cluster.remove_node(node)
    monkeypatch.setattr("deeptroubles.engine.ray.STARTS_WITHIN", 5.0)  # there is no room: the cluster got smaller
    assert engine.map(doubled, subject, range(6), task="Again", chunk=1)["row"].tolist() == list(range(0, 12, 2))
    engine.close()
