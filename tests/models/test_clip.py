from __future__ import annotations

import pytest
import torch
from PIL import Image
from tests.small_clip import new_clip, save_clip

from deeptroubles.classifier import evaluating
from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier
from deeptroubles.models.clip import load_text_tower
from deeptroubles.network import TracedNetwork, open_network

transformers = pytest.importorskip("transformers", reason="transformers is an optional dependency")
TEXTS = ["a photo of a cat", "dog", "the red house"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(*new_clip(), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def classifier(folder):
    return load_classifier(f"clip:{folder}", class_names=TEXTS)


def test_its_answers_are_those_of_transformers(folder, classifier):
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    picture = Image.effect_mandelbrot((50, 40), (-2, -1.5, 1, 1.5), 100).convert("RGB")
    theirs = torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"])
    ours = (classifier.prepare(picture)[None] - classifier.mean) / classifier.std
    assert (ours - theirs).abs().mean() < 0.05
    read = tokenizer(TEXTS, return_tensors="pt", padding=True)
    with evaluating(classifier), torch.no_grad():
        expected = model(
            pixel_values=ours, input_ids=read["input_ids"], attention_mask=read["attention_mask"]
        ).logits_per_image
        torch.testing.assert_close(classifier(classifier.prepare(picture)[None]), expected)
    assert classifier.class_names == tuple(TEXTS)
    assert classifier.size == (16, 16)


def test_the_layer_of_its_text_tower_is_the_joint_embedding(folder, classifier):
    network, tower = open_network(classifier), load_text_tower(str(folder))
    assert isinstance(network, TracedNetwork)
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    recorded = network.record(pixels, [tower.layer])
    images = torch.nn.functional.normalize(recorded.activations[tower.layer], dim=1)
    scale = transformers.CLIPModel.from_pretrained(folder).logit_scale.exp()
    torch.testing.assert_close(recorded.logits, scale * images @ tower.embed(TEXTS).T, atol=1e-5, rtol=1e-5)


def test_the_weights_of_the_text_tower_are_no_part_of_the_classifier(classifier):
    assert {name.split(".")[1] for name, _ in classifier.named_parameters()} == {"vision_model", "visual_projection"}


def test_classes_must_be_named(folder):
    with pytest.raises(ModelError, match=r"name them.*--classes"):
        load_classifier(f"clip:{folder}")


def test_what_is_no_clip_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as a CLIP model"):
        load_classifier(f"clip:{tmp_path}", class_names=TEXTS)
    model = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=4
        )
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError):
        load_classifier(f"clip:{tmp_path}", class_names=TEXTS)
