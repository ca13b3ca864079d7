import pytest
import torch

from deeptroubles.classifier import evaluating
from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier

timm = pytest.importorskip("timm", reason="timm is an optional dependency", exc_type=ImportError)


@pytest.fixture
def model():
    return timm.create_model("test_resnet").eval()


def test_a_model_with_weights_from_a_file(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "w.pth")
    classifier = load_classifier("timm:test_resnet", weights=tmp_path / "w.pth")
    assert (classifier.name, classifier.classes, classifier.class_names[0]) == ("test_resnet", 1000, "tench")
    config = timm.data.resolve_model_data_config(model)
    assert (3, *classifier.size) == config["input_size"]
    assert classifier.resize == int(classifier.size[0] / config["crop_pct"])
    pixels = torch.rand(2, 3, *classifier.size)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with evaluating(classifier), torch.no_grad():
        torch.testing.assert_close(classifier(pixels), model((pixels - mean) / std))


def test_preprocessing_is_that_of_timm(model, tmp_path):
    from PIL import Image

    torch.save(model.state_dict(), tmp_path / "w.pth")
    classifier = load_classifier("timm:test_resnet", weights=tmp_path / "w.pth")
    config = timm.data.resolve_model_data_config(model)
    theirs = timm.data.create_transform(**config, is_training=False)
    for shape in ((300, 250), (200, 333), (90, 90)):
        picture = Image.effect_noise(shape, 60).convert("RGB")
        ours = (classifier.prepare(picture) - classifier.mean[0]) / classifier.std[0]
        torch.testing.assert_close(ours, theirs(picture), atol=1e-4, rtol=0)


def test_squashing_is_kept(tmp_path):
    from deeptroubles.models.timm import _preprocessing

    config = {"input_size": (3, 90, 90), "crop_pct": 0.9, "interpolation": "bicubic", "mean": (0,), "std": (1,)}
    assert _preprocessing({**config, "crop_mode": "squash"})["resize"] == (100, 100)
    assert _preprocessing({**config, "crop_mode": "center"})["resize"] == 100


def test_safetensors_and_own_classes(tmp_path):
    pytest.importorskip("safetensors", reason="comes with timm")
    from safetensors.torch import save_file

    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), tmp_path / "w.safetensors")
    classifier = load_classifier("timm:test_resnet", weights=tmp_path / "w.safetensors", class_names=["cat", "dog"])
    assert (classifier.classes, classifier.class_names, classifier.class_aliases) == (2, ("cat", "dog"), {})


def test_a_checkpoint_of_a_training_script(model, tmp_path):
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "w.pth")
    assert load_classifier("timm:test_resnet", weights=tmp_path / "w.pth").classes == 1000


def test_weights_that_do_not_fit(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="does not fit the model"):
        load_classifier("timm:test_resnet", weights=tmp_path / "w.pth", class_names=["cat", "dog"])


def test_weights_with_more_than_tensors_are_refused(model, tmp_path):
    torch.save(model, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"torch\.save\(model\.state_dict\(\), FILE\)"):
        load_classifier("timm:test_resnet", weights=tmp_path / "w.pth")


def test_weights_that_are_missing(tmp_path):
    with pytest.raises(ModelError, match="There is no weights file"):
        load_classifier("timm:test_resnet", weights=tmp_path / "w.pth")


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(ModelError, match=r"timm has no model resnet1800\. Did you mean"):
        load_classifier("timm:resnet1800")


def test_a_failed_download_points_to_a_local_file(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match="weights=FILE"):
        load_classifier("timm:resnet18")
