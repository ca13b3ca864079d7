from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from deeptroubles import Classifier, open_network
from deeptroubles.errors import ModelError, NeedsGraphError
from deeptroubles.network import LOGITS, PIXELS, HookedNetwork, TracedNetwork
from tests.networks import Plain, Shared, Untraceable

SIZE = (16, 20)


@pytest.fixture(params=[Plain, Shared])
def classifier(request):
    torch.manual_seed(0)
    return Classifier(request.param(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


@pytest.fixture
def pixels():
    return torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def test_the_graph_equals_the_model_for_any_batch(classifier, pixels):
    network = open_network(classifier)
    assert isinstance(network, TracedNetwork)
    classifier.eval()
    for count in (1, 2, 5):
        assert torch.equal(network(pixels[:count]), classifier(pixels[:count]))


def test_it_is_opened_once(classifier):
    assert open_network(classifier) is open_network(classifier)


def test_layers_have_the_users_names():
    names = [layer.name for layer in open_network(Classifier(Shared(), size=SIZE)).layers]
    assert names == [
        ":sub",
        ":div",
        "first",
        "relu",
        "second",
        ":add",
        "relu@1",
        ":avg_pool2d",
        ":max_pool2d",
        ":cat",
        "mixed",
        ":relu",
        ":mean",
        "head",
    ]


def test_blocks_are_layers_too():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(4 * 14 * 18, 2))
    network = open_network(Classifier(model, size=SIZE))
    assert [layer.name for layer in network.layers][-5:] == ["0.0", "0.1", "0", "1", "2"]
    recorded = network.record(torch.rand(1, 3, *SIZE), ["0.1", "0"]).activations
    assert torch.equal(recorded["0"], recorded["0.1"])


def test_recording_equals_hooks(classifier, pixels):
    network, hooked = open_network(classifier), HookedNetwork(classifier)
    shared = [layer.name for layer in hooked.layers if layer.name in {each.name for each in network.layers}]
    once = [name for name in shared if name != "relu"]  # called twice: hooks see only its last call
    traced = network.record(pixels, once)
    plain = hooked.record(pixels, once)
    assert len(once) >= 4
    for name in once:
        assert torch.equal(traced.activations[name], plain.activations[name]), name
        assert network.layer(name).shape == traced.activations[name].shape[1:]


def test_recorded_activations_survive_in_place_operations(pixels):
    model = Shared().eval()
    network = open_network(Classifier(model, size=SIZE))
    recorded = network.record(pixels, ["first", "relu"]).activations
    assert (recorded["first"] < 0).any()
    assert torch.equal(recorded["first"].relu(), recorded["relu"])


@pytest.mark.parametrize("opened", [open_network, HookedNetwork])
def test_gradients_equal_autograd(classifier, pixels, opened):
    network = opened(classifier)
    layers = [PIXELS, "head" if isinstance(classifier.module, Shared) else "8"]
    _, gradients = network.gradients(pixels, layers, lambda logits: logits[:, 1] - logits[:, 0])
    inputs = pixels.clone().requires_grad_()
    logits = classifier.eval()(inputs)
    expected = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), inputs)[0]
    assert torch.allclose(gradients[PIXELS], expected, atol=1e-6)
    assert torch.equal(gradients[layers[1]][:, :2], torch.tensor([[-1.0, 1.0]]).expand(5, 2))


@pytest.mark.parametrize("opened", [open_network, HookedNetwork])
def test_activations_are_differentiable_and_the_logits_are_a_layer(classifier, pixels, opened):
    network = opened(classifier)
    inputs = pixels.clone().requires_grad_()
    kept = network.activations(inputs, [PIXELS, LOGITS])
    assert kept[PIXELS] is inputs
    assert network.layer(LOGITS).units == classifier.classes
    expected = torch.autograd.grad(classifier.eval()(inputs)[:, 0].sum(), inputs)[0]
    assert torch.allclose(torch.autograd.grad(kept[LOGITS][:, 0].sum(), inputs)[0], expected, atol=1e-6)


def test_gradients_of_a_layer_inside_a_residual_block(pixels):
    """A value that bypasses the layer must reach the end, too."""
    torch.manual_seed(0)
    network = open_network(Classifier(Shared(), size=SIZE))
    recorded, gradients = network.gradients(pixels, ["second", "relu"], lambda logits: logits[:, 2])
    step = torch.randn_like(gradients["second"]) * 1e-4
    rest = network.rest("second", pixels)
    change = rest(recorded.activations["second"] + step)[:, 2] - recorded.logits[:, 2]
    assert torch.allclose(change, (gradients["second"] * step).sum((1, 2, 3)), atol=1e-5)


def assigned(part, value):
    def change(x):
        changed = x.clone()
        changed[part(changed)] = value(x)
        return changed

    return change


@pytest.mark.parametrize(
    "change",
    [
        assigned(lambda _: (slice(None), 2), lambda x: x[:, 1]),
        assigned(lambda _: (slice(None), slice(0, 2), slice(1, None)), lambda x: x[:, :2, :-1]),  # a shift
        assigned(lambda _: (slice(None), slice(0, 2)), lambda x: x[:, 2:3]),  # one channel for two
        assigned(lambda _: (slice(None), 1), lambda x: x[:, 0, :1]),  # one row for all
        assigned(lambda _: (slice(None), 1), lambda _: 0.5),
        assigned(lambda x: x < 0.1, lambda _: 0.0),
        lambda x: torch.empty_like(x).copy_(x * 2),
        lambda x: torch.empty_like(x).copy_(x[:, :1]),
    ],
)
def test_assigning_to_a_part_of_a_tensor_has_a_gradient(pixels, change):
    """PyTorch has no derivative for `copy`, which an assignment becomes in the graph."""

    class Assigning(Shared):
        def forward(self, x):
            return self.head(self.mixed(torch.cat([self.first(x), change(self.second(self.first(x)))], 1)).mean((2, 3)))

    torch.manual_seed(0)
    classifier = Classifier(Assigning(), size=SIZE).eval()
    network = open_network(classifier)
    assert isinstance(network, TracedNetwork)
    assert torch.equal(network(pixels), classifier(pixels))
    inputs = pixels.clone().requires_grad_()
    expected = torch.autograd.grad(classifier(inputs)[:, 1].sum(), inputs)[0]
    found = network.gradients(pixels, [PIXELS], lambda logits: logits[:, 1])[1][PIXELS]
    assert torch.allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("layer", ["first", "relu", "second", ":add", "mixed", "head", PIXELS, LOGITS])
def test_the_rest_of_a_network_continues_from_a_layer_with_its_bypass(pixels, layer):
    torch.manual_seed(0)
    model = Shared().eval()
    network = open_network(Classifier(model, size=SIZE))
    recorded = network.record(pixels, [layer])
    assert torch.equal(network.rest(layer, pixels)(recorded.activations[layer]), recorded.logits)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_rest_of_a_network_from_the_middle_of_a_residual_block(pixels, mode):
    """Another value of the layer, computed by hand; the bypass belongs to the given pixels."""
    torch.manual_seed(0)
    model = Shared().eval()
    with mode():
        rest = open_network(Classifier(model, size=SIZE)).rest("second", pixels)
    other = torch.randn(5, 4, *SIZE, requires_grad=True)
    x = model.first(pixels).relu()
    pooled = [nn.functional.avg_pool2d(x, 2), nn.functional.max_pool2d((other + x).relu(), 2)]
    expected = model.head(model.mixed(torch.cat(pooled, 1)).relu().mean((2, 3)))
    assert torch.allclose(rest(other), expected, atol=1e-6)
    gradients = [torch.autograd.grad(logits[:, 1].sum(), other)[0] for logits in (rest(other), expected)]
    assert gradients[0].abs().sum() > 0
    assert torch.allclose(*gradients, atol=1e-7)


def test_no_grad_is_set_and_frozen_weights_work(classifier, pixels):
    for parameter in classifier.parameters():
        parameter.requires_grad_(False)
    network = open_network(classifier)
    with torch.inference_mode():
        _, gradients = network.gradients(pixels, [PIXELS], lambda logits: logits[:, 0])
    assert gradients[PIXELS].abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in classifier.parameters())


def test_weights_are_shared(classifier, pixels):
    network = open_network(classifier)
    before = network(pixels)
    with torch.no_grad():
        list(classifier.parameters())[-1].add_(1)
    assert torch.allclose(network(pixels), before + 1, atol=1e-5)


class GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient.clamp_min(0) * (x > 0)


def test_replaced_rules_equal_captum_where_modules_allow_it(pixels):
    """Guided backpropagation, which captum supports for module ReLUs that are used once and not in place."""
    attr = pytest.importorskip("captum.attr")
    model = Plain().eval()
    for i in (2, 5):
        model[i].inplace = False
    classifier = Classifier(model, size=SIZE)
    network = open_network(classifier).with_rule("relu", GuidedReLU.apply)
    _, gradients = network.gradients(pixels, [PIXELS], lambda logits: logits[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = attr.GuidedBackprop(model).attribute(pixels.clone().requires_grad_(), 1)
    assert torch.allclose(gradients[PIXELS], expected, atol=1e-7)


def test_replaced_rules_reach_functional_and_reused_relus(pixels):
    torch.manual_seed(0)
    network = open_network(Classifier(Shared(), size=SIZE))
    silent = network.with_rule("relu", torch.zeros_like)
    assert torch.allclose(silent(pixels), network.classifier.module.head.bias.expand(5, -1))
    assert not torch.allclose(network(pixels), silent(pixels))


def test_unknown_names_offer_the_nearest(classifier):
    network = open_network(classifier)
    with pytest.raises(ModelError, match="Did you mean relu"):
        network.with_rule("rellu", torch.relu)
    with pytest.raises(ModelError, match="has no layer"):
        network.layer("nothing")


def test_an_untraceable_model_is_hooked_with_one_warning(pixels):
    classifier = Classifier(Untraceable(), size=SIZE)
    with pytest.warns(UserWarning, match="module hooks are used instead"):
        network = open_network(classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_network(classifier) is network
    assert isinstance(network, HookedNetwork)
    assert network.table.last_spatial().name == "inner.5"
    assert torch.equal(network(pixels), classifier.eval()(pixels))
    assert network.record(pixels, ["inner.0"]).activations["inner.0"].shape == (5, 6, *SIZE)
    with pytest.raises(NeedsGraphError, match=r"occlusion instead"):
        network.with_rule("relu", torch.relu)
    with pytest.raises(NeedsGraphError):
        network.receptive_field("inner.0")


def test_a_spatial_layer_too_early_is_rejected():
    class Patches(nn.Module):
        """The shape of a vision transformer: positions only before the first block."""

        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.blocks = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.blocks(self.patches(x).flatten(2).mT).mean(1))

    network = open_network(Classifier(Patches(), size=SIZE))
    with pytest.raises(ModelError, match="vision transformer"):
        network.table.last_spatial()
