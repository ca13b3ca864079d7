import json

import pytest
import torch
from PIL import Image

from deeptroubles.classifier import evaluating
from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier

transformers = pytest.importorskip("transformers", reason="transformers is an optional dependency")
SMALL = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_channels": 3}
SOFT = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}


@pytest.fixture
def save(tmp_path):
    def write(processor=None, names=("cat", "dog", "guinea pig"), **config):
        torch.manual_seed(0)
        labels = {"num_labels": 3} if names is None else {"id2label": dict(enumerate(names))}
        model = transformers.ResNetForImageClassification(transformers.ResNetConfig(**SMALL, **labels, **config))
        model.save_pretrained(tmp_path)
        if processor is not None:
            (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
        return f"hf:{tmp_path}"

    return write


PROCESSORS = {
    "squashed": {"image_processor_type": "ViTImageProcessor", "size": {"height": 40, "width": 48}, **SOFT},
    "convnext, cropped": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 56},
        "crop_pct": 0.875,
        "resample": 3,
        **SOFT,
    },
    "convnext, squashed": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 384},
        "crop_pct": 0.875,
        **SOFT,
    },
    "shorter side and crop": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 64},
        "do_center_crop": True,
        "crop_size": {"height": 56, "width": 56},
        "resample": 3,
        **SOFT,
    },
    "other range": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 40, "width": 40},
        "rescale_factor": 1 / 127.5,
        "image_mean": [1, 1, 1],
        "image_std": [1, 1, 1],
    },
}


@pytest.mark.parametrize("config", PROCESSORS.values(), ids=PROCESSORS)
def test_preprocessing_and_answers_are_those_of_transformers(save, config):
    source = save(config)
    classifier = load_classifier(source)
    folder = source.removeprefix("hf:")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)

    picture = Image.effect_mandelbrot((500, 400), (-2, -1.5, 1, 1.5), 100).convert("RGB").resize((333, 250))
    theirs = torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"])
    ours = (classifier.prepare(picture)[None] - classifier.mean) / classifier.std
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().mean() < 0.05
    with evaluating(classifier), torch.no_grad():
        torch.testing.assert_close(classifier(classifier.prepare(picture)[None]), model(ours).logits)
    assert classifier.class_names == ("cat", "dog", "guinea pig")


def test_a_processor_with_ways_of_its_own_is_refused(save):
    config = {"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 40}}
    source = save({**config, "do_center_crop": True, "crop_size": {"height": 36, "width": 36}})  # it swaps red and blue
    with pytest.raises(ModelError, match=r"MobileViTImageProcessor.* not supported; give --size"):
        load_classifier(source)
    assert load_classifier(source, size=36, mean=[0], std=[1]).size == (36, 36)


def test_without_a_processor_the_size_must_be_given(save):
    source = save()
    with pytest.raises(ModelError, match="--size"):
        load_classifier(source)
    assert load_classifier(source, size=40).size == (40, 40)


def test_generic_labels_are_no_names(save):
    assert not load_classifier(save(names=None), size=40).has_class_names


def test_a_model_without_a_trained_head_is_refused(save, tmp_path):
    source = save()
    transformers.ResNetModel(transformers.ResNetConfig(**SMALL)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="not a finished classifier"):
        load_classifier(source, size=40)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as an image classification model"):
        load_classifier(f"hf:{tmp_path}")
