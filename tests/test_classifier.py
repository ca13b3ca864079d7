from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ModelError


class Net(nn.Module):
    """Convolution, batch norm, dropout and a head: everything whose mode matters, and any shape of output."""

    def __init__(self, channels=3, answer=lambda logits: logits):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)
        self.answer = answer

    def forward(self, x):
        return self.answer(self.head(self.drop(self.norm(self.conv(x)).relu().mean((2, 3)))))


def gradient(width, height, mode="RGB"):
    """A picture in which every pixel says where it is."""
    x, y = np.meshgrid(np.arange(width) * 255 / width, np.arange(height) * 255 / height)
    return Image.fromarray(np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)).convert(mode)


# --- from a picture to pixels


def reference(image, size, resize):
    """What prepare does, written plainly: scale the sides, cut out the middle, divide by 255."""
    height, width = size
    w, h = image.size
    if isinstance(resize, tuple):
        h, w = resize
    else:
        scale = max(height / h, width / w, (resize or 0) / min(w, h))
        w, h = max(width, int(w * scale + 1e-9)), max(height, int(h * scale + 1e-9))
    array = np.asarray(image.resize((w, h), Image.Resampling.BICUBIC), dtype=np.float32)
    top, left = round((h - height) / 2), round((w - width) / 2)
    return torch.from_numpy(array[top : top + height, left : left + width] / 255).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("shape", "size", "resize"),
    [*product([(40, 40), (64, 48), (31, 77), (500, 20), (16, 24)], [(24, 24), (16, 28)], [None, 32, (40, 30)])],
)
def test_prepare_is_the_plain_reference(shape, size, resize):
    picture = gradient(*shape)
    pixels = Classifier(Net(), size=size, resize=resize, interpolation="bicubic").prepare(picture)
    assert pixels.shape == (3, *size)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    torch.testing.assert_close(pixels, reference(picture, size, resize))


def test_a_picture_of_the_right_size_is_left_alone():
    picture = gradient(24, 16)
    pixels = Classifier(Net(), size=(16, 24)).prepare(picture)
    assert (pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().tobytes() == picture.tobytes()
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_proportions_are_kept_even_when_resize_is_below_the_size():
    pixels = Classifier(Net(), size=(16, 32), resize=20).prepare(gradient(64, 64))
    step_right, step_down = pixels[0].diff(dim=1).mean(), pixels[1].diff(dim=0).mean()
    torch.testing.assert_close(step_right, step_down, rtol=0.05, atol=0)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_kind_are_converted(mode, channels):
    pixels = Classifier(Net(channels), size=16, channels=channels).prepare(gradient(20, 20, mode))
    assert pixels.shape == (channels, 16, 16)


def test_more_channels_than_a_picture_has():
    classifier = Classifier(Net(5), size=16, channels=5)
    assert classifier(torch.rand(2, 5, 16, 16)).shape == (2, 5)
    with pytest.raises(ModelError, match="call methods with tensors"):
        classifier.prepare(gradient(20, 20))


# --- from pixels to logits


def test_forward_normalizes_per_channel():
    net = Net().eval()
    classifier = Classifier(net, size=16, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    pixels = torch.rand(2, 3, 16, 16)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(classifier(pixels), net((pixels - mean) / std))


class Answer(NamedTuple):
    logits: Any
    hidden: Any


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (lambda y: (y * 2, y), 1),
        (lambda y: [y, y * 2], 0),
        (lambda y: {"scores": y, "other": y * 2}, "scores"),
        (lambda y: {"logits": y, "other": y * 2}, None),
        (lambda y: Answer(y, y * 2), None),
        (lambda y: Answer(y * 2, y), "hidden"),
    ],
)
def test_logits_are_picked_out_of_any_answer(answer, output):
    pixels = torch.rand(2, 3, 16, 16)
    picked, plain = Classifier(Net(answer=answer), size=16, output=output), Classifier(Net(), size=16)
    with evaluating(picked), evaluating(plain):
        torch.testing.assert_close(picked(pixels), plain(pixels))


def test_probabilities_become_logits_that_say_the_same():
    pixels = torch.rand(2, 3, 16, 16)
    declared = Classifier(Net(answer=lambda y: y.softmax(1)), size=16, outputs="probabilities")
    plain = Classifier(Net(), size=16)
    with evaluating(declared), evaluating(plain):
        torch.testing.assert_close(declared(pixels), plain(pixels).log_softmax(1))


def test_a_probability_of_zero_stays_finite():
    def certain(y):
        return torch.nn.functional.one_hot(y.argmax(1), 5).float()

    logits = Classifier(Net(answer=certain), size=16, outputs="probabilities")(torch.rand(2, 3, 16, 16))
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"class_names": ["a", "b"]}, "5 outputs but 2 class names"),
        ({"class_names": []}, "5 outputs but 0 class names"),
        ({"channels": 1}, "--channels"),
        ({"mean": [0, 0]}, "mean has 2 values for 3 channels"),
        ({"std": [1, 0, 1]}, "std must be above 0"),
        ({"interpolation": "area"}, "no interpolation 'area'"),
        ({"outputs": "probabilities"}, "does not return probabilities"),
        ({"outputs": "sigmoid"}, "does not return sigmoids"),
        ({"outputs": "softmax"}, "no outputs 'softmax'; choose logits"),
    ],
)
def test_settings_that_do_not_fit(options, sentence):
    with pytest.raises(ModelError, match=sentence):
        Classifier(Net(), size=16, **options)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda y: (y, y), "a tuple of 2 entries"),
        (lambda y: {"scores": y}, "a dictionary with 'scores'"),
        (lambda y: y / 0 * 0, "NaN"),
        (lambda y: y[:, :, None], "2 x 5 x 1"),
        (lambda y: y[0], "tensor of 5 x 1;"),
        (lambda y: "cat", "a str"),
        (lambda y: y + torch.randn_like(y), "different logits for the same image from call to call"),
        (lambda y: y - y.mean(0), "depending on the other images"),
        (lambda y: y.view(2, 5), "takes any number of images"),
    ],
)
def test_outputs_that_are_no_logits(answer, sentence):
    with pytest.raises(ModelError, match=sentence):
        Classifier(Net(answer=answer), size=16)


def test_classes_without_names():
    classifier = Classifier(Net(), size=16)
    assert not classifier.has_class_names
    assert classifier.class_names == ("class 0", "class 1", "class 2", "class 3", "class 4")


# --- what it touches, it puts back


def test_construction_and_evaluating_leave_everything_as_it_was():
    net = Net()
    net.norm.eval()
    net.conv.weight.requires_grad_(False)
    modes = [m.training for m in net.modules()]
    needs = [p.requires_grad for p in net.parameters()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    torch.manual_seed(1)
    before = torch.get_rng_state()

    classifier = Classifier(net, size=16)
    with evaluating(classifier):
        assert not any(m.training for m in classifier.modules())

    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == needs
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in net.state_dict().items():  # batch norm has counted no batch
        torch.testing.assert_close(value, state[key])


# --- the fingerprint


def test_the_fingerprint_is_stable():
    one, other = Classifier(Net(), size=16), Classifier(Net(), size=16, name="other", source="elsewhere")
    assert one.fingerprint() == one.fingerprint() == other.fingerprint()
    one.train()
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(
    "options",
    [
        {"size": 18},
        {"size": (16, 18)},
        {"resize": 20},
        {"resize": (20, 20)},
        {"interpolation": "bicubic"},
        {"mean": [0.1]},
        {"std": [0.5]},
        {"class_names": list("abcde")},
    ],
    ids=str,
)
def test_the_fingerprint_knows_the_preprocessing_and_the_names(options):
    plain = Classifier(Net(), size=16)
    assert Classifier(Net(), **{"size": 16, **options}).fingerprint() != plain.fingerprint()


def test_the_fingerprint_knows_the_weights_and_the_statistics():
    classifier = Classifier(Net(), size=16)
    seen = {classifier.fingerprint()}
    for tensor in (classifier.module.head.bias, classifier.module.norm.running_mean):
        with torch.no_grad():
            tensor.view(-1)[-1] += 1e-6
        seen.add(classifier.fingerprint())
    assert len(seen) == 3


def test_the_fingerprint_takes_every_kind_of_tensor():
    net = Net()
    net.register_buffer("flags", torch.tensor([True, False]))
    net.register_buffer("halves", torch.ones(3, dtype=torch.bfloat16))
    net.register_buffer("turned", torch.arange(6.0).view(2, 3).T)
    assert len(Classifier(net, size=16).fingerprint()) == 32


def test_the_preprocessing_in_words():
    classifier = Classifier(Net(), size=(16, 24), resize=32, mean=[0.5], std=[0.25])
    assert classifier.describe_preprocessing() == (
        "bilinear, shorter side scaled to 32, center crop 24 x 16, 3 channel(s), "
        "(pixels - [0.5, 0.5, 0.5]) / [0.25, 0.25, 0.25]"
    )
    assert "scaled to 20 x 30 whatever" in Classifier(Net(), size=16, resize=(30, 20)).describe_preprocessing()
