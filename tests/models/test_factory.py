"""`package.module:function`, and how a classifier that behaves badly is refused."""

import pytest

from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier

MODULE = """
import torch
from torch import nn
from deeptroubles.classifier import Classifier


class Answering(nn.Module):
    def __init__(self, shape, channels=3):
        super().__init__()
        self.shape = shape
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    def forward(self, x):
        return self.shape(self.net(x))


def plain(): return Answering(lambda y: y)
def classifier(): return Classifier(plain(), size=16, mean=[0.5], class_names=list("abcde"), name="Fifi", output=None)
def gray(): return Answering(lambda y: y, channels=1)
def pair(): return Answering(lambda y: (y, y))
def dictionary(): return Answering(lambda y: {"scores": y, "features": y})
def softmax(): return Answering(lambda y: y.softmax(1))
def nan(): return Answering(lambda y: y * float("nan"))
def one(): return Answering(lambda y: y[:, :1])
def number(): return 7
def fails(): raise KeyError("weights")
def imports(): import no_such_package
def needs(path): return plain()


class Net(Answering):
    def __init__(self): super().__init__(lambda y: y)


model = plain()
"""


@pytest.fixture
def write(here):
    (here / "shop").mkdir()
    (here / "shop" / "nets.py").write_text(MODULE)


@pytest.mark.parametrize("name", ["plain", "Net"])
def test_a_module_with_its_size(write, name):
    classifier = load_classifier(f"shop.nets:{name}", size=20, class_names=list("vwxyz"))
    assert (classifier.size, classifier.classes, classifier.class_names[0]) == ((20, 20), 5, "v")
    assert classifier.source == classifier.name == f"shop.nets:{name}"


def test_a_classifier_says_it_all(write):
    classifier = load_classifier("shop.nets:classifier")
    assert (classifier.size, classifier.name, classifier.source) == ((16, 16), "Fifi", "shop.nets:classifier")


def test_what_is_given_wins_over_what_the_classifier_says(write):
    classifier = load_classifier("shop.nets:classifier", size=24, std=[2.0])
    assert (classifier.size, classifier.name, classifier.class_names) == ((24, 24), "Fifi", tuple("abcde"))
    assert classifier.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert classifier.std.flatten().tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        ("plain", {}, r"Nothing says how large .*--size"),
        ("plain", {"size": 20, "class_names": ["a", "b"]}, "5 outputs but 2 class names"),
        ("plain", {"size": 20, "channels": 1}, r"fails on an input of 2 x 1 x 20 x 20 .*--channels"),
        ("gray", {"size": 20}, r"fails on an input of 2 x 3 x 20 x 20 .*--channels"),
        ("plain", {"size": 20, "mean": [0.1, 0.2]}, "mean has 2 values for 3 channels"),
        ("plain", {"size": 20, "std": [0.0]}, "std must be above 0"),
        ("plain", {"size": 20, "interpolation": "area"}, "no interpolation 'area'; choose nearest"),
        ("plain", {"size": 20, "outputs": "probabilities"}, "does not return probabilities"),
        ("pair", {"size": 20}, r"a tuple of 2 entries, not one tensor .*--output"),
        ("pair", {"size": 20, "output": 2}, "no entry 2; it has a tuple of 2 entries"),
        ("dictionary", {"size": 20}, "a dictionary with 'scores', 'features'"),
        ("dictionary", {"size": 20, "output": "logits"}, "no entry 'logits'"),
        ("nan", {"size": 20}, "NaN"),
        ("number", {}, "returned an object of type int; it must return a Classifier"),
        ("fails", {}, r"fails failed: KeyError: 'weights' \(nets.py, line \d+\)"),
        ("imports", {}, "failed: ModuleNotFoundError: No module named 'no_such_package'"),
        ("needs", {}, "failed: TypeError"),
        ("plane", {}, r"no function plane .* Did you mean plain"),
        ("model", {}, "has no function model that returns a model"),
    ],
)
def test_what_goes_wrong_is_said_in_one_sentence(write, name, overrides, sentence):
    with pytest.raises(ModelError, match=sentence) as caught:
        load_classifier(f"shop.nets:{name}", **overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["nowhere:build", "shop.nowhere:build"])
def test_a_module_that_does_not_exist(write, source):
    with pytest.raises(ModelError, match="There is no Python module"):
        load_classifier(source)


def test_a_misspelt_place_is_offered(here):
    with pytest.raises(ModelError, match=r"Did you mean timm\?"):
        load_classifier("tim:resnet18")


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("gray", {"channels": 1}),
        ("pair", {"output": 1}),
        ("dictionary", {"output": "scores"}),
        ("softmax", {"outputs": "probabilities"}),
    ],
)
def test_odd_answers_are_fine_when_they_are_declared(write, name, overrides):
    classifier = load_classifier(f"shop.nets:{name}", size=20, **overrides)
    assert classifier.classes == 5
