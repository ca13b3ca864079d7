"""What the what-if page asks: looks equal whole passes of edited images, and what is not there is refused."""

from __future__ import annotations

import base64
import io
import time

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from tests.served import opened, various

from deeptroubles.methods.edits.apply_edits import apply_edits
from deeptroubles.methods.edits.kinds import read_edit
from deeptroubles.serving.app import make_app
from deeptroubles.serving.workbench import Workbench
from deeptroubles.subject import logits_of


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Workbench(tmp_path_factory.mktemp("run") / "run", various(opened(beside=True)))


@pytest.fixture(scope="module")
def client(bench):
    client = TestClient(make_app(bench), raise_server_exceptions=True)
    assert client.post("/api/what-if/look", json={"image": 0}).status_code == 409
    assert client.get("/api/images").json()["ready"] is False
    result(client, client.post("/api/what-if/prepare"))
    assert client.post("/api/what-if/prepare").json() is None
    return client


def result(client, answer):
    """What a job gave."""
    assert answer.status_code == 202, answer.text
    while (job := client.get(f"/api/jobs/{answer.json()}").json())["state"] not in {"done", "failed", "cancelled"}:
        time.sleep(0.02)
    assert job["state"] == "done", job["error"]
    return job["result"]


def stroke(top, left, height=5, width=7, color=(255, 0, 0)):
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    pixels[..., :3], pixels[..., 3] = color, 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"kind": "patch", "top": top, "left": left, "png": base64.b64encode(buffer.getvalue()).decode()}


def png(size=(40, 30), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 90)).save(buffer, kind)
    return buffer.getvalue()


EDITS = [
    [],
    [stroke(3, 4)],
    [stroke(3, 4), stroke(20, 1)],
    [{"kind": "shift", "down": 2, "right": -3}],
    [{"kind": "hue", "degrees": 40}, stroke(0, 0)],
    [stroke(10, 10), {"kind": "blur", "sigma": 1}],
    [{"kind": "blend", "row": 5, "share": 0.5}],
    [stroke(100, 100)],
]


@pytest.mark.parametrize("edits", EDITS)
def test_a_look_is_a_whole_pass_of_the_edited_image(bench, client, edits):
    look = client.post("/api/what-if/look", json={"image": 2, "edits": edits, "classes": [0, 1, 2, 3]}).json()
    pixels = bench.recording.subject.pixels([2])[0]
    around = bench.recording.subject.pixels([5])[0]
    read = [read_edit(edit) for edit in edits]
    if any(edit.kind == "blend" for edit in read):
        edited = (torch.lerp(pixels, around, 0.5) * 255).round() / 255
    else:
        edited = apply_edits(pixels, read)
    old, new = (logits_of(bench.classifier, p[None]).softmax(1)[0] for p in (pixels, edited))
    assert len(look["scores"]) == 4
    for score in look["scores"]:
        assert score["after"] == pytest.approx(float(new[score["index"]]), abs=1e-5)
        assert score["before"] == pytest.approx(float(old[score["index"]]), abs=1e-5)
    assert [s["after"] for s in look["scores"]] == sorted((s["after"] for s in look["scores"]), reverse=True)
    shown = Image.open(io.BytesIO(base64.b64decode(look["picture"].partition(",")[2])))
    assert np.array_equal(np.asarray(shown), (edited * 255).round().byte().permute(1, 2, 0).numpy())


def test_strokes_are_computed_incrementally_also_while_they_grow(bench, client):
    for width in (2, 5, 9, 20):
        edits = [{"kind": "mirror", "axis": "horizontal"}, stroke(6, 6, width=width)]
        look = client.post("/api/what-if/look", json={"image": 7, "edits": edits, "picture": False}).json()
        assert look["incremental"]
        assert look["picture"] is None
        pixels = apply_edits(bench.recording.subject.pixels([7])[0], list(map(read_edit, edits)))
        expected = logits_of(bench.classifier, pixels[None]).softmax(1)[0]
        for score in look["scores"]:
            assert score["after"] == pytest.approx(float(expected[score["index"]]), abs=1e-5)


def test_the_second_model_looks_too(bench, client):
    look = client.post("/api/what-if/look", json={"image": 1, "edits": [stroke(0, 0)], "beside": True}).json()
    edited = apply_edits(bench.recording.subject.pixels([1])[0], [read_edit(stroke(0, 0))])
    expected = logits_of(bench.opened.beside, edited[None]).softmax(1)[0]
    for score in look["beside"]:
        assert score["after"] == pytest.approx(float(expected[score["index"]]), abs=1e-5)


def test_images_are_listed_with_thumbnails(bench, client):
    listed = client.get("/api/images").json()
    assert [each["row"] for each in listed["images"]] == list(range(40))
    assert [each["prediction"] for each in listed["images"]] == bench.recording.predicted.tolist()
    assert [each["label"] for each in listed["images"]] == bench.recording.targets.tolist()
    small = listed["thumbnails"]
    assert small == client.get("/api/data/thumbnails").json()
    page = Image.open(io.BytesIO(client.get("/api/data/thumbnails/0").content)).convert("RGB")
    line, column = divmod(17, small["columns"])
    top, left = line * small["height"], column * small["width"]
    shown = np.asarray(page)[top : top + small["height"], left : left + small["width"]]
    assert np.array_equal(shown, bench.pixels(17))  # 32 pixels are small enough to be kept as they are


def test_the_picture_of_an_image_is_what_the_model_takes(bench, client):
    shown = Image.open(io.BytesIO(client.get("/api/what-if/picture/7").content))
    assert np.array_equal(np.asarray(shown), bench.pixels(7))
    for nothing in ("40", "-1", "upload-0", "x" * 60, "²"):
        assert client.get(f"/api/what-if/picture/{nothing}").status_code == 404


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_upload_is_prepared_and_looked_at(bench, client, kind):
    name = client.post("/api/what-if/upload", content=png(kind=kind)).json()["image"]
    shown = Image.open(io.BytesIO(client.get(f"/api/what-if/picture/{name}").content))
    assert shown.size == (32, 32)
    look = client.post("/api/what-if/look", json={"image": name}).json()
    assert look["scores"][0]["before"] == look["scores"][0]["after"]


@pytest.mark.parametrize("body", [b"", b"GIF89a", b"<svg/>", png(kind="GIF"), png()[:60]])
def test_an_upload_of_another_kind_or_a_damaged_one_is_refused(client, body):
    answer = client.post("/api/what-if/upload", content=body)
    assert answer.status_code == 400, answer.text


def test_an_upload_that_is_too_large_is_refused(client, monkeypatch):
    monkeypatch.setattr("deeptroubles.serving.editing.MOST_PIXELS", 1000)
    assert client.post("/api/what-if/upload", content=png()).status_code == 400
    monkeypatch.setattr("deeptroubles.serving.pages.what_if.MOST_BYTES", 10)
    assert client.post("/api/what-if/upload", content=png()).status_code == 413


CURVE = {
    "images": [0, 1, 2],
    "edits": [{"kind": "brightness", "amount": 0}],
    "place": 0,
    "parameter": "amount",
    "start": -0.5,
    "stop": 0.5,
    "steps": 5,
    "classes": [1],
}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("look", {"image": 40}, 404),
        ("look", {"image": -1}, 422),
        ("look", {"image": "upload-0"}, 404),
        ("look", {"image": "../../etc/passwd"}, 404),
        ("look", {"image": 0, "classes": [4]}, 422),
        ("look", {"image": 0, "edits": [{"kind": "turn", "degrees": 1e9}]}, 422),
        ("look", {"image": 0, "edits": [{"kind": "no"}]}, 422),
        ("look", {"image": 0, "edits": [{"kind": "shift", "down": 32}]}, 400),
        ("look", {"image": 0, "edits": [{"kind": "patch", "top": 0, "left": 0, "png": "x"}]}, 400),
        ("look", {"image": 0, "edits": [{"kind": "blend", "row": 99, "share": 1}]}, 404),
        ("look", {"image": 0, "edits": [{"kind": "background", "row": 1}]}, 400),
        ("explain", {"image": 0, "method": "no"}, 404),
        ("explain", {"image": 0, "method": "pgd"}, 404),
        ("explain", {"image": 0, "method": "lrp", "settings": {"x": "1"}}, 422),
        ("explain", {"image": 0, "method": "lrp", "settings": {"epsilon": "a"}}, 400),
        ("explain", {"image": 0, "method": "lrp", "settings": {"target": "1"}}, 422),
        ("explain", {"image": 0, "method": "lrp", "target": 9}, 422),
        ("explain", {"image": 0, "method": "eigen_cam", "against": 1}, 422),
        ("nearest", {"image": 0, "to": 4}, 422),
        ("curve", CURVE | {"edits": []}, 422),
        ("curve", CURVE | {"place": 1}, 400),
        ("curve", CURVE | {"parameter": "kind"}, 400),
        ("curve", CURVE | {"stop": 9}, 400),
        ("curve", CURVE | {"images": [40]}, 404),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(client, path, body, status):
    assert client.post(f"/api/what-if/{path}", json=body).status_code == status


def test_a_map_is_that_of_the_method_and_classes_can_be_compared(bench, client):
    asked = {"image": 3, "method": "gradient_x_input", "target": 1, "against": 2}
    found = result(client, client.post("/api/what-if/explain", json=asked))
    pixels = bench.recording.subject.pixels([3]).requires_grad_()
    logits = bench.classifier(pixels)
    (gradient,) = torch.autograd.grad(logits[0, 1] - logits[0, 2], pixels)
    expected = (gradient * pixels).sum(1)[0].detach()
    assert torch.allclose(torch.tensor(found["values"]), expected, atol=1e-4)
    assert (found["target"], found["against"]) == ("dog", "horse")
    number = client.post("/api/what-if/explain", json={**asked, "against": 1}).json()
    while (job := client.get(f"/api/jobs/{number}").json())["state"] != "failed":
        time.sleep(0.02)
    assert "itself" in job["error"]


def test_the_nearest_have_another_prediction(bench, client):
    assert not client.post("/api/what-if/nearest", json={"image": 0}).json()["ready"]
    result(client, client.post("/api/what-if/describe"))
    own = bench.recording.predicted[0]
    others = np.unique(bench.recording.predicted)
    assert len(others) > 1
    for to in [None, *others.tolist()]:
        found = client.post("/api/what-if/nearest", json={"image": 0, "to": to}).json()
        rows = [each["row"] for each in found["by_pixels"]]
        allowed = bench.recording.predicted != own if to is None else bench.recording.predicted == to
        pixels = bench.recording.subject.pixels(range(40)).flatten(1)
        distances = (pixels - pixels[0]).norm(dim=1).numpy()
        slow = [int(i) for i in np.argsort(distances) if allowed[i]][:3]
        assert rows == slow


def test_a_curve_gives_each_image_and_the_mean(bench, client):
    found = result(client, client.post("/api/what-if/curve", json=CURVE))
    assert found["values"] == [-0.5, -0.25, 0, 0.25, 0.5]
    (curve,) = found["classes"]
    each = np.array(curve["each"])
    assert each.shape == (3, 5)
    assert each[:, 2] == pytest.approx(bench.recording.probabilities[:3, 1], abs=1e-5)
    assert curve["mean"] == pytest.approx(each.mean(0), abs=1e-5)
    assert all(low <= mean <= high for low, mean, high in zip(curve["low"], curve["mean"], curve["high"], strict=True))


def test_methods_are_listed_with_their_settings(client):
    methods = {each["name"]: each for each in client.get("/api/methods?family=attribution").json()}
    rise = {each["name"]: each for each in methods["rise"]["parameters"]}
    assert rise["keep"] == {
        "name": "keep", "kind": "number", "low": 0, "high": 1, "above": False, "choices": [], "default": "0.5",
        "description": rise["keep"]["description"],
    }  # fmt: skip
    assert rise["masks"]["kind"] == "whole"
    assert "target" not in rise
    assert "against" not in methods["eigen_cam"]["takes"]
    assert client.get("/api/methods?family=no").status_code == 422


def test_without_a_model_nothing_is_computed(tmp_path):
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    client = TestClient(make_app(Workbench(tmp_path)))
    assert client.post("/api/what-if/look", json={"image": 0}).status_code == 409
    assert client.post("/api/what-if/prepare").status_code == 409
    assert client.post("/api/what-if/upload", content=png()).status_code == 409
    assert client.get("/api/images").json()["ready"] is False
