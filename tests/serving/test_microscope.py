"""What the microscope answers: the graph, layers and units as slow looks say, and refusals that say why."""

from __future__ import annotations

import io
import shutil
import time

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from tests.served import application, opened
from tests.small_clip import digits, new_clip, save_clip
from tests.torchvision_shim import declare_operators

from deeptroubles import ImageSet, load_classifier
from deeptroubles.methods.units.shared.activations import unit_activation
from deeptroubles.methods.units.shared.texts import unit_direction
from deeptroubles.models.clip import load_text_tower
from deeptroubles.network import open_network
from deeptroubles.run.unit_store import UnitStore
from deeptroubles.serving.app import make_app
from deeptroubles.serving.pages.microscope import exported
from deeptroubles.serving.workbench import Opened, Workbench


def compute(client, **wanted):
    """Compute, and wait until it is done."""
    answer = client.post("/api/microscope/compute", json=wanted)
    assert answer.status_code == 202, answer.text
    return wait(client, answer.json())


def wait(client, number):
    for _ in range(600):
        job = client.get(f"/api/jobs/{number}").json()
        if job["state"] in {"done", "failed", "cancelled"}:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


@pytest.fixture(scope="module")
def what():
    return opened()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("microscope") / "run"


@pytest.fixture(scope="module")
def client(folder, what):
    with TestClient(application(folder, what)) as asked:
        yield asked


@pytest.fixture(scope="module")
def names(client):
    return [layer["name"] for layer in client.get("/api/microscope/graph").json()["layers"]]


@pytest.fixture(scope="module")
def looked(client, names):
    """A layer with positions, when its images were looked at."""
    job = compute(client, layer=names[1], technique="dataset")
    assert job["state"] == "done", job
    return names[1]


@pytest.fixture(scope="module")
def values(what, looked):
    pixels = torch.stack([what.classifier.prepare(what.images[i]) for i in range(len(what.images))])
    return unit_activation(open_network(what.classifier).record(pixels, [looked]).activations[looked]).numpy()


def get(client, path, **query):
    answer = client.get(f"/api/microscope/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_graph_lists_the_layers_in_order(client, names, what):
    graph = get(client, "graph")
    assert names == [layer.name for layer in open_network(what.classifier).layers if layer.name in names]
    assert graph["layers"][-1]["units"] == 4
    assert graph["edges"][0] == ["pixels", names[0]]
    assert {b for _, b in graph["edges"]} == set(names)


def test_a_layer_without_a_look_is_empty_and_says_what_a_look_costs(client, names):
    assert get(client, "layer", layer=names[0])["units"] == []
    assert get(client, "costs", layer=names[0])["dataset"] > 0


def test_a_layer_shows_every_unit_with_what_a_slow_look_says(client, looked, values):
    view = get(client, "layer", layer=looked)
    assert len(view["units"]) == values.shape[1] == view["layer"]["units"]
    assert np.allclose([row["high"] for row in view["units"]], values.max(0), atol=1e-4)
    assert np.allclose([row["mean"] for row in view["units"]], values.mean(0), atol=1e-4)
    assert "dataset" in view["layer"]["kept"]
    covers = next(sheet for sheet in view["sheets"] if sheet["technique"] == "covers")
    file = client.get(f"/api/microscope/sprites/{covers['key']}/0")
    assert file.headers["content-type"] == "image/webp"
    width, height = Image.open(io.BytesIO(file.content)).size
    assert width == covers["width"] * covers["columns"]
    assert height == covers["height"] * -(-values.shape[1] // covers["columns"])


def test_covers_are_the_first_samples(client, looked):
    view = get(client, "layer", layer=looked)
    sheets = {sheet["technique"]: sheet for sheet in view["sheets"]}

    def cut(sheet, number):
        row, column = divmod(number, sheet["columns"])
        page = np.asarray(picture_of(sheet))
        y, x = row * sheet["height"], column * sheet["width"]
        return page[y : y + sheet["height"], x : x + sheet["width"]].astype(int)

    def picture_of(sheet):
        return Image.open(io.BytesIO(client.get(f"/api/microscope/sprites/{sheet['key']}/0").content)).convert("RGB")

    for unit in range(4):
        difference = cut(sheets["covers"], unit) - cut(sheets["samples"], unit * sheets["samples"]["each"])
        assert np.abs(difference).mean() < 3


def test_a_unit_shows_its_images_histogram_and_similar_units(client, looked, values):
    unit = int(values.std(0).argmax())
    view, mine = get(client, "unit", layer=looked, unit=unit), values[:, unit]
    assert [sample["row"] for sample in view["top"]][:3] == np.argsort(-mine, kind="stable")[:3].tolist()
    assert [sample["value"] for sample in view["weak"]] == pytest.approx(np.sort(mine)[:9], abs=1e-4)
    assert sum(view["histogram"]) == len(values)
    others = [other for other in range(values.shape[1]) if other != unit and values[:, other].std() > 1e-6]
    correlations = {other: np.corrcoef(mine, values[:, other])[0, 1] for other in others}
    assert view["similar"][0]["unit"] == max(correlations, key=correlations.get)
    assert view["similar"][0]["correlation"] == pytest.approx(max(correlations.values()), abs=1e-4)
    assert view["winners"] is not None


def test_made_pictures_are_kept_and_not_made_twice(client, looked, folder):
    for technique in ("channel", "neuron", "negative", "diversity"):
        assert compute(client, layer=looked, technique=technique, units=[1], steps=4)["state"] == "done"
    for technique in ("dream", "caricature"):
        units = [1] if technique == "dream" else []
        assert compute(client, layer=looked, technique=technique, units=units, row=3, steps=4)["state"] == "done"
    made = get(client, "unit", layer=looked, unit=1)["made"]
    assert sorted(each["technique"] for each in made) == (
        ["caricature"] + ["channel"] * 2 + ["diversity"] * 4 + ["dream"] + ["negative"] * 2 + ["neuron"] * 2
    )
    assert get(client, "unit", layer=looked, unit=2)["made"] == [
        each for each in made if each["technique"] == "caricature"
    ]
    before = {file: file.stat().st_mtime_ns for file in (folder / "units").rglob("*") if file.is_file()}
    compute(client, layer=looked, technique="channel", units=[1], steps=4)
    assert {file: file.stat().st_mtime_ns for file in (folder / "units").rglob("*") if file.is_file()} == before
    compute(client, layer=looked, technique="channel", units=[0, 1], steps=4)
    new = {file for file in (folder / "units").rglob("*.parquet") if file not in before}
    assert len(new) == 1  # only unit 0


def test_a_feature_map_is_the_activation_at_every_position(client, looked, what):
    found = get(client, "map", layer=looked, unit=2, row=5)
    pixels = what.classifier.prepare(what.images[5])[None]
    activation = open_network(what.classifier).record(pixels, [looked]).activations[looked][0, 2]
    assert (found["low"], found["high"]) == pytest.approx((activation.min().item(), activation.max().item()), abs=1e-4)
    assert tuple(found["grid"]) == tuple(activation.shape)


def test_weights_to_the_next_layer_are_those_of_the_model(client, names, what):
    layer = names[-2]
    compute(client, layer=layer, technique="dataset")
    (reading,) = get(client, "unit", layer=layer, unit=0)["readings"]
    assert reading["layer"] == names[-1]
    weights = next(m for m in reversed(list(what.classifier.module.modules())) if isinstance(m, torch.nn.Linear)).weight
    found = {each["unit"]: each["weight"] for each in (*reading["positive"], *reading["negative"])}
    assert found == pytest.approx(dict(enumerate(weights[:, 0].tolist())))


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("layer", {"layer": "nothing"}, 404),
        ("layer", {"layer": "../../etc"}, 404),
        ("layer", {}, 422),
        ("layer", {"layer": "x" * 301}, 422),
        ("costs", {"layer": "nothing"}, 404),
        ("unit", {"layer": "nothing", "unit": 0}, 404),
        ("unit", {"unit": 10**6}, 404),
        ("unit", {"unit": -1}, 422),
        ("unit", {"unit": "a"}, 422),
        ("map", {"unit": 0, "row": 10**6}, 422),
        ("map", {"unit": 0, "row": -1}, 422),
        ("map", {"unit": 10**6, "row": 0}, 404),
        ("sprites/nothing/0", {}, 404),
        ("sprites/..%2f..%2frun.json/0", {}, 404),
        ("sprites/nothing/-1", {}, 404),
    ],
)
def test_what_does_not_exist_is_refused(client, looked, path, query, status):
    asked = ({"layer": looked} if "unit" in query and "layer" not in query else {}) | query
    assert client.get(f"/api/microscope/{path}", params=asked).status_code == status


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"layer": "nothing", "technique": "dataset"}, 404),
        ({"technique": "channel"}, 422),
        ({"technique": "channel", "units": [10**6]}, 422),
        ({"technique": "channel", "units": [-1]}, 422),
        ({"technique": "channel", "units": [0], "steps": 10**9}, 422),
        ({"technique": "dream", "units": [0]}, 422),
        ({"technique": "dream", "units": [0], "row": 10**6}, 422),
        ({"technique": "text", "units": [0]}, 422),
        ({"technique": "eval"}, 422),
    ],
)
def test_what_cannot_be_computed_is_refused(client, looked, wanted, status):
    assert client.post("/api/microscope/compute", json={"layer": looked, **wanted}).status_code == status


def test_without_the_model_the_folder_is_shown(client, looked, folder):
    with TestClient(make_app(Workbench(folder))) as reader:
        assert get(reader, "graph") == get(client, "graph")
        assert get(reader, "layer", layer=looked)["units"] == get(client, "layer", layer=looked)["units"]
        assert get(reader, "costs", layer=looked)["dataset"] is None
        assert reader.post("/api/microscope/compute", json={"layer": looked, "technique": "dataset"}).status_code == 409
        assert reader.get("/api/microscope/map", params={"layer": looked, "unit": 0, "row": 0}).status_code == 409


def test_everything_that_a_static_copy_asks_is_answered(client, looked, folder):
    paths = list(exported(Workbench(folder)))
    assert "/microscope/graph" in paths
    assert f"/microscope/unit?layer={looked}&unit=0" in paths
    for path in paths:
        assert client.get(f"/api{path}").status_code == 200


def test_texts_are_searched_for_the_units_of_a_clip_model(tmp_path):
    pytest.importorskip("transformers", reason="transformers is an optional dependency")
    declare_operators()
    source = f"clip:{save_clip(*new_clip(), tmp_path / 'clip')}"
    names = ["a photo of the digit one", "a photo of the digit two"]
    classifier = load_classifier(source, class_names=names)
    pixels = (digits()[0][:24].permute(0, 2, 3, 1) * 255).round().byte().numpy()
    images = ImageSet.from_arrays(pixels, [names[i % 2] for i in range(24)])
    with TestClient(application(tmp_path / "run", Opened(classifier, images))) as client:
        layer = "visual_projection"
        assert get(client, "layer", layer=layer)["text_possible"]
        job = compute(client, layer=layer, technique="text", units=[3])
        assert job["state"] == "done", job
        texts = get(client, "unit", layer=layer, unit=3)["texts"]
    scores = [score for _, score in texts]
    assert scores == sorted(scores, reverse=True)
    tower = load_text_tower(source.removeprefix("clip:"))
    values = torch.stack([classifier.prepare(images[i]) for i in range(24)])
    embeddings = open_network(classifier).record(values, [layer]).activations[layer]
    direction = unit_direction(embeddings[:, 3], embeddings)
    assert scores[0] == pytest.approx((tower.embed([texts[0][0]]) @ direction).item(), abs=1e-3)


def test_a_unit_lists_the_words_that_it_tells_apart_better_than_chance(looked, folder, what, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("*.lock"))
    store = UnitStore(copy)
    entry = next(e for e in store.entries() if (e.layer, e.technique) == (looked, "words"))
    kept = store.table(entry)
    assert len(kept)
    kept["low"] = np.where(np.arange(len(kept)) % 2, 0.51, 0.5)  # every second one is clear of chance
    kept.to_parquet(copy / entry.table, index=False)
    with TestClient(application(copy, what)) as client:
        for unit in sorted(set(kept["unit"])):
            listed = get(client, "unit", layer=looked, unit=int(unit))["words"]
            expected = kept[(kept["unit"] == unit) & (kept["low"] > 0.5)]
            assert [(each["word"], each["low"]) for each in listed] == [(w, 0.51) for w in expected["word"]]
