"""What holds for every method of the catalogue, and for every attribution method."""

from __future__ import annotations

import inspect
import subprocess
import sys
from functools import partial

import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.catalogue import ATTRIBUTION, METHODS, parse_settings
from tests.networks import Plain

SIZE = (20, 24)
NEVER_NEGATIVE = {
    "eigen_cam": "its sign is that of the activations, which come from a ReLU",
    "full_grad": "a sum of absolute values",
    "grad_cam_plus_plus": "the formula takes the positive gradients only, and activations come from a ReLU",
    "layer_cam": "the formula takes the positive gradients only, and activations come from a ReLU",
    "rise": "a mean of probabilities",
    "score_cam": "the weights are a softmax, and activations come from a ReLU",
}
"""On the network of this test; every other method must also find evidence against a class."""
QUICK = {"rise": {"masks": 40}, "smooth_grad": {"samples": 4}, "integrated_gradients": {"steps": 4}}


DOCUMENTED = [name for name, method in METHODS.items() if method.family in {"attribution", "attacks"}]


def attribute(name, *arguments, **settings):
    """Call a method with less work than by default, where the amount does not matter."""
    return partial(ATTRIBUTION[name].function, **QUICK.get(name, {}))(*arguments, **settings)


def new():
    return Classifier(Plain(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


@pytest.fixture(scope="module")
def classifier():
    return new()


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def test_the_catalogue_imports_no_torch():
    code = (
        "import sys, deeptroubles; from deeptroubles.methods.catalogue import METHODS\n"
        "assert all(m.summary for m in METHODS.values()) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_method_is_the_function_of_its_file_and_documented(name):
    method = METHODS[name]
    assert method.docstring, f"{method.file} has no function {name}; helpers of several methods go into shared/"
    assert method.function.__module__.endswith(f".{name}")
    missing = [section for section in ("Args:", "Returns:", "References:") if section not in method.docstring]
    assert not missing
    assert method.family != "attribution" or "Raises:" in method.docstring


@pytest.mark.parametrize("name", DOCUMENTED)
def test_parameters_have_a_type_a_description_and_a_default_in_their_range(name):
    for parameter in METHODS[name].parameters.values():
        assert parameter.type, parameter.name
        assert parameter.description, f"Args of {name} has no line for {parameter.name}"
        if type(parameter.default) in {int, float}:
            assert parameter.range, f"give {parameter.name} a type of methods/parameters.py"
            assert parameter.allows(parameter.default), parameter.name


def test_settings_are_read_from_text():
    method = METHODS["integrated_gradients"]
    assert parse_settings(method, ["steps=64", "batch_size=8"]) == {"steps": 64, "batch_size": 8}
    assert parse_settings(METHODS["lrp"], ["rule=gamma", "gamma=0.5"]) == {"rule": "gamma", "gamma": 0.5}
    for text, message in (
        ("steps=0", "int, at least 1"),
        ("stepz=3", "steps"),
        ("steps", "NAME=VALUE"),
        ("steps=x", "int"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_settings(method, [text])


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_every_method_is_called_in_the_same_way(name):
    parameters = list(inspect.signature(ATTRIBUTION[name].function).parameters.values())
    assert [p.name for p in parameters[:3]] == ["classifier", "images", "target"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[3:])


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_what_is_random_is_decided_by_a_seed(name, classifier, images):
    first = attribute(name, classifier, images, 1)
    torch.manual_seed(5)
    assert torch.equal(first, attribute(name, classifier, images, 1))
    if "seed" in inspect.signature(ATTRIBUTION[name].function).parameters:
        assert not torch.equal(first, attribute(name, classifier, images, 1, seed=1))


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_one_class_can_be_explained_against_another(name, classifier, images):
    """The map of a class against another differs from that of the class alone."""
    if "against" not in inspect.signature(ATTRIBUTION[name].function).parameters:
        assert name == "eigen_cam"  # it does not depend on the class
        return
    lead = attribute(name, classifier, images, 1, against=2)
    assert not torch.allclose(lead, attribute(name, classifier, images, 1))
    assert torch.allclose(lead, attribute(name, classifier, images, [1, 1, 1], against=[2, 2, 2]))


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_one_map_per_image_whatever_the_batch(name, classifier, images):
    maps = attribute(name, classifier, images, 1)
    assert maps.ndim == 3
    assert len(maps) == 3
    assert torch.isfinite(maps).all()
    assert bool((maps < -1e-6).any()) == (name not in NEVER_NEGATIVE), (
        f"if the maps of {name} are never negative by definition, add it to NEVER_NEGATIVE with the reason; "
        "if it is listed there and its maps are negative, remove it"
    )
    alone = torch.cat([attribute(name, classifier, image, 1) for image in images])
    assert torch.allclose(maps, alone, atol=1e-5)


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_the_default_target_is_the_most_likely_class(name, classifier, images):
    likely = classifier.eval()(images).argmax(1)
    assert torch.equal(attribute(name, classifier, images), attribute(name, classifier, images, likely))


@pytest.mark.parametrize("name", ATTRIBUTION)
@pytest.mark.parametrize("training", [True, False])
def test_it_restores_what_it_touches(name, images, training):
    classifier = new().train(training)
    for parameter in classifier.parameters():
        parameter.requires_grad_(training)
    state, running = torch.get_rng_state(), classifier.module[1].running_mean.clone()
    with torch.no_grad():
        first = attribute(name, classifier, images, 0)
    with torch.inference_mode():
        second = attribute(name, classifier, images, 0)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert all(m.training == training for m in classifier.modules())
    assert all(p.requires_grad == training and p.grad is None for p in classifier.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in classifier.modules())
    assert torch.equal(running, classifier.module[1].running_mean)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", ATTRIBUTION)
def test_it_restores_after_a_failure_too(name, classifier, images):
    classifier.train()
    with pytest.raises(UsageError, match="Targets must be"):
        attribute(name, classifier, images, 99)
    assert all(m.training for m in classifier.modules())
    assert not any(m._forward_hooks for m in classifier.modules())


@pytest.mark.parametrize("name", ATTRIBUTION)
@pytest.mark.parametrize(
    ("wrong", "message"), [(torch.zeros(1, 3, 9, 9), "the shape"), (torch.full((1, 3, *SIZE), 2.0), r"in \[0, 1\]")]
)
def test_wrong_pixels_are_errors(name, classifier, wrong, message):
    with pytest.raises(UsageError, match=message):
        attribute(name, classifier, wrong)
