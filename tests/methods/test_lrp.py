"""LRP: conservation, known identities, slow loops, and captum where it is right."""

from __future__ import annotations

import warnings
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, NeedsGraphError, UsageError
from deeptroubles.methods.attribution.lrp import RULES, lrp, lrp_relevance
from tests.methods.lrp_networks import Dense, Gated, Ghost, Inception, Residual, Vgg
from tests.networks import Shared, Untraceable

SIZE = (16, 16)
NETWORKS = {"vgg": Vgg, "residual": Residual, "dense": Dense, "inception": Inception, "gated": Gated, "ghost": Ghost}


@pytest.fixture
def pixels():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@cache
def build(name):
    torch.manual_seed(1)
    return Classifier(NETWORKS[name](), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.3]).eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("rule", "alpha"), [*((rule, 1.0) for rule in RULES), ("alpha_beta", 2.0)])
def test_without_biases_all_of_the_score_reaches_the_pixels(name, rule, alpha, pixels):
    classifier = build(name)
    for target in (0, 1, 2):  # logits of both signs
        found = lrp_relevance(classifier, pixels, target, rule=rule, epsilon=0, alpha=alpha)
        scale = found.maps.abs().sum((1, 2))
        assert ((found.maps.sum((1, 2)) - found.score).abs() < 1e-4 * scale).all()
        assert torch.allclose(found.conservation, torch.ones(2), atol=2e-2)
        assert torch.allclose(found.score, classifier(pixels)[:, target], atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_absorbed_is_accounted_for(rule, pixels):
    torch.manual_seed(0)
    found = lrp_relevance(Classifier(Shared(), size=SIZE), pixels, 1, against=0, rule=rule)
    total = found.maps.sum((1, 2)) + sum(found.absorbed.values())
    assert torch.allclose(total, found.score, atol=1e-6)
    assert set(found.absorbed) >= {"conv2d", "linear", "add", "mean"}
    assert found.absorbed["linear"].abs().min() > 1e-4
    assert found.absorbed["relu"].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["vgg", "residual", "dense", "inception", "ghost"])
def test_epsilon_0_is_gradient_times_input_without_biases(name, pixels):
    """A known identity for networks of rectifiers, skips, concatenations, maxima and means."""
    classifier = build(name)
    inputs = pixels.clone().requires_grad_()
    gradient = torch.autograd.grad(classifier(inputs)[:, 1].sum(), inputs)[0]
    expected = (gradient * (pixels - classifier.mean)).sum(1)
    maps = lrp(classifier, pixels, 1, rule="epsilon", epsilon=0)
    assert expected.abs().max() > 1e-3
    assert torch.allclose(maps, expected, atol=1e-5 * float(expected.abs().max()) + 1e-6)


class Loops(nn.Module):
    """A linear layer on the pixels, a rectifier, a linear layer: small enough for loops."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(27, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.second(functional.relu(self.first(x.flatten(1))))


def contributions(weight, bias, x):
    """All z_ij, the bias as the last input."""
    rows = [[float(w) * float(v) for w, v in zip(row, x, strict=True)] for row in weight]
    return [[*row, float(b)] for row, b in zip(rows, bias, strict=True)]


def slow_alpha_beta(z, relevance, alpha):
    shares = [0.0] * len(z[0])
    for row, r in zip(z, relevance, strict=True):
        up, down = sum(v for v in row if v > 0), sum(v for v in row if v < 0)
        weight = 1.0 if down == 0 else 0.0 if up == 0 else alpha
        for i, v in enumerate(row):
            if v > 0:
                shares[i] += weight * v / up * r
            elif v < 0:
                shares[i] -= (weight - 1) * v / down * r
    return shares[:-1]


def slow_gamma(z, relevance, gamma):
    shares = [0.0] * len(z[0])
    for row, r in zip(z, relevance, strict=True):
        sign = 1 if sum(row) >= 0 else -1
        raised = [v + gamma * v if v * sign > 0 else v for v in row]
        for i, v in enumerate(raised):
            shares[i] += v / sum(raised) * r
    return shares[:-1]


def slow_epsilon(z, relevance, epsilon):
    scale = epsilon * (sum(sum(row) ** 2 for row in z) / len(z)) ** 0.5
    shares = [0.0] * len(z[0])
    for row, r in zip(z, relevance, strict=True):
        output = sum(row)
        for i, v in enumerate(row):
            shares[i] += v / (output + (scale if output >= 0 else -scale)) * r
    return shares[:-1]


def slow_box(weight, x, low, high, relevance):
    shares = [0.0] * len(x)
    for row, r in zip(weight.tolist(), relevance, strict=True):
        parts = [v * w - lo * max(w, 0) - hi * min(w, 0) for w, v, lo, hi in zip(row, x, low, high, strict=True)]
        for i, part in enumerate(parts):
            shares[i] += part / sum(parts) * r
    return shares


@pytest.mark.parametrize(
    ("settings", "slow"),
    [
        ({"rule": "alpha_beta", "alpha": 1.0}, lambda z, r: slow_alpha_beta(z, r, 1.0)),
        ({"rule": "alpha_beta", "alpha": 2.0}, lambda z, r: slow_alpha_beta(z, r, 2.0)),
        ({"rule": "gamma", "gamma": 0.3}, lambda z, r: slow_gamma(z, r, 0.3)),
        ({"rule": "epsilon", "epsilon": 0.1}, lambda z, r: slow_epsilon(z, r, 0.1)),
        ({"rule": "composite", "epsilon": 0.1}, None),
    ],
)
@pytest.mark.parametrize("target", [0, 1])
def test_rules_equal_slow_loops(settings, slow, target):
    torch.manual_seed(2)
    net, image = Loops(), torch.rand(3, 3, 3)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    maps = lrp(Classifier(net, size=3, mean=mean.tolist(), std=std.tolist()), image, target, **settings)
    with torch.no_grad():
        x = ((image - mean.view(3, 1, 1)) / std.view(3, 1, 1)).flatten()
        hidden = net.first(x).relu()
        start = torch.zeros(2)
        start[target] = net.second(hidden)[target]
        top = contributions(net.second.weight.tolist(), net.second.bias, hidden)
        bottom = contributions(net.first.weight.tolist(), net.first.bias, x)
    if slow is None:
        low, high = ((v - mean) / std for v in (0, 1))
        bounds = [edge.repeat_interleave(9).tolist() for edge in (low, high)]
        middle = slow_epsilon(top, start.tolist(), 0.1)
        shares = slow_box(net.first.weight, x.tolist(), *bounds, middle)
    else:
        middle = slow(top, start.tolist())
        shares = slow(bottom, middle)
    expected = torch.tensor(shares).view(3, 3, 3).sum(0)
    assert torch.allclose(maps[0], expected, atol=1e-5 * max(1, float(expected.abs().max())))


class Conv(nn.Sequential):
    """A plain sequence with modules of its own, as captum's LRP needs it."""

    def __init__(self, *, bias):
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1, bias=bias),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, bias=bias),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 5, bias=bias),
            nn.ReLU(),
            nn.Linear(5, 3, bias=bias),
        )


@pytest.mark.parametrize(
    ("settings", "rule", "bias"),
    [
        ({"rule": "epsilon", "epsilon": 0}, "EpsilonRule", True),
        ({"rule": "gamma", "gamma": 0.25, "epsilon": 0}, "GammaRule", False),
        ({"rule": "alpha_beta", "epsilon": 0}, "Alpha1_Beta0_Rule", False),
    ],
)
def test_equals_captum_on_a_plain_sequence(settings, rule, bias, pixels):
    """Where both mean the same: positive pixels and logits; no biases with gamma and alpha, which it leaves as are."""
    attr = pytest.importorskip("captum.attr")
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    torch.manual_seed(1)
    model = Conv(bias=bias).eval()
    logits = model(pixels)
    target = int(logits.min(0).values.argmax())
    assert (logits[:, target] > 0).all()
    ours = lrp(Classifier(model, size=SIZE), pixels, target, **settings)
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = getattr(rules, rule)()
        elif isinstance(module, nn.MaxPool2d | nn.AdaptiveAvgPool2d):
            module.rule = rules.EpsilonRule()
        elif isinstance(module, nn.Flatten):
            module.rule = rules.IdentityRule()
            module.rule._create_backward_hook_input = lambda inputs: lambda grad: grad * inputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = attr.LRP(model).attribute(pixels.clone(), target).sum(1).detach()
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


class Listed(nn.Module):
    """Its logits are put together from one number per image each."""

    def forward(self, x):
        left, right = x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))
        return torch.stack([3 * left, right], 1)


def test_values_of_one_number_per_image_are_read(pixels):
    found = lrp_relevance(Classifier(Listed(), size=SIZE), pixels, 0, rule="epsilon", epsilon=0)
    assert torch.allclose(found.maps[:, :, :8].sum((1, 2)), found.score, atol=1e-6)
    assert (found.maps[:, :, 8:] == 0).all()
    assert torch.allclose(found.conservation, torch.ones(2), atol=1e-4)


def test_probabilities_are_explained_by_the_logits_before_them(pixels):
    plain = Classifier(build("vgg").module, size=SIZE)
    wrapped = Classifier(nn.Sequential(plain.module, nn.Softmax(1)), size=SIZE, outputs="probabilities")
    assert torch.equal(lrp(wrapped, pixels, 1), lrp(plain, pixels, 1))


def test_against_is_the_difference_for_linear_rules(pixels):
    classifier = build("residual")
    one, other = (lrp(classifier, pixels, target, rule="epsilon", epsilon=0) for target in (1, 2))
    both = lrp(classifier, pixels, 1, against=2, rule="epsilon", epsilon=0)
    assert torch.allclose(both, one - other, atol=1e-5 * float(one.abs().max()))


def test_a_gate_takes_nothing(pixels):
    """Squeeze-and-excitation acts like constant weights."""
    net = build("gated").module
    classifier = Classifier(net, size=SIZE)
    with torch.no_grad():
        features = functional.relu(net.first(pixels[:1]))
        weights = net.gate(features.mean((2, 3), keepdim=True)).sigmoid()
        frozen = nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False),
            nn.ReLU(),
            nn.Conv2d(6, 3, 1, bias=False),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        frozen[0].weight.copy_(net.first.weight)
        frozen[2].weight.copy_(net.head.weight.view(3, 6, 1, 1) * weights)
    expected = lrp(Classifier(frozen, size=SIZE), pixels[:1], 0, rule="epsilon", epsilon=0)
    maps = lrp(classifier, pixels[:1], 0, rule="epsilon", epsilon=0)
    assert torch.allclose(maps, expected, atol=1e-5 * float(expected.abs().max()))


class Normalized(nn.Module):
    """Layer and group normalization, layer scale, GELU, padding, permutations, chunks."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
        self.groups, self.scale = nn.GroupNorm(2, 8), nn.Parameter(torch.rand(8, 1, 1))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.norm(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = functional.gelu(self.groups(functional.pad(x, (1, 1, 1, 1))))[:, :, 1:-1, 1:-1]
        first, second = (y * self.scale).chunk(2, 1)
        return self.head((x + torch.cat([second, first], 1)).mean((2, 3)))


def test_normalizations_and_layer_scale_without_shifts_conserve(pixels):
    torch.manual_seed(0)
    net = Normalized()
    nn.init.zeros_(net.first.bias), nn.init.zeros_(net.head.bias)
    found = lrp_relevance(Classifier(net, size=SIZE), pixels, 1, rule="epsilon", epsilon=0)
    assert torch.allclose(found.conservation, torch.ones(2), atol=1e-3)
    assert torch.isfinite(lrp(Classifier(net, size=SIZE), pixels, 1)).all()


class Ending(Vgg):
    def __init__(self, end):
        super().__init__()
        self.end = end

    def forward(self, x):
        return self.end(super().forward(x))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda x: x.cumprod(1), "no rule for 'cumprod'"),
        (lambda x: 1 / x, "no rule for"),
        (lambda x: torch.addcmul(x, x, x.flip(1)), "no rule for a sum with a product"),
    ],
)
def test_what_has_no_rule_is_refused(end, message, pixels):
    with pytest.raises(ModelError, match=message):
        lrp(Classifier(Ending(end), size=SIZE), pixels)


@pytest.mark.parametrize("wrong", [{"rule": "epsilom"}, {"epsilon": -1}, {"gamma": -1}, {"alpha": 0.5}])
def test_wrong_settings_are_told(wrong, pixels):
    with pytest.raises(UsageError, match="LRP"):
        lrp(build("vgg"), pixels, **wrong)


def test_what_cannot_be_traced_is_told(pixels):
    with pytest.warns(UserWarning, match="module hooks"), pytest.raises(NeedsGraphError, match="Grad-CAM or occlusion"):
        lrp(Classifier(Untraceable(), size=SIZE), pixels)


def test_captum_fails_on_skips_and_says_nothing(pixels):
    """A counter-example: a residual block without biases, where the relevance must sum to the logit."""
    attr = pytest.importorskip("captum.attr")

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 3, padding=1, bias=False)
            self.a, self.b, self.pool = nn.ReLU(), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
            self.head = nn.Linear(6, 3, bias=False)

        def forward(self, x):
            x = self.a(self.first(x))
            return self.head(self.pool(self.b(self.second(x) + x)).flatten(1))

    torch.manual_seed(0)
    net = Skip().eval()
    ours = lrp_relevance(Classifier(net, size=SIZE), pixels, 1, rule="epsilon", epsilon=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = attr.LRP(net).attribute(pixels.clone(), 1).sum((1, 2, 3))
    assert torch.allclose(ours.conservation, torch.ones(2), atol=1e-4)
    assert ((theirs - ours.score).abs() > 0.1 * ours.score.abs()).all()
