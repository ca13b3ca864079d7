"""What the page of data asks for: the table, pictures, maps, curves, thresholds, fairness."""

from __future__ import annotations

import io
import json
import shutil
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.served import NAMES, opened

from deeptroubles.classifier import Classifier
from deeptroubles.serving.app import make_app
from deeptroubles.serving.pages import data as data_page
from deeptroubles.serving.pages import fairness as fairness_page
from deeptroubles.serving.pages import thumbnails as thumbnails_page
from deeptroubles.serving.workbench import Workbench

COUNT = 300


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Workbench(tmp_path_factory.mktemp("data") / "run", opened(COUNT, 16))
    made.opened.images.table.loc[::50, "camera"] = None
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(bench):
    client = TestClient(make_app(bench))
    assert client.get("/api/data/table").json()["ready"] is False
    assert client.get("/api/data/thumbnails").json()["ready"] is False
    assert client.get("/api/images/0/picture").status_code == 409
    finish(client, client.post("/api/data/table"))
    return client


def finish(client, started):
    assert started.status_code == 202, started.text
    for _ in range(1200):
        job = client.get(f"/api/jobs/{started.json()}").json()
        if job["state"] in {"done", "failed", "cancelled"}:
            assert job["state"] == "done", job
            return
        time.sleep(0.05)
    pytest.fail("the job did not end")


def column(client, name):
    found = next(c for c in client.get("/api/data/table").json()["columns"] if c["name"] == name)
    if found["kind"] == "number":
        return found["values"]
    return [None if v is None else found["categories"][v] for v in found["values"]]


def test_the_table_says_what_is_known_about_each_image(client, bench):
    table = client.get("/api/data/table").json()
    assert table["ready"]
    assert len(table["paths"]) == COUNT
    assert table["classes"] == NAMES
    assert all(len(c["values"]) == COUNT for c in table["columns"])
    recording = bench.recording
    assert column(client, "prediction") == [NAMES[k] for k in recording.predicted]
    assert column(client, "class") == [NAMES[i % 4] for i in range(COUNT)]
    assert column(client, "correct") == ["yes" if p == i % 4 else "no" for i, p in enumerate(recording.predicted)]
    assert column(client, "probability") == pytest.approx(recording.probabilities.max(1), abs=1e-4)
    assert column(client, "camera")[:3] == [None, "old", "old"]
    assert column(client, "depth") == pytest.approx([i / 7 for i in range(COUNT)], rel=1e-4)
    pixels = np.asarray(bench.opened.images[5].convert("RGB")) / 255
    assert column(client, "brightness")[5] == pytest.approx(float((pixels @ [0.299, 0.587, 0.114]).mean()), abs=1e-3)
    assert {c["origin"] for c in table["columns"]} == {"the model", "your columns", "the pixels"}
    assert not any(c["name"] in {"width", "country of origin"} for c in table["columns"])


def test_probabilities_of_a_class(client, bench):
    assert client.get("/api/data/probability?class=2").json() == pytest.approx(
        bench.recording.probabilities[:, 2], abs=1e-4
    )
    assert client.get("/api/data/probability?class=4").status_code == 404
    assert client.get("/api/data/probability?class=-1").status_code == 422


def test_thumbnails_are_where_they_are_said_to_be(client, bench):
    facts = client.get("/api/data/thumbnails").json()
    assert (facts["count"], facts["pages"], facts["per_page"]) == (COUNT, 2, 256)
    row = 259
    page = Image.open(io.BytesIO(client.get(f"/api/data/thumbnails/{row // 256}").content)).convert("RGB")
    left, top = row % 256 % facts["columns"] * facts["width"], row % 256 // facts["columns"] * facts["height"]
    shown = np.asarray(page.crop((left, top, left + facts["width"], top + facts["height"])))
    assert np.array_equal(shown, bench.pixels(row))
    assert client.get("/api/data/thumbnails/2").status_code == 404
    assert client.get("/api/data/thumbnails/-1").status_code == 422


def test_a_picture_is_what_the_model_takes(client, bench):
    answer = client.get("/api/images/7/picture")
    assert answer.headers["content-type"] == "image/webp"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")), bench.pixels(7))
    assert client.get(f"/api/images/{COUNT}/picture").status_code == 404
    assert client.get("/api/images/x/picture").status_code == 422
    assert client.get(f"/api/images/{2**40}/picture").status_code == 422


def test_a_map_of_a_layer_is_made_once_and_kept(client, bench):
    layer = client.get("/api/data/table").json()["layers"][-1]
    asked = f"/api/data/map?layer={layer}"
    assert client.get(asked).json()["ready"] is False
    finish(client, client.post(asked))
    found = client.get(asked).json()
    assert len(found["x"]) == COUNT
    assert np.std(found["x"]) >= np.std(found["y"]) > 0
    assert 0 < sum(found["explained"]) <= 1
    assert client.get("/api/data/map?layer=nothing").status_code == 404
    assert client.post("/api/data/map?layer=../..").status_code == 404
    assert client.get(f"{asked}&layout=other").status_code == 422


def test_curves_of_all_images_and_of_groups(client):
    found = client.get("/api/data/curves?positive=1&column=camera").json()
    assert [a["group"] for a in found["areas"]] == ["all images", "new", "old"]
    for area in found["areas"]:
        assert area["roc"]["low"] < area["roc"]["value"] < area["roc"]["high"]
    assert [s["name"] for s in found["roc"]["series"]] == ["all images", "new", "old", "chance"]
    assert found["roc"]["series"][0]["x"][-1] == 1
    assert max(len(s["x"]) for s in found["roc"]["series"]) <= fairness_page.POINTS
    assert client.get("/api/data/curves?positive=9").status_code == 404
    assert client.get("/api/data/curves?positive=0&column=nothing").status_code == 404
    assert client.get("/api/data/curves?positive=0&column=path").status_code == 404


def ask(client, **question):
    return client.post("/api/data/thresholds", json=question)


def test_thresholds_by_six_strategies(client, bench):
    found = ask(client, positive=1, column="camera", cost_ratio=2, custom={"new": 0.0}).json()
    results = {s["strategy"]: s for s in found["strategies"]}
    assert set(results) == {"custom", "single", *fairness_page.BY_GROUP}
    assert [g["group"] for g in results["single"]["groups"]] == ["new", "old"]
    assert len({g["threshold"] for g in results["single"]["groups"]}) == 1
    new, old = results["custom"]["groups"]
    assert (new["threshold"], old["threshold"]) == (0.0, 0.5)
    assert new["selection"]["value"] == new["true_positive"]["value"] == 1
    assert found["notes"] == ["6 labelled images without a value of camera, or in groups with fewer than 30, left out."]
    rows = np.array([camera == "old" for camera in column(client, "camera")])
    truth = np.arange(COUNT)[rows] % 4 == 1
    hits = (bench.recording.probabilities[rows, 1] >= 0.5) == truth
    assert old["accuracy"]["value"] == pytest.approx(hits.mean())


def test_thresholds_without_groups_and_of_numbers(client):
    single = ask(client, positive=0).json()["strategies"]
    assert [s["strategy"] for s in single] == ["custom", "single"]
    groups = ask(client, positive=0, column="depth").json()["strategies"][0]["groups"]
    assert [g["group"] for g in groups] == ["depth below 14.2", "depth 14.2 to below 28.5", "depth 28.5 and more"]
    assert [g["images"] for g in groups] == [100, 100, 100]


@pytest.mark.parametrize(
    "question",
    [
        {"positive": 0, "cost_ratio": 0},
        {"positive": 0, "cost_ratio": 1e9},
        {"positive": -1},
        {"positive": 0, "custom": {"a": "x"}},
        {"positive": 0, "unknown": 1},
        {"positive": 0, "column": ["a"]},
        {},
    ],
)
def test_questions_that_make_no_sense_are_refused(client, question):
    assert ask(client, **question).status_code == 422


@pytest.mark.parametrize(
    "name", ["", " ", "path", "depth:", "depth:1,2", "CAMERA", "a" * 301, "\N{SNOWMAN}", "../..", "%00"]
)
def test_strange_names_are_refused(client, name):
    given = {"positive": 0, "column": name}
    assert client.get("/api/data/fairness", params=given).status_code in {404, 422}
    assert client.post("/api/data/mitigation", json=given).status_code in {404, 422}
    assert ask(client, **given).status_code in {404, 422}
    assert client.get("/api/data/map", params={"layer": name}).status_code in {404, 422}


def test_nan_as_a_threshold_is_refused(client):
    body = '{"positive": 0, "column": "camera", "custom": {"new": NaN}}'
    assert client.post("/api/data/thresholds", content=body).status_code == 422


def test_gaps_between_groups(client, bench):
    found = client.get("/api/data/fairness?positive=1&column=camera").json()
    assert found["reference"] == "old"
    (comparison,) = found["comparisons"]
    parity = comparison["measures"][0]
    chosen = bench.recording.predicted == 1
    cameras = np.array(column(client, "camera"))
    expected = chosen[cameras == "new"].mean() - chosen[cameras == "old"].mean()
    assert parity["share"]["value"] == pytest.approx(expected)
    assert parity["band"] == [-0.1, 0.1]
    assert len(comparison["measures"]) == 4
    other = client.get("/api/data/fairness?positive=1&column=camera&reference=new").json()
    assert other["comparisons"][0]["measures"][0]["share"]["value"] == pytest.approx(-expected)
    assert client.get("/api/data/fairness?positive=1&column=camera&reference=x").status_code == 404
    assert client.get("/api/data/fairness?positive=1&column=class").status_code == 200
    assert "NaN" not in client.get("/api/data/fairness?positive=1&column=correct").text


def test_mitigations_are_compared_with_the_model(client):
    asked = "/api/data/mitigation?positive=1&column=camera"
    assert client.get(asked).json()["ready"] is False
    finish(client, client.post("/api/data/mitigation", json={"positive": 1, "column": "camera"}))
    found = client.get(asked).json()
    names = [v["name"] for v in found["variants"]]
    assert names[0] == "unchanged"
    assert {"refitted", "reweighed", "balanced", "equal opportunity"} < set(names)
    assert found["variants"][0]["accuracy_cost"]["value"] == 0
    other = client.get(f"{asked}&reference=new").json()["variants"][0]["facts"]
    assert (found["variants"][0]["facts"]["reference"], other["reference"]) == ("old", "new")
    assert {f["check"] for f in found["audit"]["findings"]} > {"mitigation.reweighing", "mitigation.thresholds"}
    assert client.post("/api/data/mitigation", json={"positive": 1, "column": "nothing"}).status_code == 404


def test_groups_made_of_a_property_can_be_mitigated(client):
    finish(client, client.post("/api/data/mitigation", json={"positive": 1, "column": "correct"}))
    found = client.get("/api/data/mitigation?positive=1&column=correct").json()
    assert [g["group"] for g in found["variants"][0]["facts"]["groups"]] == ["no", "yes"]


def test_all_that_a_static_copy_needs_can_be_got(client, bench):
    for page in (thumbnails_page, data_page, fairness_page):
        paths = list(page.exported(bench))
        assert paths
        for path in paths[:12]:
            assert client.get(f"/api{path}").status_code == 200, path


def test_a_folder_without_a_model_still_shows_what_it_holds(client, bench):
    alone = TestClient(make_app(Workbench(bench.path)))
    assert alone.get("/api/data/table").json()["paths"] == client.get("/api/data/table").json()["paths"]
    assert alone.get("/api/data/thumbnails/0").content == client.get("/api/data/thumbnails/0").content
    assert alone.post("/api/data/table").status_code == 409
    assert alone.get("/api/images/0/picture").status_code == 409
    assert alone.get("/api/data/curves?positive=0").status_code == 409


def test_few_images_have_no_thresholds_and_a_reason(tmp_path):
    bench = Workbench(tmp_path / "run", opened(20, 16))
    client = TestClient(make_app(bench))
    finish(client, client.post("/api/data/table"))
    answer = ask(client, positive=0).json()
    assert answer["strategies"] == []
    assert "30 labelled images" in answer["notes"][-1]
    facts = client.get("/api/data/fairness?positive=0&column=camera").json()
    assert facts["comparisons"] == []
    assert not any(group["judged"] for group in facts["groups"])
    bench.close()


def test_images_without_labels_have_a_table_and_no_curves(tmp_path):
    given = opened(20, 16)
    given.images.table["label"] = None
    bench = Workbench(tmp_path / "run", given)
    client = TestClient(make_app(bench))
    finish(client, client.post("/api/data/table"))
    assert "class" not in {c["name"] for c in client.get("/api/data/table").json()["columns"]}
    assert client.get("/api/data/curves?positive=0").status_code == 422
    assert client.get("/api/data/curves?positive=0").json()["detail"].startswith("The images have no labels")
    bench.close()
    assert isinstance(given.classifier, Classifier)


def test_a_run_folder_cannot_name_thumbnails_outside_of_it(bench, client, tmp_path):
    """A folder from a stranger lists a file of this machine as a picture."""
    shutil.copytree(bench.path, tmp_path / "run")
    (tmp_path / "secret").write_text("a secret")
    catalogue = tmp_path / "run" / "units" / "catalogue.json"
    entries = json.loads(catalogue.read_text())
    for entry in entries:
        if entry["sprite"]:
            entry["sprite"]["files"] = ["../secret"] * len(entry["sprite"]["files"])
    catalogue.write_text(json.dumps(entries))
    answer = TestClient(make_app(Workbench(tmp_path / "run"))).get("/api/data/thumbnails/0")
    assert answer.status_code == 400
    assert "outside of the run folder" in answer.json()["detail"]
