"""What a network returns is recognized, and the same network in another form is the same classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet, audit
from deeptroubles.attacks import pgd
from deeptroubles.attribution import gradient_x_input
from deeptroubles.errors import ModelError
from deeptroubles.network import open_network
from deeptroubles.network.head import penultimate_features
from deeptroubles.outputs import recognize, squashes, to_logits

SIZE = 12


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Flat(nn.Module):
    def forward(self, x):
        return x.squeeze()


def module(count, *after):
    torch.manual_seed(0)
    features = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*features, nn.Linear(4, count), *after)


@pytest.fixture
def pixels():
    return torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("values", "squashed", "expected"),
    [
        ([[2.0, -1], [0, 3]], None, "logits"),
        ([[0.7, 0.3], [0.1, 0.9]], None, "probabilities"),
        ([[0.7 * 0.99, 0.3 * 0.99], [0.1 * 0.99, 0.9 * 0.99]], None, "probabilities"),
        ([[70.0, 30], [10, 90]], None, "probabilities"),
        ([[0.9, 0.8], [0.1, 0.2]], None, "sigmoid"),
        ([[0.1, 0.2], [0.1, 0.3]], None, "logits"),
        ([[0.1, 0.2], [0.1, 0.3]], True, "sigmoid"),
        ([[0.9, 0.8], [0.1, 0.2]], False, "logits"),
        ([[2.0, 1.0], [2.0, 1.0]], None, "logits"),  # the same for every image: the sum means nothing
        ([[0.0, 0.0], [0.0, 0.0]], None, "logits"),
        ([[0.2], [0.9]], None, "sigmoid"),
        ([[0.2], [0.9]], False, "logits"),
        ([[-0.2], [0.9]], None, "logits"),
        ([[0.2], [1.9]], None, "logits"),
    ],
)
def test_what_values_are(values, squashed, expected):
    assert recognize(torch.tensor(values), squashed=squashed) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((), False),
        ((nn.ReLU(),), False),
        ((nn.Sigmoid(),), True),
        ((nn.Softmax(1), Scaled(0.99)), True),
        ((nn.Sigmoid(), Flat()), True),
    ],
)
def test_what_bounds_the_outputs_is_read_from_the_history(pixels, after, expected):
    assert squashes(module(3, *after)(pixels)) is expected
    assert squashes(module(3, *after)(pixels).detach()) is None


def test_a_sigmoid_inside_the_network_bounds_nothing(pixels):
    assert squashes(nn.Sequential(module(3, nn.Sigmoid()), nn.Linear(3, 2))(pixels)) is False


def test_several_sigmoids_become_the_probability_of_being_the_only_one():
    """Against a table of all combinations of present and absent classes."""
    p = torch.tensor([[0.9, 0.3, 0.6]], dtype=torch.double)
    alone = [p[0, k] * torch.prod(1 - p[0, [j for j in range(3) if j != k]]) for k in range(3)]
    expected = torch.stack(alone) / sum(alone)
    torch.testing.assert_close(to_logits(p, "sigmoid").softmax(1)[0], expected)


@pytest.mark.parametrize("outputs", ["logits", "sigmoid"])
def test_one_output_is_the_second_of_two_classes(outputs):
    z = torch.tensor([[-3.0], [0.0], [2.0]])
    logits = to_logits(z.sigmoid() if outputs == "sigmoid" else z, outputs)
    torch.testing.assert_close(logits.softmax(1)[:, 1], z[:, 0].sigmoid())
    torch.testing.assert_close(logits[:, 0], -logits[:, 1])


FORMS = {
    "softmax": (3, (nn.Softmax(1),), "probabilities"),
    "softmax, scaled": (3, (nn.Softmax(1), Scaled(0.99)), "probabilities"),
    "percent": (3, (nn.Softmax(1), Scaled(100.0)), "probabilities"),
    "sigmoids": (3, (nn.Sigmoid(),), "sigmoid"),
    "one sigmoid": (1, (nn.Sigmoid(),), "sigmoid"),
    "one sigmoid, squeezed": (1, (nn.Sigmoid(), nn.Flatten(0)), "sigmoid"),
    "one logit, squeezed": (1, (nn.Flatten(0),), "logits"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_network_in_another_form_is_the_same_classifier(pixels, form):
    count, after, outputs = FORMS[form]
    plain, other = (Classifier(module(count, *more), size=SIZE).eval() for more in ((), after))
    assert other.outputs == outputs
    torch.testing.assert_close(other(pixels).softmax(1), plain(pixels).softmax(1))
    assert torch.equal(other(pixels[:1]).argmax(1), plain(pixels[:1]).argmax(1))
    assert (other.classes, plain.classes) == (max(2, count),) * 2
    maps = [gradient_x_input(c, pixels, 1, against=0) for c in (plain, other)]
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-3, atol=1e-6)
    network = open_network(other)
    torch.testing.assert_close(network(pixels), other(pixels))
    torch.testing.assert_close(penultimate_features(network, pixels), penultimate_features(open_network(plain), pixels))


@pytest.mark.parametrize("after", [nn.Softmax(1), nn.Sigmoid()])
def test_saturated_outputs_keep_their_gradient(pixels, after):
    """Probabilities of exactly 0 and 1 have no gradient, but the logits before them do."""

    def steep(*more):
        return Classifier(module(3, Scaled(1e4), *more), size=SIZE).eval()

    maps = gradient_x_input(steep(after), pixels, 1, against=0)
    torch.testing.assert_close(maps, gradient_x_input(steep(), pixels, 1, against=0), rtol=1e-3, atol=1e-3)
    assert maps.abs().max() > 0


def test_a_network_with_one_output_is_attacked(pixels):
    classifier = Classifier(module(1), size=SIZE).eval()
    with torch.no_grad():
        classifier.module[-1].bias -= classifier.returned(pixels).mean()
    truth = classifier(pixels).argmax(1)
    found = pgd(classifier, pixels, truth, epsilon=0.5)
    assert (classifier(found.images).argmax(1) != truth).any()


@pytest.mark.parametrize("names", [["tumor"], ["not tumor", "tumor"]])
def test_one_output_takes_one_name_or_two(names):
    assert Classifier(module(1), size=SIZE, class_names=names).class_names == ("not tumor", "tumor")
    with pytest.raises(ModelError, match="has 1 output but 3 class names"):
        Classifier(module(1), size=SIZE, class_names=["a", "b", "c"])


class Bright(nn.Module):
    """One probability: 0.98 for images that are brighter than gray, 0.02 for others."""

    def forward(self, x):
        return torch.sigmoid(4 * torch.sign(x.mean((1, 2, 3)) - 0.5))


class Perfect(nn.Module):
    """Correct and confident for every color, in the form of `after`."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def forward(self, x):
        return self.after(12 * nn.functional.one_hot(x.mean((2, 3)).argmax(1), 3).float() - 6)


def colored(count):
    rng = np.random.default_rng(0)
    labels = [("red", "green", "blue")[i % 3] for i in range(count)]
    images = rng.integers(0, 100, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for i in range(count):
        images[i, ..., i % 3] += 100
    return ImageSet.from_arrays(images, labels)


@pytest.mark.parametrize(
    "after",
    [nn.Softmax(1), nn.Sequential(nn.Softmax(1), Scaled(0.99)), nn.Sigmoid()],
    ids=["softmax", "x0.99", "sigmoid"],
)
def test_a_perfect_network_is_calibrated_whatever_it_returns(after):
    classifier = Classifier(Perfect(after), size=SIZE, class_names=["red", "green", "blue"])
    found = audit(classifier, colored(60), checks=["performance.calibration"])
    assert found.findings[0].verdict == "pass", found.findings[0].claim
    assert "read as" in found.images.notes[0]
    assert "outputs read as" in found.model.preprocessing


def test_one_probability_is_audited_as_two_classes():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 120, 40) + np.arange(40) % 2 * 130
    images = np.repeat(levels.astype(np.uint8), SIZE * SIZE).reshape(40, SIZE, SIZE)
    classifier = Classifier(Bright(), size=SIZE, channels=1, class_names=["dark", "bright"])
    labels = ["bright" if i % 2 else "dark" for i in range(40)]
    found = audit(classifier, ImageSet.from_arrays(images, labels), checks=["performance.accuracy"])
    assert "100%" in found.findings[0].claim
    assert found.model.classes == 2
    assert "The model has one output, from 0.018 to 0.982" in found.images.notes[0]


def test_all_images_decide_and_not_the_first_look():
    """The drawn images of the first look all have values in [0, 1]; a photograph shows that they are logits."""

    class Dark(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                return x.mean((2, 3)) * torch.where(x.mean((1, 2, 3)) > 0.3, 1.0, -40.0)[:, None] + x[:, :, 0, 0] * 0

    classifier = Classifier(Dark(), size=SIZE, class_names=["red", "green", "blue"])
    assert classifier.outputs in {"sigmoid", "logits"}
    assert classifier.reading(torch.tensor([[0.9, 0.1, 0.8], [-3.0, 1.0, 2.0]])).outputs == "logits"
    assert classifier.reading(torch.tensor([[0.9, 0.1, 0.8], [0.2, 0.2, 0.1]])).outputs == "sigmoid"


def test_declared_outputs_stay_and_are_checked_on_all_images():
    declared = Classifier(Perfect(nn.Sigmoid()), size=SIZE, outputs="logits")
    assert declared.reading(torch.tensor([[0.9, 0.1, 0.8], [0.2, 0.2, 0.1]])) is declared
    sigmoid = Classifier(Perfect(nn.Sigmoid()), size=SIZE, outputs="sigmoid")
    with pytest.raises(ModelError, match=r"does not return sigmoids .* from -1 to 0\.9"):
        sigmoid.reading(torch.tensor([[0.9, -1.0, 0.8]]))


def test_reading_leaves_the_classifier_as_it_was():
    classifier = Classifier(module(3), size=SIZE)
    before = classifier.fingerprint()
    read = classifier.reading(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    assert (classifier.outputs, read.outputs) == ("logits", "probabilities")
    assert classifier.fingerprint() == before != read.fingerprint()
    assert read.module is classifier.module
