"""The attack lab: attacks run as jobs, are watched and stopped, and what they claim is true of the files they give."""

from __future__ import annotations

import base64
import io
import time

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from tests.served import application, opened

from deeptroubles.methods.attacks.one_pixel import corners
from deeptroubles.methods.attacks.shared.pixel_map import pixel_map
from deeptroubles.methods.attacks.shared.sticker import sticker_curve
from deeptroubles.methods.catalogue import METHODS
from deeptroubles.subject import logits_of

ATTACKS = sorted(name for name, method in METHODS.items() if method.family == "attacks" and name != "auto_attack")
"""All but the one that tries all others, for as long as they take."""
QUICK = {"steps": 4, "generations": 2, "children": 4, "population": 8, "limit": 64, "views": 8, "tries": 2}
NEED_TARGET, NEED_BOX, NO_IMAGE = {"patch"}, {"masked_attack"}, {"fooling_ascent", "map_elites"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with TestClient(application(tmp_path_factory.mktemp("lab") / "run")) as client:
        yield client


def ended(lab, number):
    for _ in range(600):
        job = lab.get(f"/api/jobs/{number}").json()
        if job["state"] in {"done", "failed", "cancelled"}:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def order(method, **more):
    settings = {k: v for k, v in QUICK.items() if k in METHODS[method].parameters}
    given = {"method": method, "settings": settings, "rows": [] if method in NO_IMAGE else [1]}
    if method in NEED_TARGET:
        given["target"] = 2
    if method in NEED_BOX:
        given["box"] = [4, 4, 12, 20]
    given |= more
    return given | {"settings": {name: str(value) for name, value in given["settings"].items()}}


@pytest.mark.parametrize("method", ATTACKS)
def test_every_attack_of_the_catalogue_runs(lab, method):
    started = lab.post("/api/attack", json=order(method))
    assert started.status_code == 202, started.text
    job = ended(lab, started.json())
    assert job["state"] == "done", job["error"]
    assert job["result"]["claim"].endswith(".")
    assert job["result"]["pictures"]
    assert job["step"]["looks"] > 0
    assert job["step"]["picture"].startswith("data:image/webp")


def test_the_claim_is_true_of_the_files(lab):
    job = ended(lab, lab.post("/api/attack", json=order("pgd", settings={"steps": 40, "epsilon": 1.0})).json())
    before, after, difference = job["result"]["pictures"]
    what = opened()
    files = [base64.b64decode(each["src"].partition(",")[2]) for each in (before, after)]
    pixels = torch.stack(
        [torch.tensor(np.asarray(Image.open(io.BytesIO(file)))).permute(2, 0, 1) / 255 for file in files]
    )
    shares = logits_of(what.classifier, pixels).softmax(1)
    for each, share in zip((before, after), shares, strict=True):
        assert each["named"] == what.classifier.class_names[int(share.argmax())]
        assert each["probability"] == pytest.approx(float(share.max()), abs=1e-5)
    assert before["named"] != after["named"]
    assert f"Predicted as {after['named']}" in job["result"]["claim"]
    largest = round(float((pixels[1] - pixels[0]).abs().max()) * 255)
    assert f"by {largest}/255 at most" in difference["note"]


def test_a_patch_comes_with_curves_over_its_angle_and_size(lab):
    job = ended(lab, lab.post("/api/attack", json=order("patch", rows=[0, 1])).json())
    degrees, scale = job["result"]["curves"]
    at_rest = degrees["series"][0]["y"][degrees["series"][0]["x"].index(0)]
    assert at_rest == pytest.approx(scale["series"][0]["y"][scale["series"][0]["x"].index(1.0)], abs=1e-6)


def test_a_targeted_attack_on_several_images(lab):
    job = ended(lab, lab.post("/api/attack", json=order("ddn", rows=[0, 1, 2], target=3)).json())
    assert len(job["result"]["pictures"]) == 9
    assert "of 3 images changed" in job["result"]["claim"]


def test_the_matrix_has_a_picture_for_each_pair(lab):
    job = ended(lab, lab.post("/api/attack", json=order("target_matrix", rows=[0, 1], classes=[0, 2, 3])).json())
    assert (len(job["result"]["pictures"]), job["result"]["columns"]) == (6, 3)
    assert "of 6 pairs" in job["result"]["claim"]


def test_an_attack_is_stopped(lab):
    number = lab.post("/api/attack", json=order("square", settings={"steps": 100_000, "epsilon": 0.0})).json()
    while lab.get(f"/api/jobs/{number}").json()["state"] == "waiting":
        time.sleep(0.01)
    lab.delete(f"/api/jobs/{number}")
    assert ended(lab, number)["state"] == "cancelled"
    assert ended(lab, lab.post("/api/attack", json=order("fgsm")).json())["state"] == "done"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"method": "no_such"}, 404),
        ({"method": "grad_cam"}, 404),
        ({"rows": [40]}, 422),
        ({"rows": [-1]}, 422),
        ({"rows": list(range(11))}, 422),
        ({"target": 4}, 422),
        ({"box": [0, 0, 0, 5]}, 422),
        ({"box": [0, 0, 33, 5]}, 422),
        ({"settings": {"steps": "0"}}, 400),
        ({"settings": {"no_such": "1"}}, 400),
        ({"settings": {"epsilon": "much"}}, 400),
        ({"settings": {"steps": [1]}}, 422),
        ({"more": 1}, 422),
    ],
)
def test_what_does_not_exist_is_refused(lab, wrong, status):
    assert lab.post("/api/attack", json=order("pgd") | wrong).status_code == status


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (order("pgd", rows=[]), "choose one"),
        (order("patch", target=None), "choose a target"),
        (order("masked_attack", box=None), "draw one"),
    ],
)
def test_what_is_missing_is_said(lab, given, said):
    job = ended(lab, lab.post("/api/attack", json=given).json())
    assert job["state"] == "failed"
    assert said in job["error"]


def test_the_pixel_map_is_the_lowest_probability_over_all_colors():
    what = opened(4, 12)
    image = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = pixel_map(what.classifier, image, 1, [0, 5, 11], [2, 7], batch_size=32)
    for i, y in enumerate([0, 5, 11]):
        for j, x in enumerate([2, 7]):
            tried = image.repeat(8, 1, 1, 1)
            tried[:, :, y, x] = corners(3)
            assert found[i, j] == pytest.approx(
                float(logits_of(what.classifier, tried).softmax(1)[:, 1].min()), abs=1e-6
            )


def test_one_pixel_as_a_map(lab):
    job = ended(lab, lab.post("/api/attack/pixel-map", json={"row": 3}).json())
    assert job["state"] == "done", job["error"]
    change = np.array(job["result"]["items"][0]["values"])
    assert change.shape == (32, 32)
    assert (change <= 1e-3).mean() > 0.9
    assert job["result"]["high"] == pytest.approx(max(0.01, np.abs(change).max()), abs=1e-4)


def test_a_sticker_at_its_own_angle_and_size_is_the_sticker_pasted_in_the_center():
    what = opened(3, 24)
    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    patch = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2))
    pasted = images.clone()
    pasted[:, :, 8:16, 8:16] = patch
    expected = float(logits_of(what.classifier, pasted).softmax(1)[:, 2].mean())
    assert sticker_curve(what.classifier, images, patch, torch.ones(8, 8), 2) == [pytest.approx(expected, abs=1e-5)]
    turned = sticker_curve(what.classifier, images, patch, torch.ones(8, 8), 2, degrees=[0, 90, 360])
    assert turned[0] == pytest.approx(turned[2], abs=1e-4)
    quarter = images.clone()
    quarter[:, :, 8:16, 8:16] = torch.rot90(patch, 1, (1, 2))
    other = images.clone()
    other[:, :, 8:16, 8:16] = torch.rot90(patch, -1, (1, 2))
    both = [float(logits_of(what.classifier, each).softmax(1)[:, 2].mean()) for each in (quarter, other)]
    assert min(abs(turned[1] - each) for each in both) < 1e-4
