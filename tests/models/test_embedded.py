import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image

from deeptroubles.classifier import evaluating
from deeptroubles.imagenet import imagenet_names
from deeptroubles.models import load_classifier


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("efficientnet-lite0")


def test_it_is_right_on_most_of_the_sample_pictures_of_foolbox(classifier):
    spec = importlib.util.find_spec("foolbox")  # found, not imported: only its pictures are wanted
    if spec is None:
        pytest.skip("foolbox, which brings the pictures, is not installed")
    files = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    labels = torch.tensor([int(file.stem.split("_")[-1]) for file in files])
    assert len(files) == 20

    pixels = torch.stack([classifier.prepare(Image.open(file)) for file in files])
    with evaluating(classifier), torch.no_grad():
        right = (classifier(pixels).argmax(1) == labels).sum()

    assert right >= 18


def test_it_comes_with_the_published_preprocessing_and_names(classifier):
    assert classifier.name == classifier.source == "efficientnet-lite0"
    assert (classifier.size, classifier.resize, classifier.interpolation) == ((224, 224), 256, "bicubic")
    byte = torch.tensor([0.0, 127.0, 255.0])
    torch.testing.assert_close((byte / 255 - classifier.mean[0, 0, 0]) / classifier.std[0, 0, 0], (byte - 127) / 128)
    assert classifier.has_class_names
    assert classifier.class_names[281] == "tabby"
    assert not any(module.training for module in classifier.module.modules())


def test_what_is_given_wins(classifier):
    names = [f"thing {i}" for i in range(1000)]
    other = load_classifier("efficientnet-lite0", size=128, class_names=names, name="mine", mean=None)
    assert (other.size, other.resize, other.name, other.class_names[7]) == ((128, 128), None, "mine", "thing 7")
    assert other.class_aliases == {}
    torch.testing.assert_close(other.mean, classifier.mean)


def test_loading_leaves_the_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_classifier("efficientnet-lite0")
    assert torch.equal(torch.get_rng_state(), before)


def test_imagenet_names_are_unique_and_read_well():
    names = imagenet_names()["class_names"]
    assert len({name.lower() for name in names}) == 1000
    assert [names[i] for i in (134, 517, 638, 639, 264, 474)] == [
        "crane bird",
        "construction crane",
        "maillot",
        "tank suit",
        "Cardigan Welsh corgi",
        "cardigan",
    ]


def test_imagenet_aliases_mean_one_class_each():
    aliases = imagenet_names()["class_aliases"]
    assert aliases["tabby cat"] == aliases["n02123045"] == aliases["tabby, tabby cat"] == 281
    assert aliases["rooster"] == aliases["cock"] == 7
    assert "crane" not in aliases
    assert all(alias == alias.lower() for alias in aliases)
