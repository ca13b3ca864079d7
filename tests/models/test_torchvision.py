from urllib.error import URLError

import pytest
import torch
from PIL import Image

from deeptroubles.classifier import evaluating
from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier

models = pytest.importorskip("torchvision.models", reason="torchvision is an optional dependency", exc_type=ImportError)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = models.resnet18().eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    return model, tmp_path / "w.pth"


def test_a_model_with_weights_from_a_file(saved):
    model, path = saved
    classifier = load_classifier("torchvision:resnet18", weights=path)
    assert (classifier.name, classifier.size, classifier.resize) == ("resnet18", (224, 224), 256)
    assert classifier.class_names[281] == "tabby"

    theirs = models.ResNet18_Weights.DEFAULT.transforms()
    for shape in ((300, 250), (200, 333)):
        picture = Image.effect_noise(shape, 60).convert("RGB")
        ours = (classifier.prepare(picture) - classifier.mean[0]) / classifier.std[0]
        torch.testing.assert_close(ours, theirs(picture), atol=1e-4, rtol=0)
    with evaluating(classifier), torch.no_grad():
        torch.testing.assert_close(classifier(classifier.prepare(picture)[None]), model(ours[None]))


def test_own_classes(tmp_path):
    torch.save(models.resnet18(num_classes=2).state_dict(), tmp_path / "w.pth")
    classifier = load_classifier("torchvision:resnet18", weights=tmp_path / "w.pth", class_names=["cat", "dog"])
    assert classifier.class_names == ("cat", "dog")


@pytest.mark.parametrize("name", ["resnet19", "fasterrcnn_resnet50_fpn"])
def test_an_unknown_name_offers_the_nearest(name):
    with pytest.raises(ModelError, match=f"no classification model {name}"):
        load_classifier(f"torchvision:{name}")


def test_a_failed_download_points_to_a_local_file(monkeypatch):
    def offline(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr(models, "get_model", offline)
    with pytest.raises(ModelError, match=r"no network.*weights=FILE"):
        load_classifier("torchvision:resnet18")
