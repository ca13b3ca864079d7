import json
import re
import sys

import pytest
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.models import SOURCES, load_class_names, load_classifier


@pytest.mark.parametrize("source", ["resnet50", "model.xyz", ""])
def test_an_unknown_source_lists_the_forms(source):
    with pytest.raises(UsageError, match=r"give clip:NAME, efficientnet-lite0, .* or package.module:function"):
        load_classifier(source)


def test_a_near_miss_is_offered():
    with pytest.raises(UsageError, match=r"Did you mean efficientnet-lite0\?"):
        load_classifier("efficientnet_lite0")


@pytest.mark.parametrize("source", ["model.tflite", "folder/model.pb", "MODEL.H5"])
def test_formats_that_are_not_supported_yet_say_what_to_do(source):
    with pytest.raises(ModelError, match=r"not supported yet\. Export .*torch\.export\.save"):
        load_classifier(source)


def test_an_unknown_override_is_a_type_error():
    with pytest.raises(TypeError, match="'sise'"):
        load_classifier("efficientnet-lite0", sise=224)


def test_weights_are_refused_where_they_would_be_ignored():
    with pytest.raises(UsageError, match="brings its own weights"):
        load_classifier("efficientnet-lite0", weights="w.pt")


@pytest.mark.parametrize(
    ("source", "package", "extra"),
    [
        ("timm:resnet18", "timm", "timm"),
        ("torchvision:resnet18", "torchvision.models", "torchvision"),
        ("hf:microsoft/resnet-18", "transformers", "huggingface"),
        ("clip:openai/clip-vit-base-patch32", "transformers", "huggingface"),
    ],
)
def test_a_missing_extra_says_how_to_install_it(source, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=re.escape(f'pip install "deeptroubles[{extra}]"')):
        load_classifier(source)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
@pytest.mark.parametrize(("version", "matching"), [("2.6.0", "0.21"), ("2.13.0+cpu", "0.28")])
def test_the_torchvision_that_matches_torch_is_named(package, version, matching, monkeypatch):
    module = "torchvision.models" if package == "torchvision" else package
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("torch.__version__", version)
    with pytest.raises(
        ModelError, match=re.escape(f'"torchvision=={matching}.*", in the build that matches torch {version}')
    ):
        load_classifier(f"{package}:resnet18")


def test_every_form_finds_its_own_row(tmp_path):
    (tmp_path / "model.json").touch()
    forms = [
        "clip:a/b",
        "efficientnet-lite0",
        "a/b.keras",
        "a/b.onnx",
        "hf:a/b-c",
        "timm:a.b_c",
        "torchvision:a",
        "untrained:a",
    ]
    forms += ["a/b.pt2", "a.b.PT", str(tmp_path), "a.b:c"]
    for row, form in zip(SOURCES, forms, strict=True):
        first = next(r for r in SOURCES if (found := re.fullmatch(r.pattern, form)) and r.fits(found[1]))
        assert first is row


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "cat\nguinea pig\n\n"),
        ("names.txt", "\ufeffcat\r\nguinea pig\r\n"),
        ("names.json", json.dumps(["cat", "guinea pig"])),
        ("names.json", json.dumps({"1": "guinea pig", "0": "cat"})),
    ],
)
def test_class_names_from_a_file(tmp_path, file, text):
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert load_class_names(tmp_path / file) == ["cat", "guinea pig"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", ""),
        ("names.txt", "cat\n\ndog"),
        ("names.json", "{"),
        ("names.json", "[1, 2]"),
        ("names.json", '{"0": "cat", "2": "dog"}'),
        ("names.json", '{"cat": 0}'),
    ],
)
def test_bad_class_names_are_one_sentence(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=r"names\."):
        load_class_names(tmp_path / file)


def test_class_names_may_be_a_file_but_not_a_text(tmp_path, monkeypatch):
    (tmp_path / "names.txt").write_text("\n".join(f"thing {i}" for i in range(1000)))
    for path in (tmp_path / "names.txt", str(tmp_path / "names.txt")):
        assert load_classifier("efficientnet-lite0", class_names=path).class_names[7] == "thing 7"
    with pytest.raises(ModelError, match="give a list"):
        Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), size=2, class_names="ab")


def test_a_file_without_class_names_has_no_line_to_blame(tmp_path):
    (tmp_path / "names.txt").write_text("")
    with pytest.raises(UsageError, match="holds no class names"):
        load_class_names(tmp_path / "names.txt")


def test_a_missing_file_of_class_names(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_class_names(tmp_path / "names.txt")
