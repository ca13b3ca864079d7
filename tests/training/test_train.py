"""Training from end to end: the same model after a kill, parts that keep together what belongs together, reloading."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import deeptroubles as dt
from deeptroubles import ImageSet, audit, load_classifier, load_images, load_trained, mend, read_audit, train
from deeptroubles.errors import ImagesError, ModelError, RunFolderError, UsageError
from deeptroubles.methods.transforms.shared.named_cue import drawn_cue, named_cue
from deeptroubles.methods.transforms.shared.overlay import lay
from deeptroubles.models.shared.small_networks import NETWORKS
from deeptroubles.training import learn as learning
from deeptroubles.training.fit import Schedule, fit
from deeptroubles.training.remedy import adversarial, calibrate, cue_at_random
from deeptroubles.training.split import given_split, related, split
from deeptroubles.training.views import random_views
from deeptroubles.workflows.train import WORK
from tests.photographs import crops


def tinted(count=60, classes=("red", "grün 2", "blue"), size=32):
    """Crops of photographs with a tint that tells the class."""
    pixels = crops(count, size).permute(0, 2, 3, 1).numpy() * 0.6
    pixels[np.arange(count), :, :, np.arange(count) % len(classes)] += 0.4
    return (pixels * 255).round().astype(np.uint8), [classes[i % len(classes)] for i in range(count)]


@pytest.fixture(scope="module")
def images():
    return ImageSet.from_arrays(*tinted())


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "a model"
    train(images, out, "untrained:plain", epochs=3)
    return out


def weights(classifier):
    return {name: tensor.clone() for name, tensor in classifier.module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_folder_is_a_model_with_classes_and_images_that_it_never_saw(images, folder):
    classifier = load_classifier(str(folder))
    assert classifier.class_names == ("blue", "grün 2", "red")
    held_out, everything = load_images(folder / "held_out.csv"), pd.read_csv(folder / "images.csv")
    assert set(held_out.labels) == set(classifier.class_names)
    assert len(everything) == len(images)
    assert everything["split"].value_counts().to_dict() == {"training": 38, "held_out": 12, "validation": 10}
    given = {images[row].tobytes() for row in range(len(images))}
    assert {held_out[row].tobytes() for row in range(len(held_out))} <= given
    facts = json.loads((folder / "model.json").read_text())
    right = [
        int(classifier(classifier.prepare(held_out[row])[None]).argmax()) == classifier.class_names.index(label)
        for row, label in enumerate(held_out.labels)
    ]
    assert facts["training"]["accuracy on held-out images"][0] == pytest.approx(np.mean(right))
    assert not (folder / WORK).exists()
    assert list(pd.read_csv(folder / "curves.csv")["epoch"]) == [1, 2, 3]


def test_an_audit_shows_how_the_model_learned(folder, tmp_path):
    model, held_out = load_classifier(str(folder)), load_images(folder / "held_out.csv")
    audit(model, held_out, tmp_path / "run", checks=["data.balance"])
    curves = read_audit(tmp_path / "run").model.learning_curves
    scores = pd.read_csv(folder / "curves.csv")
    assert [curve.title for curve in curves] == ["Loss", "Accuracy"]
    assert list(curves[0].series[0].y) == pytest.approx(scores["validation loss"].tolist())
    assert "How the model learned" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")  # the page's text


def test_a_killed_training_goes_on_to_the_same_model(images, folder, tmp_path, monkeypatch):
    out = tmp_path / "killed"
    calls = []

    def killed(*given, **more):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return random_views(*given, **more)

    monkeypatch.setattr(learning, "random_views", killed)
    with pytest.raises(KeyboardInterrupt):
        train(images, out, "untrained:plain", epochs=6, name="x")
    assert (out / WORK / "checkpoint.pt").is_file()
    monkeypatch.setattr(learning, "random_views", random_views)
    with pytest.raises(RunFolderError, match="another"):
        train(images, out, "untrained:plain", epochs=5, name="x")
    resumed = train(images, out, "untrained:plain", epochs=6, name="x")
    whole = train(images, tmp_path / "whole", "untrained:plain", epochs=6, name="x")
    assert same(weights(resumed.classifier), weights(whole.classifier))
    assert resumed.scores == whole.scores
    files = ("model.safetensors", "curves.csv")
    assert all((out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes() for file in files)


def test_a_last_layer_is_fitted_on_what_the_network_computes(images, folder, tmp_path):
    out = tmp_path / "probe"
    found = train(images, out, str(folder), depth="head")
    old, new = weights(load_classifier(str(folder))), weights(found.classifier)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"9.weight", "9.bias"}
    again = load_classifier(str(out))
    assert same(weights(again), new)
    assert found.scores[0]["training accuracy"] == 1


def test_only_the_last_stage_is_trained(images, folder, tmp_path):
    old = weights(load_classifier(str(folder)))
    new = weights(train(images, tmp_path / "stage", str(folder), depth="last", epochs=1).classifier)
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"5", "6", "9"}  # after the second pooling


def test_what_cannot_be_trained_says_why(images, folder, tmp_path):
    with pytest.raises(RunFolderError, match="trained model already"):
        train(images, folder)
    with pytest.raises(ImagesError, match="1 class"):
        train(ImageSet.from_arrays(tinted()[0], ["one"] * 60), tmp_path / "one")
    with pytest.raises(ImagesError, match="too few"):
        train(ImageSet.from_arrays(tinted()[0][:4], ["a", "b", "a", "b"]), tmp_path / "few", "untrained:plain")
    with pytest.raises(UsageError, match="no column 'patient'"):
        train(images, tmp_path / "group", group="patient")
    with pytest.raises(ModelError, match="There is no network vgh"):
        train(images, tmp_path / "network", "untrained:vgh")
    with pytest.raises(UsageError, match="no augmentation"):
        train(images, tmp_path / "views", augmentation="mixup")


def test_unreadable_images_are_left_out_and_counted(tmp_path):
    pixels, labels = tinted(24)
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / label / f"{i:02}.png")
    (tmp_path / "images" / "red" / "broken.png").write_bytes(b"no picture")
    found = train(load_images(tmp_path / "images"), tmp_path / "out", "untrained:plain", epochs=1)
    assert found.notes[0] == "1 image could not be read."
    assert "broken" not in (tmp_path / "out" / "images.csv").read_text()


def test_a_folder_runs_no_code(images, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from deeptroubles import load_classifier\n"
        "def build():\n    return load_classifier('untrained:plain', class_names=list('abcde'), size=32)\n"
    )
    monkeypatch.chdir(tmp_path)
    found = train(images, "out", "mine:build", depth="head")
    with pytest.raises(ModelError, match="cannot ask to run code"):
        load_classifier("out")
    base = load_classifier("untrained:plain", class_names=list("abcde"))
    assert same(weights(load_trained("out", base)), weights(found.classifier))


def test_damaged_and_newer_folders_are_refused(folder, tmp_path):
    for text, said in (("{", "cannot be read"), ('{"base": "untrained:plain", "format": 99}', "cannot be read")):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(ModelError, match=said):
            load_classifier(str(tmp_path))
    facts = json.loads((folder / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(ModelError, match="newer version"):
        load_classifier(str(tmp_path))
    with pytest.raises(ModelError, match="knows its size"):
        load_classifier(str(folder), size=64)


def test_a_better_validation_epoch_is_kept():
    network = torch.nn.Linear(2, 2)
    torch.manual_seed(0)
    inputs, classes = torch.randn(64, 2), torch.arange(64) % 2
    kept = []

    def validate():
        kept.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return {"validation loss": abs(len(kept) - 3)}

    scores = fit(network, lambda rows: inputs[rows], classes, Schedule(epochs=9, patience=4), validate=validate)
    assert len(scores) == 7
    assert same(dict(network.state_dict()), kept[2])


def test_what_belongs_together_is_in_one_part():
    random = np.random.default_rng(0)
    pixels = (crops(40, 32).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    pixels = np.concatenate([pixels, pixels[:10], np.clip(pixels[10:20].astype(int) + 6, 0, 255).astype(np.uint8)])
    digests = [str(image.tobytes()) for image in pixels]
    groups = [None] * 55 + ["one"] * 5
    together = related(pixels, digests, groups, side=32)
    assert (together[40:50] == together[:10]).all()
    assert (together[50:60] == together[10:20]).all()
    assert len(set(together[55:])) == 1
    classes = random.integers(0, 2, 60)
    parts = split(classes, together, ["a", "b"], seed=3)
    rows = np.concatenate([parts.training, parts.validation, parts.held_out])
    assert sorted(rows) == list(range(60))
    sides = {name: set(together[getattr(parts, name)]) for name in ("training", "validation", "held_out")}
    assert not sides["training"] & sides["held_out"]
    assert not sides["training"] & sides["validation"]
    assert not sides["validation"] & sides["held_out"]


def test_a_class_that_cannot_be_tested_is_learned_only():
    classes = np.array([0] * 20 + [1] * 20 + [2] + [3] * 12)
    together = np.arange(53)
    together[41:] = 41  # one patient has all images of the last class
    parts = split(classes, together, ["a", "b", "single", "one patient"], seed=0)
    assert {40, *range(41, 53)} <= set(parts.training.tolist())
    assert [note.split(" has ")[0] for note in parts.notes] == ["single", "one patient"]


def test_a_split_that_came_with_the_images_is_kept():
    parts = given_split(["train", "Test", "val", "train", None, "held-out"])
    assert [part.tolist() for part in (parts.training, parts.validation, parts.held_out)] == [[0, 3], [2], [1, 5]]
    assert given_split(["train", "test"]) is None


@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks_take_any_size_and_channels(name):
    for size, channels in ((16, 1), (40, 3)):
        network = NETWORKS[name](7, channels).eval()
        assert network(torch.rand(2, channels, size, size)).shape == (2, 7)


def test_views_show_parts_of_the_image():
    torch.manual_seed(0)
    pixels = torch.rand(50, 3, 16, 16)
    views = random_views(pixels, mirror=True)
    assert views.shape == pixels.shape
    inside = views[:, :, 2:-2, 2:-2]
    for image, view in zip(pixels, inside, strict=True):
        parts = torch.stack([image[:, y : y + 12, x : x + 12] for y in range(5) for x in range(5)])
        assert any((shown == part).all() for shown in (view, view.flip(-1)) for part in parts)


def test_adversarial_images_are_near_and_worse():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    pixels, classes = torch.rand(20, 3, 4, 4), torch.arange(20) % 3
    shown = adversarial(0.05)(network, pixels, classes)
    assert (shown - pixels).abs().max() <= 0.05 + 1e-6
    loss = torch.nn.functional.cross_entropy
    assert loss(network(shown), classes) > loss(network(pixels), classes) + 0.05


def test_a_cue_says_nothing_about_the_class():
    """In half of the images stands the cue, in the others something else in its place; the rest stays as it is."""
    torch.manual_seed(0)
    cue = named_cue("text:TAG@top-left:0.3")
    pixels = torch.rand(200, 3, 32, 32)
    shown = cue_at_random((cue,))(pixels)
    overlay = drawn_cue(cue, (32, 32), 3)
    outside = (overlay.cover[0, 0] == 0).expand(200, 3, -1, -1)
    changed = (shown != pixels).any(1).flatten(1).any(1)
    assert changed.all()
    there = (shown == lay(pixels, overlay)).flatten(1).all(1)
    assert 70 <= there.sum() <= 130
    torch.testing.assert_close(shown[there][outside[there]], pixels[there][outside[there]])


def test_a_temperature_is_that_of_the_lowest_loss(folder):
    classifier = load_classifier(str(folder))
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = (random.random((4000, 1)) > probabilities.cumsum(1)).sum(1)
    before = classifier(torch.zeros(1, 3, 32, 32))
    temperature = calibrate(classifier, logits * 3, targets)
    assert temperature == pytest.approx(3, rel=0.06)
    torch.testing.assert_close(classifier(torch.zeros(1, 3, 32, 32)) * temperature, before)


_CUES = [("cue", {"epochs": 1, "cue": ["text:TAG"]})]


def test_class_activation_maps_of_a_gap_head_are_exact(images, tmp_path):
    train(images, tmp_path / "gap", "untrained:vgg", head="gap", epochs=1)
    classifier = load_classifier(str(tmp_path / "gap"))
    pixels = torch.stack([classifier.prepare(images[row]) for row in range(3)])
    maps = dt.attribution.cam(classifier, pixels, 1)
    bias = classifier.module.head.bias[1]
    torch.testing.assert_close(maps.mean((1, 2)) + bias, classifier(pixels)[:, 1].detach(), rtol=1e-4, atol=1e-4)


def test_a_mended_model_holds_the_same_images_out(folder, tmp_path):
    for by, more in (("temperature", {}), ("textures", {"epochs": 1}), ("anti-aliased", {"epochs": 1}), *_CUES):
        mend(str(folder), tmp_path / by, by, **more)
        mended = load_classifier(str(tmp_path / by))
        assert mended.class_names == load_classifier(str(folder)).class_names
        before, after = (pd.read_csv(where / "held_out.csv") for where in (folder, tmp_path / by))
        assert len(before) == len(after)
        assert [Image.open(folder / path).tobytes() for path in before["path"]] == [
            Image.open(tmp_path / by / path).tobytes() for path in after["path"]
        ]
    assert same(
        {k: v.sign() for k, v in weights(load_classifier(str(tmp_path / "temperature"))).items()},
        {k: v.sign() for k, v in weights(load_classifier(str(folder))).items()},
    )


def test_a_remedy_says_what_it_needs(folder, tmp_path, images):
    for by, said in (("balanced", "--group"), ("cue", "--cue"), ("nothing", "no remedy")):
        with pytest.raises(UsageError, match=said):
            mend(str(folder), tmp_path / by, by)
    with pytest.raises(UsageError, match="--images"):
        mend("untrained:plain", tmp_path / "x", "temperature")
    with pytest.raises(ImagesError, match="names of the model's classes"):
        mend("untrained:plain", tmp_path / "y", "temperature", images)


def test_an_image_that_is_half_written_is_not_left(images, tmp_path, monkeypatch):
    """What a training that is killed leaves is taken for whole when it goes on."""

    def killed(self, file, *_given, **_more):
        with file.open("wb") if isinstance(file, Path) else nullcontext(file) as opened:
            opened.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(images, tmp_path / "killed", "untrained:plain", epochs=1)
    assert list(tmp_path.rglob("*.png")) == []
