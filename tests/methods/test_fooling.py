"""Fooling images: what is returned is what a file holds, and evolution never loses."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.fooling_ascent import fooling_ascent
from deeptroubles.methods.attacks.map_elites import map_elites
from deeptroubles.methods.attacks.shared.cppn import INPUTS, Pattern
from deeptroubles.methods.attacks.shared.direct_encoding import ETA, Pixels
from deeptroubles.subject import logits_of
from tests.digits import trained
from tests.networks import Plain


def confidence_of_files(classifier, found):
    """Save every picture as a PNG, read it back, and ask the classifier."""
    shares = []
    for wanted, picture in zip(found.classes.tolist(), found.images.numpy(), strict=True):
        array = np.round(picture * 255).astype(np.uint8).transpose(1, 2, 0)
        buffer = io.BytesIO()
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(buffer, "PNG")
        pixels = classifier.prepare(Image.open(io.BytesIO(buffer.getvalue())))
        shares.append(float(logits_of(classifier, pixels[None]).softmax(1)[0, wanted]))
    return torch.tensor(shares)


@pytest.mark.parametrize(
    "make",
    [
        lambda c: fooling_ascent(c, [0, 1, 3]),
        lambda c: map_elites(c, encoding="direct", generations=3, children=40),
        lambda c: map_elites(c, encoding="cppn", generations=3, children=40),
    ],
)
def test_confidence_is_that_of_the_saved_file(make):
    for classifier in (trained(), Classifier(Plain().eval(), size=(9, 12))):
        found = make(classifier)
        assert torch.allclose(found.confidence.float(), confidence_of_files(classifier, found), atol=1e-5)
        assert torch.equal(found.images, make(classifier).images)


def test_a_digits_network_is_fooled():
    classifier = trained()
    ascended = fooling_ascent(classifier, range(10))
    assert (ascended.confidence > 0.99).all()
    assert (ascended.start < 0.99).any()
    evolved = map_elites(classifier, encoding="cppn", generations=30, children=100)
    assert evolved.confidence.median() > 0.9
    assert evolved.queries == 3100


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
def test_cells_never_get_worse(encoding):
    runs = [map_elites(trained(), encoding=encoding, generations=g, children=30).confidence for g in (0, 2, 5, 9)]
    for earlier, later in pairwise(runs):
        assert (later >= earlier).all()
    assert (runs[-1] > runs[0]).any()


def test_every_child_competes_in_every_cell():
    """After the first generation each cell holds the best of all children for its class."""
    classifier, random = trained(), np.random.default_rng(4)
    drawn = [Pixels.first((1, 8, 8), random).values for _ in range(25)]
    pixels = torch.from_numpy(np.round(np.stack(drawn) * 255) / 255).float()
    best = logits_of(classifier, pixels).double().softmax(1).amax(0)
    found = map_elites(classifier, encoding="direct", generations=0, children=25, seed=4)
    assert torch.allclose(found.confidence, best)


def test_polynomial_mutation_has_its_closed_form():
    """P(|step| < d) = 1 - (1 - d) ** (eta + 1) in the middle of the range, and a tenth of the pixels move."""
    gray = Pixels(np.full((1, 400, 400), 0.5, dtype=np.float32))
    steps = gray.child(gray, np.random.default_rng(0)).values - 0.5
    moved = np.abs(steps[steps != 0])
    assert moved.size / steps.size == pytest.approx(0.1, abs=0.005)
    for d in (0.02, 0.05, 0.1):
        assert (moved < d).mean() == pytest.approx(1 - (1 - d) ** (ETA + 1), abs=0.015)


def test_patterns_have_no_circles_and_draw_what_their_genes_say():
    random = np.random.default_rng(1)
    pattern = Pattern.first((3, 6, 8), random)
    for _ in range(200):
        pattern = pattern.child(pattern, random)
        depth = {**dict.fromkeys(INPUTS, 0.0), **{name: neuron.depth for name, neuron in pattern.neurons.items()}}
        assert all(depth[source] < depth[target] for source, target in pattern.weights)
    drawn = pattern.draw((3, 6, 8))
    assert drawn.shape == (3, 6, 8)
    assert np.isfinite(drawn).all()
    neurons = {"out0": Pattern.first((1, 2, 2), random).neurons["out0"].__class__(1.0, "linear")}
    ramp = Pattern(neurons, {("x", "out0"): 0.5}).draw((1, 1, 5))
    assert np.allclose(ramp[0, 0], [0.5, 0.25, 0, 0.25, 0.5])


def test_an_unknown_encoding_is_refused():
    with pytest.raises(UsageError, match="direct, cppn"):
        map_elites(trained(), encoding="neat")
