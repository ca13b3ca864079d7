"""Looking at units: what is kept, that it is kept once, and that it says what a slow look says."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deeptroubles import ImageSet
from deeptroubles.errors import ModelError, RunFolderError, UsageError
from deeptroubles.methods.units.shared.activations import unit_activation
from deeptroubles.network import open_network
from deeptroubles.run.unit_store import UnitStore, folder_name
from deeptroubles.workflows.units import analyze_units
from deeptroubles.workflows.visualize import parse_units, visualize_units
from tests.digits import NAMES, trained, unseen

COUNT = 160
LAYERS = ["3", "8"]


@pytest.fixture(scope="module")
def shown():
    images, labels = unseen(COUNT)
    tags = ["yes" if label % 2 else "no" for label in labels.tolist()]
    arrays = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    return ImageSet.from_arrays(arrays, [NAMES[label] for label in labels], {"odd": tags}, name="digits")


@pytest.fixture(scope="module")
def run(shown, tmp_path_factory):
    out = tmp_path_factory.mktemp("units") / "run"
    return analyze_units(trained(), shown, out, LAYERS, samples=4, draw=3, steps=12)


def table(store, layer, technique):
    (entry,) = (e for e in store.entries() if (e.layer, e.technique) == (layer, technique))
    return entry, store.table(entry)


def activations(shown, layer) -> np.ndarray:
    classifier = trained()
    pixels = torch.stack([classifier.prepare(shown[i]) for i in range(len(shown))])
    return unit_activation(open_network(classifier).record(pixels, [layer]).activations[layer]).numpy()


@pytest.mark.parametrize("layer", LAYERS)
def test_statistics_and_samples_equal_a_slow_look(run, shown, layer):
    values = activations(shown, layer)
    _, statistics = table(run, layer, "statistics")
    assert np.allclose(statistics["high"], values.max(0), atol=1e-5)
    assert np.allclose(statistics["low"], values.min(0), atol=1e-5)
    assert np.allclose(statistics["mean"], values.mean(0), atol=1e-5)
    assert all(sum(counts) == COUNT for counts in statistics["histogram"])
    _, samples = table(run, layer, "samples")
    for unit in range(values.shape[1]):
        mine = samples[samples["unit"] == unit]
        top = mine[mine["kind"] == "top"].sort_values("rank")
        assert np.allclose(top["value"], np.sort(values[:, unit])[::-1][:4], atol=1e-5)
        assert np.allclose(values[top["position"], unit], top["value"], atol=1e-5)
        weak = mine[mine["kind"] == "weak"].sort_values("rank")
        assert np.allclose(weak["value"], np.sort(values[:, unit])[:4], atol=1e-5)
    assert set(samples["label"]) <= set(NAMES)


def test_crops_are_what_the_unit_saw(run, shown):
    entry, samples = table(run, "3", "samples")
    sheet = np.asarray(Image.open(run.path / entry.sprite.files[0]))
    top = samples.iloc[0]
    assert (top["kind"], top["rank"]) == ("top", 0)
    box = open_network(trained()).receptive_field("3").box(*divmod(int(top["cell"]), 8))
    assert box == tuple(top[["top", "left", "bottom", "right"]])
    height, width = box[2] - box[0], box[3] - box[1]
    if (height, width) == (entry.sprite.height, entry.sprite.width):
        image = np.asarray(shown[int(top["position"])])
        seen = sheet[:height, :width, 0] if sheet.ndim == 3 else sheet[:height, :width]
        assert np.abs(seen.astype(int) - image[box[0] : box[2], box[1] : box[3]]).max() <= 2


def test_words_name_the_class_of_every_class_unit(run):
    _, words = table(run, "8", "words")
    best = words.groupby("unit").first()
    named = [NAMES[unit] == word for unit, word in best["word"].items() if word in NAMES]
    assert sum(named) >= 5
    assert set(words["column"]) <= {"label", "odd"}


def test_pictures_come_with_their_trust(run):
    _, pictures = table(run, "8", "activation_maximization")
    assert list(pictures["unit"]) == [0, 0, 1, 1, 2, 2]
    assert {"fraction", "path", "told_by_pixels", "told_by_network", "agreement_pixels"} <= set(pictures)
    _, statistics = table(run, "8", "statistics")
    assert np.allclose(
        pictures["fraction"] * statistics["high"].iloc[pictures["unit"]].to_numpy(), pictures["activation"], rtol=1e-4
    )


def test_stored_pictures_hold_every_pixel(run):
    """What a file holds is what the activation was measured on."""
    entry, pictures = table(run, "8", "activation_maximization")
    sheet = np.asarray(Image.open(run.path / entry.sprite.files[0]).convert("L"))
    pixels = torch.from_numpy(sheet.reshape(6, 1, 8, 8).astype(np.float32) / 255)
    again = open_network(trained()).record(pixels, ["8"]).activations["8"]
    assert np.allclose(again[range(6), pictures["unit"]], pictures["activation"], atol=1e-4)


def test_a_second_run_computes_nothing(run, shown):
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()}
    analyze_units(trained(), shown, run.path, LAYERS, samples=4, draw=3, steps=12)
    assert {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()} == before


def test_a_missing_catalogue_entry_is_made_again(run, shown, tmp_path):
    other = analyze_units(trained(), shown, tmp_path / "run", ["8"], samples=4)
    catalogue = other.path / "units" / "catalogue.json"
    entries = json.loads(catalogue.read_text())
    catalogue.write_text(json.dumps([e for e in entries if e["technique"] != "samples"]))
    again = analyze_units(trained(), shown, tmp_path / "run", ["8"], samples=4)
    assert {e.technique for e in again.entries()} == {e["technique"] for e in entries}


def test_nothing_outside_of_the_folder_is_read(tmp_path):
    pd.DataFrame({"unit": [0]}).to_parquet(tmp_path / "secret.parquet")
    store = UnitStore(tmp_path / "run", "s")
    entry = store.keep("a", "statistics", {}, pd.DataFrame({"unit": [1]}))
    assert store.table(entry)["unit"].item() == 1
    evil = type(entry)(key="k", layer="a", technique="statistics", table="../secret.parquet")
    with pytest.raises(RunFolderError, match="outside"):
        store.table(evil)
    (tmp_path / "run" / "units" / "catalogue.json").write_text("[{]")
    with pytest.raises(RunFolderError, match="cannot be read"):
        store.entries()


@pytest.mark.parametrize("name", ["features.0", ":relu", "block@1:relu", "a/b", "..", "Ünits 3"])
def test_folder_names_are_plain_and_different(name):
    plain = folder_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", plain)
    assert plain == name or plain != folder_name(name.replace(":", "/") + "_")


def test_a_stopped_drawing_goes_on_where_it_stopped(shown, tmp_path):
    """Units are drawn some at a time, and a unit that is kept is not drawn again."""
    analyze_units(trained(), shown, tmp_path / "run", ["8"], samples=4, draw=2, steps=4)
    store = analyze_units(trained(), shown, tmp_path / "run", ["8"], samples=4, draw=5, steps=4)
    parts = [e.parameters["units"] for e in store.entries() if e.technique == "activation_maximization"]
    assert parts == [[0, 1], [2, 3, 4]]


def test_the_graph_similar_units_and_covers_are_kept(run):
    techniques = {entry.technique for entry in run.entries() if entry.layer == "8"}
    assert {"similar", "covers"} <= techniques
    (graph,) = (entry for entry in run.entries() if entry.technique == "graph")
    assert ["pixels", run.table(graph)["layer"].iloc[0]] in graph.facts["edges"]


def test_layers_and_units_are_parsed():
    classifier = trained()
    assert parse_units(classifier, "3") == ("3", None)
    assert parse_units(classifier, "3:0,2-4") == ("3", [0, 2, 3, 4])
    assert parse_units(classifier, "logits:seven,1") == ("logits", [7, 1])
    for text, message in (("3:99", "0 to 23"), ("3:x", "numbers and ranges"), ("logits:dog", "no class")):
        with pytest.raises(UsageError, match=message):
            parse_units(classifier, text)
    with pytest.raises(ModelError, match="no layer"):
        parse_units(classifier, "nothing:1")


@pytest.mark.parametrize("technique", ["maximize", "dream", "caricature", "maps", "filters"])
def test_every_technique_gives_pictures_with_captions(technique, shown):
    found = visualize_units(trained(), "3:0-2", technique, picture=shown[0], steps=4, images=shown)
    assert len(found.pictures) == len(found.captions)
    assert len(found.pictures) == {"maximize": 3, "dream": 2, "caricature": 2, "maps": 4, "filters": 3}[technique]
    assert all(np.isfinite(picture).all() for picture in found.pictures)


def test_a_picture_is_asked_for_where_one_is_needed():
    with pytest.raises(UsageError, match="--image"):
        visualize_units(trained(), "3", "dream")
    for settings in ({"parameterization": "maco"}, {"technique": "atlas"}):
        with pytest.raises(UsageError, match="--images"):
            visualize_units(trained(), "3:0", **settings)


def test_an_atlas_is_one_large_picture(shown):
    found = visualize_units(trained(), "6", "atlas", images=shown, steps=3)
    assert found.pictures[0].ndim == 3
    assert found.pictures[0].shape[1] > 28


def test_a_filter_that_the_first_convolution_does_not_have_is_refused():
    with pytest.raises(UsageError, match="filters 0 to"):
        visualize_units(trained(), "3:20", "filters")
