"""Gradients, maps and attacks come from the weights that the model has now, however they were changed."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, parametrizations, prune, vector_to_parameters

from deeptroubles import Classifier, open_network
from deeptroubles.attacks import pgd
from deeptroubles.attribution import guided_backprop, occlusion, saliency
from deeptroubles.classifier import evaluating
from tests.networks import Plain, Untraceable

SIZE = (16, 20)
PIXELS = torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


class Scaled(nn.Module):
    """A network with settings and tensors that are plain attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.factor, self.shift = Plain(), 1.0, torch.zeros(1, 4)

    def forward(self, x):
        return self.factor * self.inner(x).pow(2) + self.shift * x.mean((1, 2, 3))[:, None]


def load_assigned(module):
    module.load_state_dict(copy.deepcopy(Plain(seed=5).state_dict()), assign=True)


def replace_data(module):
    for parameter in module.parameters():
        parameter.data = parameter.data.flip(0).clone() * 2


def replace_parameter(module):
    module[4].weight = nn.Parameter(-module[4].weight.detach())


def replace_buffer(module):
    module[1].running_var = torch.full((6,), 3.0)


def replace_head(module):
    module[8] = Plain(seed=5)[8]


def replace_activation(module):
    module[5] = nn.Softplus()


def prune_weights(module):
    prune.l1_unstructured(module[4], "weight", 0.7)


def parametrize(module):
    parametrizations.weight_norm(module[4])
    with torch.no_grad():
        module[4].parametrizations.weight.original0.mul_(-3)


def from_vector(module):
    vector_to_parameters(-2 * parameters_to_vector(module.parameters()), module.parameters())


def in_place(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(-1.5)


def in_place_through_data(module):
    for parameter in module.parameters():
        parameter.data.mul_(-1.5)


def optimizer_step(module):
    module(PIXELS).square().sum().backward()
    torch.optim.SGD(module.parameters(), lr=10.0).step()
    module.zero_grad()


def add_hook(module):
    module[4].register_forward_hook(lambda _module, _inputs, output: -2 * output)


def transpose(module):
    module[4].weight.data = module[4].weight.data.transpose(2, 3)


CHANGES = [
    load_assigned,
    replace_data,
    replace_parameter,
    replace_buffer,
    replace_head,
    replace_activation,
    prune_weights,
    parametrize,
    from_vector,
    in_place,
    in_place_through_data,
    optimizer_step,
    add_hook,
    transpose,
]


def gradient(classifier):
    """The gradient of the first logit without any of our tracing."""
    pixels = PIXELS.clone().requires_grad_()
    with evaluating(classifier), torch.enable_grad():
        return torch.autograd.grad(classifier(pixels)[:, 0].sum(), pixels)[0]


@pytest.mark.parametrize("change", CHANGES)
def test_gradients_come_from_the_current_weights(change):
    classifier = Classifier(Plain().eval(), size=SIZE)
    before = saliency(classifier, PIXELS, 0)
    change(classifier.module)
    expected = gradient(classifier)
    assert (expected.sum(1) - before).abs().max() > 0.05 * before.abs().max()
    torch.testing.assert_close(saliency(classifier, PIXELS, 0), expected.sum(1), rtol=1e-4, atol=1e-6)
    with evaluating(classifier):
        logits = classifier(PIXELS).detach()
    torch.testing.assert_close(open_network(classifier).record(PIXELS, []).logits, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", [load_assigned, replace_data, in_place])
def test_maps_and_attacks_equal_those_of_a_fresh_classifier(change):
    """Also those that fuse batch normalization, and that keep a program for local edits."""
    used = Classifier(Plain().eval(), size=SIZE)
    labels = used(PIXELS).argmax(1)

    def results(classifier):
        attack = pgd(classifier, PIXELS, labels, epsilon=0.1, steps=5)
        return [guided_backprop(classifier, PIXELS, 1), occlusion(classifier, PIXELS, 1, window=4), attack.images]

    results(used)
    change(used.module)
    fresh = results(Classifier(copy.deepcopy(used.module), size=SIZE))
    for found, expected in zip(results(used), fresh, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def changed_factor(module):
    module.factor = -2.5


def changed_tensor(module):
    module.shift = torch.full((1, 4), 7.0)


def changed_tensor_in_place(module):
    module.shift += 7


@pytest.mark.parametrize("change", [changed_factor, changed_tensor, changed_tensor_in_place])
def test_plain_attributes_count_as_well(change):
    classifier = Classifier(Scaled().eval(), size=SIZE)
    saliency(classifier, PIXELS, 0)
    change(classifier.module)
    torch.testing.assert_close(saliency(classifier, PIXELS, 0), gradient(classifier).sum(1), rtol=1e-4, atol=1e-6)


def test_a_double_network_is_noticed():
    classifier = Classifier(Plain().eval(), size=SIZE)
    first = open_network(classifier)
    classifier.double()
    assert open_network(classifier) is not first


def test_a_network_without_a_graph_is_opened_again():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = Classifier(Untraceable().eval(), size=SIZE)
        assert "inner.9" not in [layer.name for layer in open_network(classifier).layers]
        classifier.module.inner.append(nn.Tanh())
        assert open_network(classifier).layers[-2].name == "inner.9"
        torch.testing.assert_close(saliency(classifier, PIXELS, 0), gradient(classifier).sum(1))


@pytest.mark.parametrize("change", [lambda _module: None, in_place, prune_weights])
def test_nothing_is_traced_twice_without_need(change):
    """Changes in place need no new trace, and what hooks set at each call is no change."""
    classifier = Classifier(Plain().eval(), size=SIZE)
    change(classifier.module)
    network = open_network(classifier)
    saliency(classifier, PIXELS, 0)
    classifier(PIXELS)
    classifier.train()
    in_place(classifier.module)
    assert open_network(classifier) is network
