"""What breaks while an audit runs, and what happens then. docs/faults.md lists all of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeptroubles import audit, load_classifier, load_images, read_audit
from deeptroubles.errors import DeeptroublesError
from deeptroubles.findings import audit_to_json
from deeptroubles.run.cues import read_cues
from deeptroubles.run.origin import read_origin
from tests.served import opened

CHECKS = ["performance", "stability.rotation", "adversarial.untargeted", "reliance.occlusion_gain", "data.balance"]
KILLS = 20
TIMES = {"created", "seconds", "durations", "command"}


def _run(folder):
    what = opened(24)
    audit(what.classifier, what.images, folder, checks=CHECKS, budget=None)


def alike(found):
    """What an audit found, without what tells of the time and the process."""
    document = json.loads(audit_to_json(found))
    apart = {"created", "seconds", "durations", "command", "environment"}
    return {name: value for name, value in document.items() if name not in apart}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    _run(folder)
    return alike(read_audit(folder))


def test_killed_at_twenty_moments_it_ends_as_if_nothing_had_happened(whole, tmp_path):
    """SIGKILL at random moments; every time the same audit goes on in the same folder."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["deeptroubles.workflows.audit", "tests.served"])
    moments, killed = np.random.default_rng(0), 0
    for _ in range(3 * KILLS):
        process = processes.Process(target=_run, args=(tmp_path / "run",))
        process.start()
        process.join(moments.uniform(0.2, 2.5))
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        if killed == KILLS:
            break
        if process.exitcode == 0:  # it came to its end; the next one starts anew
            assert alike(read_audit(tmp_path / "run")) == whole
            shutil.rmtree(tmp_path / "run")
    assert killed == KILLS
    _run(tmp_path / "run")
    assert alike(read_audit(tmp_path / "run")) == whole
    assert not [path for path in (tmp_path / "run").rglob(".*.*") if path.is_file()]


def test_a_clock_that_jumps_changes_nothing(whole, tmp_path, monkeypatch):
    jumps = np.random.default_rng(1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jumps.uniform(-1e6, 1e6))
    _run(tmp_path / "run")
    assert alike(read_audit(tmp_path / "run")) == whole


def test_without_memory_it_says_so_and_goes_on_later(tmp_path):
    """The address space is limited so that the model loads and a check does not fit."""
    command = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from tests.served import opened\n"
        "from deeptroubles import audit\n"
        "what = opened(24)\n"
        "what.classifier(torch.zeros(1, 3, 32, 32))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, used + 2**24))\n"
        f"audit(what.classifier, what.images, Path({str(tmp_path / 'run')!r}), checks={CHECKS!r}, budget=None)\n"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=300, check=False)
    assert "Segmentation" not in done.stderr
    _run(tmp_path / "run")
    assert {finding.verdict for finding in read_audit(tmp_path / "run").findings} & {"pass", "fail", "inconclusive"}
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_the_demo_opens_no_connection(tmp_path):
    """Sockets are forbidden from the first line on; the embedded network and the demo's photographs need none."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*_):\n    raise RuntimeError('a connection was tried')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "socket.create_connection = socket.getaddrinfo = refuse\n"
    )
    command = [sys.executable, "-m", "deeptroubles", "audit", "efficientnet-lite0", "--images", "demo"]
    command += ["--out", str(tmp_path / "run"), "--checks", "performance,data.defects"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "connection" not in done.stderr


HELD = ["run.json", "audit.json", "origin.json", "tables/cues.parquet"]
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), suffix=st.sampled_from(["png", "jpg", "webp", "gif", "tiff", "bmp", "dcm"]))
def test_any_bytes_as_an_image_are_read_or_refused(content, suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with suppress(DeeptroublesError):
        load_images(path)[0].load()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, head=st.sampled_from(["", "path,label\n", "path;label;mask\n", "PATH\tlat\n", "\ufeffpath,label\n"]))
def test_any_text_as_a_manifest_is_read_or_refused(text, head, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(head + text, encoding="utf-8")
    with suppress(DeeptroublesError):
        images = load_images(path)
        for row in range(len(images)):
            with suppress(DeeptroublesError):
                images[row].load()
        images.fingerprint()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["run.json", "audit.json", "origin.json", "tables/cues.parquet"]),
    content=st.binary(max_size=200),
)
def test_any_bytes_in_a_run_folder_are_read_or_refused(name, content, tmp_path):
    (tmp_path / "tables").mkdir(exist_ok=True)
    (tmp_path / "run.json").write_text('{"model": "", "images": "", "seed": "0"}')
    (tmp_path / name).write_bytes(content)
    for read in (read_audit, read_origin, lambda folder: read_cues(str(folder))):
        with suppress(DeeptroublesError):
            read(tmp_path)
    (tmp_path / name).unlink()


@settings(max_examples=200, deadline=None)
@given(source=TEXTS)
def test_any_text_as_a_model_is_refused(source):
    for text in (source, f"timm:{source}", f"untrained:{source}", f"{source}.pt2", f"{source}.pt"):
        with pytest.raises(DeeptroublesError):
            load_classifier(text)
