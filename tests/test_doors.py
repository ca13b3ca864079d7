"""What people have is taken: wrapped checkpoints, any pictures, class names, columns as they are written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from deeptroubles import Classifier, ImageSet, analyze_units, audit, load_images
from deeptroubles.attacks import fgsm, pgd
from deeptroubles.attribution import saliency
from deeptroubles.checks.registry import chosen_checks
from deeptroubles.errors import ImagesError, ModelError, UsageError, nearest
from deeptroubles.methods.fairness.groupings import fit_groups, groupings, one_column
from deeptroubles.methods.targets import as_batch, as_targets
from deeptroubles.models.shared.weights import load_weights
from deeptroubles.network import open_network
from deeptroubles.workflows.explain import compare_methods, explain_pictures

SIZE = 8


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.fixture
def classifier():
    return Classifier(module(), size=SIZE, class_names=["cat", "dog", "horse"]).eval()


# --- checkpoints


def under(prefix, **more):
    weights = {prefix + name: value for name, value in module().state_dict().items()}
    return weights | {name: torch.zeros(2) for name in more.get("others", ())}


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (under(""), ""),
        ({"state_dict": under("")}, ""),
        (under("module."), "w.pth: the prefix 'module.' was taken off the names of its weights."),
        (
            {"model": under("module.module.")},
            "w.pth: the prefix 'module.module.' was taken off the names of its weights.",
        ),
        (under("_orig_mod."), "w.pth: the prefix '_orig_mod.' was taken off the names of its weights."),
        ({"model_state_dict": under("net.")}, "w.pth: the prefix 'net.' was taken off the names of its weights."),
        (
            {"state_dict": under("model._orig_mod.", others=["criterion.weight", "auc.count"]), "epoch": 3},
            (
                "w.pth: the prefix 'model._orig_mod.' was taken off the names of its weights; 2 tensors without it "
                "were left out."
            ),
        ),
        (
            under("model.") | under("teacher.model."),
            "w.pth: the prefix 'model.' was taken off the names of its weights; 9 tensors without it were left out.",
        ),
    ],
    ids=["plain", "nested", "parallel", "twice", "compiled", "lightning", "lightning, compiled", "two models"],
)
def test_the_prefix_of_a_wrapper_is_taken_off(tmp_path, content, note):
    torch.save(content, tmp_path / "w.pth")
    empty = module()
    for value in empty.state_dict().values():
        value.zero_()
    assert load_weights(empty, tmp_path / "w.pth") == note
    for name, value in module().state_dict().items():
        assert torch.equal(empty.state_dict()[name], value)


def test_weights_of_another_network_are_refused_with_and_without_a_prefix(tmp_path):
    for weights in (under("", others=["extra"]), under("module.", others=["module.extra"]), {"a.b": torch.zeros(1)}):
        torch.save(weights, tmp_path / "w.pth")
        with pytest.raises(ModelError, match="does not fit the model"):
            load_weights(module(), tmp_path / "w.pth")


# --- values for 0..255


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mean": [123.7, 116.3, 103.5]}, r"mean is 123\.7, .*divided by 255 \(0\.485, 0\.456, 0\.406\)"),
        ({"std": [58.4, 57.1, 57.4]}, r"std is 58\.4, .*divided by 255 \(0\.229, 0\.224, 0\.225\)"),
        ({"std": [0.0]}, "std must be above 0"),
        ({"std": [float("nan")]}, "std must be above 0"),
        ({"mean": [float("nan")]}, r"pixels are in \[0, 1\]"),
    ],
)
def test_normalization_in_other_units_is_said(settings, sentence):
    with pytest.raises(ModelError, match=sentence):
        Classifier(module(), size=SIZE, **settings)


@pytest.mark.parametrize("attack", [pgd, fgsm])
def test_a_radius_in_other_units_is_said(classifier, attack):
    with pytest.raises(UsageError, match=r"Epsilon is 4, .*4/255 = 0\.0157"):
        attack(classifier, torch.rand(1, 3, SIZE, SIZE), 0, epsilon=4)


# --- pictures, names, bare modules


def test_pixels_are_taken_in_every_form(classifier, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    picture.save(tmp_path / "a.png")
    expected = classifier.prepare(picture)[None]
    forms = [picture, values, values / 255, tmp_path / "a.png", str(tmp_path / "a.png"), expected, expected[0]]
    forms += [expected.numpy(), expected[0].numpy(), [picture], [expected[0]], values[None], (values,)]
    for form in forms:
        torch.testing.assert_close(as_batch(classifier, form), expected)
    mixed = as_batch(classifier, [picture, tmp_path / "a.png", expected[0]])
    torch.testing.assert_close(mixed, expected.expand(3, -1, -1, -1))
    assert torch.equal(saliency(classifier, tmp_path / "a.png"), saliency(classifier, expected))


def test_pictures_that_cannot_be_taken(classifier, tmp_path):
    with pytest.raises(UsageError, match="no images"):
        as_batch(classifier, [])
    with pytest.raises(ImagesError, match="there is no such file"):
        as_batch(classifier, tmp_path / "none.png")
    with pytest.raises(ImagesError, match="shape"):
        as_batch(classifier, np.zeros((2, 3, 4, 5, 6)))


def test_classes_are_taken_by_name(classifier):
    logits = torch.zeros(2, 3)
    assert as_targets(classifier, "Dog", logits).tolist() == [1, 1]
    assert as_targets(classifier, ["horse", 0], logits).tolist() == [2, 0]
    with pytest.raises(UsageError, match=r"no class 'hors'; .* Did you mean horse\?"):
        as_targets(classifier, "hors", logits)
    pixels = torch.rand(1, 3, SIZE, SIZE)
    assert torch.equal(saliency(classifier, pixels, "dog"), saliency(classifier, pixels, 1))
    assert pgd(classifier, pixels, targets="dog", steps=2).images.shape == pixels.shape


@pytest.mark.parametrize(
    "call",
    [
        audit,
        lambda net, images: open_network(net),
        lambda net, images: explain_pictures(net, [images[0]], ["saliency"]),
        lambda net, images: compare_methods(net, images, ["saliency"]),
        lambda net, images: analyze_units(net, images, "nowhere"),
        lambda net, images: saliency(net, torch.rand(1, 3, SIZE, SIZE)),
        lambda net, images: pgd(net, torch.rand(1, 3, SIZE, SIZE), 0),
    ],
)
def test_a_bare_module_gets_a_sentence(call):
    images = ImageSet.from_arrays(np.zeros((2, SIZE, SIZE, 3), np.uint8))
    with pytest.raises(UsageError, match=r"not a Sequential; wrap the module .*Classifier\(module, size=224"):
        call(module(), images)


def test_one_check_needs_no_list():
    assert [check.name for check in chosen_checks("data.balance")] == ["data.balance"]
    with pytest.raises(UsageError, match=r"Did you mean data\.balance"):
        chosen_checks("data.balanc")


def test_what_was_refused_is_not_offered():
    assert nearest("path", ["path", "paths"]) == " Did you mean paths?"
    assert nearest("path", ["path"]) == ""


# --- manifests


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    lines = [["Path", "LABEL", "site"], ["a, b.png" if delimiter != "," else "a.png", "007", "x"]]
    (tmp_path / "m.csv").write_text("\n".join(delimiter.join(line) for line in lines) + "\n")
    images = load_images(tmp_path / "m.csv")
    assert list(images.table.columns) == ["path", "label", "site"]
    assert images.labels == ["007"]


def test_a_semicolon_inside_of_quotes_divides_nothing(tmp_path):
    (tmp_path / "m.csv").write_text('path,"a;b;c;d",label\nx.png,1,cat\n')
    assert load_images(tmp_path / "m.csv").labels == ["cat"]


def test_the_column_of_paths_is_named(tmp_path):
    (tmp_path / "m.tsv").write_text("path\tFile Name\tlabel\n7\t1.png\tcat\n")
    images = load_images(tmp_path / "m.tsv", path_column="file name")
    assert images.table["path"].tolist() == ["1.png"]
    assert images.table["given_path"].tolist() == [7] or images.table["given_path"].tolist() == ["7"]
    with pytest.raises(ImagesError, match=r"no column 'nme' \(it has: .*--path-column"):
        load_images(tmp_path / "m.tsv", path_column="nme")
    with pytest.raises(UsageError, match="is not a manifest"):
        load_images(tmp_path, path_column="x")


def test_columns_are_found_in_any_case_but_only_if_one_fits():
    images = ImageSet.from_arrays(np.zeros((2, 4, 4), np.uint8), columns={"Site": ["a", "b"], "K": [1, 2], "k": [3, 4]})
    assert images.labelled_by("site").labels == ["a", "b"]
    assert images.labelled_by("k").labels == ["3", "4"]
    fit_groups(["SITE"], images)
    with pytest.raises(UsageError, match=r"no column 'sit'.*Did you mean Site"):
        images.labelled_by("sit")
    with pytest.raises(UsageError, match="named twice"):
        fit_groups(["site", "Site"], images)


# --- groups


def test_case_and_spaces_make_no_group():
    values = ["Male", "male ", "male", " MALE", "fe  male", "Fe male", "Fe male", None, " "]
    found = one_column(pd.DataFrame({"sex": values}), "Sex")
    assert found.names == ("Fe male", "male")
    assert found.codes.tolist() == [1, 1, 1, 1, 0, 0, 0, -1, -1]


def test_numbers_are_cut_on_request():
    table = pd.DataFrame({"age": [3, 18, 64.9, 65, None, 90], "site": list("ababab")})
    found = one_column(table, "age:65,18")
    assert found.names == ("age below 18", "age 18 to below 65", "age 65 and more")
    assert found.codes.tolist() == [0, 1, 1, 2, -1, 2]
    assert one_column(table, "age:18,65,120").names == ("age below 18", "age 18 to below 65", "age 65 to below 120")
    assert [each.name for each in groupings(table, ["age:40", "site"])] == ["age", "site", "age × site"]
    assert one_column(table.rename(columns={"age": "age:40"}), "age:40").names[0].startswith("age:40 ")


def test_what_cannot_be_cut():
    images = ImageSet.from_arrays(np.zeros((2, 4, 4), np.uint8), columns={"site": ["a", "b"], "age": [1, 2]})
    fit_groups(["age:40"], images)
    with pytest.raises(UsageError, match="'site' cannot be cut at 40"):
        fit_groups(["site:40"], images)
    with pytest.raises(UsageError, match="no column 'age:old'"):
        fit_groups(["age:old"], images)
