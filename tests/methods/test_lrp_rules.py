"""The rules of LRP and DeepLIFT for attention and other operations: closed forms, slow loops, conservation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.attribution.deep_lift import deep_lift
from deeptroubles.methods.attribution.full_grad import full_gradients
from deeptroubles.methods.attribution.lrp import lrp, lrp_relevance
from tests.methods.lrp_networks import norm

SIZE = (8, 8)
EXACT = {"rule": "epsilon", "epsilon": 0}


class Through(nn.Module):
    """The pixels through one operation; the logits are its output, and its negative."""

    def __init__(self, operation, *parts):
        super().__init__()
        self.operation, self.parts = operation, nn.ModuleList(parts)

    def forward(self, x):
        y = self.operation(x, *self.parts).flatten(1)
        return torch.stack([y[:, 5], y[:, 11]], 1)


def pixels(count=2):
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def relevance(module, count=2, size=SIZE, **settings):
    torch.manual_seed(0)
    return lrp_relevance(Classifier(module, size=size, outputs="logits"), pixels(count), 0, **{**EXACT, **settings})


SCALED = torch.linspace(0.5, 2, 8)


class Head(nn.Module):
    """A convolution, an operation on its maps, a mean and a linear layer, without biases."""

    def __init__(self, operation, *parts, channels=8):
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.operation, self.parts = operation, nn.ModuleList(parts)
        self.head = nn.Linear(channels, 3, bias=False)

    def forward(self, x):
        return self.head(self.operation(self.stem(x), *self.parts).mean((2, 3)))


def transposed(**settings):
    return nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1, bias=False, **settings)


CONSERVING = {
    "transposed convolution": lambda: Head(lambda x, up: up(x), transposed(), channels=6),
    "grouped transposed convolution": lambda: Head(lambda x, up: up(x), transposed(groups=2), channels=6),
    "instance norm": lambda: Head(lambda x, n: n(x).relu(), nn.InstanceNorm2d(8)),
    "instance norm with running statistics": lambda: Head(
        lambda x, n: n(x).relu(), nn.InstanceNorm2d(8, track_running_stats=True)
    ),
    "RMS norm": lambda: Head(lambda x, n: n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.RMSNorm(8)),
    "bicubic": lambda: Head(lambda x: functional.interpolate(x, (13, 11), mode="bicubic")),
    "bicubic without aliasing": lambda: Head(lambda x: functional.interpolate(x, 5, mode="bicubic", antialias=True)),
    "bilinear without aliasing": lambda: Head(lambda x: functional.interpolate(x, 5, mode="bilinear", antialias=True)),
    "max over a dimension": lambda: Head(lambda x: x.max(3, keepdim=True).values),
    "amax": lambda: Head(lambda x: x.amax(3, keepdim=True)),
    "min over a dimension": lambda: Head(lambda x: x.min(2, keepdim=True).values),
    "maximum of two": lambda: Head(lambda x: torch.maximum(x, x.flip(1))),
    "where": lambda: Head(lambda x: torch.where(x > 0, x, 0.1 * x.flip(2))),
    "masked fill": lambda: Head(lambda x: x.masked_fill(x < 0, 0.0)),
    "sigmoid": lambda: Head(lambda x: x.sigmoid()),
    "SiLU, written out": lambda: Head(lambda x: x * x.sigmoid()),
    "softplus": lambda: Head(functional.softplus),
    "square": lambda: Head(lambda x: x * x),
    "power": lambda: Head(lambda x: x**2),
    "product of two signals": lambda: Head(lambda x: x.relu() * x.flip(1)),
    "product of three signals": lambda: Head(lambda x: x.relu() * x.flip(1) * x.flip(2)),
    "quotient": lambda: Head(lambda x: x / (x.abs().mean((2, 3), keepdim=True) + 1)),
    "unit length": lambda: Head(lambda x: functional.normalize(x, dim=1)),
    "length": lambda: Head(lambda x: torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)),
    "scaled sum": lambda: Head(lambda x: torch.addcmul(x, x.flip(1), SCALED.view(8, 1, 1))),
    "running sum": lambda: Head(lambda x: x.cumsum(2)),
    "difference": lambda: Head(lambda x: torch.rsub(x, x.flip(1))),
    "strongest three": lambda: Head(lambda x: x.topk(3, dim=3).values),
    "mask in the shape of a signal": lambda: Head(lambda x: torch.cat([x, x + x.new_zeros(x.shape)], 2)),
    "some positions": lambda: Head(lambda x: x[:, :, [0, 2, 5]]),
    "unfolded": lambda: Head(lambda x: functional.unfold(x, 3).unflatten(1, (8, 9)).mean(2).unsqueeze(3)),
    "matrix product with weights": lambda: Head(lambda x: x @ torch.linspace(-1, 1, 40).view(8, 5)),
    "product of matrices": lambda: Head(lambda x: x @ x.flip(1)),
    "einsum": lambda: Head(lambda x: torch.einsum("nchw,nchv->ncwv", x, x.flip(1))),
    "batch norm by itself": lambda: Head(lambda x, n: n(x.relu()), norm(8)),
}


@pytest.mark.parametrize("name", CONSERVING)
def test_without_constants_all_of_the_score_reaches_the_pixels(name):
    found = relevance(CONSERVING[name]().eval())
    tolerance = 1e-4 * found.maps.abs().sum((1, 2)) + 1e-5
    assert ((found.maps.sum((1, 2)) - found.score).abs() <= tolerance).all()
    assert found.maps.abs().sum() > 0


@pytest.mark.parametrize("name", ["transposed convolution", "bicubic", "max over a dimension", "where", "masked fill"])
def test_what_is_linear_in_pieces_is_gradient_times_input(name):
    """A known identity of epsilon = 0: the gradient, computed by autograd, times the pixels."""
    classifier = Classifier(CONSERVING[name]().eval(), size=SIZE)
    inputs = pixels().requires_grad_()
    gradient = torch.autograd.grad(classifier(inputs)[:, 1].sum(), inputs)[0]
    expected = (gradient * inputs).sum(1).detach()
    torch.testing.assert_close(lrp(classifier, pixels(), 1, **EXACT), expected, rtol=1e-3, atol=1e-5)


def test_a_softmax_is_expanded_where_it_is():
    """x_i (R_i - s_i sum R), by hand: the logit is the softmax's sixth output."""
    module = Through(lambda x: x.flatten(1).softmax(1))
    x = pixels().flatten(1)
    share = x.softmax(1)
    start = torch.zeros_like(x)
    start[:, 5] = share[:, 5]
    expected = x * (start - share * start.sum(1, keepdim=True))
    found = relevance(module)
    torch.testing.assert_close(found.maps, expected.view(2, 3, *SIZE).sum(1))


@pytest.mark.parametrize("epsilon", [0, 0.1])
def test_both_factors_of_a_product_of_matrices_get_half(epsilon):
    """sum over p of A_ji V_ip R_jp / (2 O_jp + epsilon), in loops."""
    module = Through(lambda x: x[:, :2, :3, :4] @ x[:, :2, 3:7, :5])
    found = relevance(module, count=1, epsilon=epsilon)
    image = pixels(1)[0]
    a, v = image[:2, :3, :4], image[:2, 3:7, :5]
    output = a @ v
    start = torch.zeros_like(output).flatten()
    start[5] = output.flatten()[5]
    start = start.view_as(output)
    damped = output + epsilon * output.square().mean().sqrt()
    of_a, of_v = torch.zeros_like(a), torch.zeros_like(v)
    for c in range(2):
        for j in range(3):
            for i in range(4):
                for p in range(5):
                    part = a[c, j, i] * v[c, i, p] * start[c, j, p] / (2 * damped[c, j, p])
                    of_a[c, j, i] += part
                    of_v[c, i, p] += part
    expected = torch.zeros_like(image)
    expected[:2, :3, :4] += of_a
    expected[:2, 3:7, :5] += of_v
    torch.testing.assert_close(found.maps[0], expected.sum(0))


class Attention(nn.Module):
    """One attention block with residuals and normalization, without biases; attention in three ways."""

    def __init__(self, how, mask=None):
        super().__init__()
        torch.manual_seed(2)
        self.how, self.mask = how, mask
        self.patches = nn.Conv2d(3, 8, 2, 2, bias=False)
        self.norm = nn.LayerNorm(8, bias=False)
        self.qkv, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, 3, bias=False)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        n, tokens, width = x.shape
        queries, keys, values = self.qkv(self.norm(x)).reshape(n, tokens, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        mixed = self._attend(2 * queries, keys, values)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        return self.head(functional.gelu(x).mean(1))

    def _attend(self, queries, keys, values):
        if self.how == "fused":
            return functional.scaled_dot_product_attention(queries, keys, values, self.mask)
        scores = queries @ keys.transpose(-2, -1) / 2
        return (scores if self.mask is None else scores + self.mask).softmax(-1) @ values


MASKS = {
    "none": None,
    "bias": torch.linspace(-1, 1, 256).view(16, 16),
    "some": torch.zeros(16, 16).masked_fill(torch.ones(16, 16).triu(1).bool(), -torch.inf),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("how", ["fused", "written out"])
def test_attention_conserves_what_its_softmax_does_not_absorb(how, mask):
    """The expansion of the softmax has a constant term; nothing else in this network may keep relevance."""
    found = relevance(Attention(how, MASKS[mask]))
    total = found.maps.sum((1, 2)) + sum(found.absorbed.values())
    torch.testing.assert_close(total, found.score, rtol=1e-3, atol=1e-5)
    if how == "written out" and mask == "none":
        scale = found.maps.abs().sum((1, 2))
        for kind, lost in found.absorbed.items():
            assert kind == "softmax" or (lost.abs() < 1e-4 * scale).all(), kind
        assert found.absorbed["softmax"].abs().min() > 1e-5


@pytest.mark.parametrize("mask", MASKS)
def test_fused_attention_equals_attention_written_out(mask):
    one, other = (relevance(Attention(how, MASKS[mask])).maps for how in ("fused", "written out"))
    assert torch.isfinite(one).all()
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_future_is_a_mask():
    class Causal(Attention):
        def _attend(self, queries, keys, values):
            return functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)

    torch.testing.assert_close(
        relevance(Causal("")).maps, relevance(Attention("fused", MASKS["some"])).maps, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("rule", ["composite", "epsilon", "gamma", "alpha_beta"])
def test_images_of_a_transformer_are_explained_one_by_one(rule):
    """Its queries stand before the images; a map does not depend on the other images."""
    classifier = Classifier(Attention("fused"), size=SIZE)
    both = lrp(classifier, pixels(3), [0, 1, 2], rule=rule)
    for i in range(3):
        torch.testing.assert_close(both[i : i + 1], lrp(classifier, pixels(3)[i], i, rule=rule))


def test_a_gate_that_depends_on_the_image_takes_nothing_from_a_larger_signal():
    found = relevance(Head(lambda x: x * x.amax((2, 3), keepdim=True)))
    torch.testing.assert_close(found.maps.sum((1, 2)), found.score, rtol=1e-3, atol=1e-5)


UNDECIDED = {"where": "condition", "masked fill": "condition", "strongest three": "topk"}
COMPLETE = {**CONSERVING, "softmax": lambda: Head(lambda x: x.softmax(1)), "attention": lambda: Attention("fused")}
COMPLETE |= {"attention, written out": lambda: Attention("written out", MASKS["bias"])}
COMPLETE |= {"group norm": lambda: Head(lambda x, n: n(x).relu(), nn.GroupNorm(2, 8))}


@pytest.mark.parametrize("name", COMPLETE)
def test_deep_lift_sums_to_the_difference_to_the_baseline(name):
    """Also where a baseline of one color leaves a normalization without any deviation."""
    classifier = Classifier(COMPLETE[name]().eval(), size=SIZE, outputs="logits")
    if name in UNDECIDED:
        with pytest.raises(ModelError, match=UNDECIDED[name]):
            deep_lift(classifier, pixels(), 0)
        return
    with torch.no_grad():
        change = (classifier(pixels()) - classifier(torch.full_like(pixels(), 0.25)))[:, 0]
    maps = deep_lift(classifier, pixels(), 0, baseline=0.25)
    torch.testing.assert_close(maps.sum((1, 2)), change, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("how", ["fused", "written out"])
def test_full_gradients_of_attention_sum_to_the_score(how):
    found = full_gradients(Classifier(Attention(how), size=SIZE), pixels(3), [0, 1, 2])
    total = found.pixels.flatten(1).sum(1) + sum(part.flatten(1).sum(1) for part in found.biases.values())
    torch.testing.assert_close(total, found.score, rtol=1e-3, atol=1e-5)


class Renormalized(nn.Module):
    """Many normalizations without biases: an image of one color is 0 everywhere."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8, bias=False), nn.LayerNorm(8)) for _ in range(30)))
        self.stem, self.head = nn.Conv2d(3, 8, 3, bias=False), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layers(self.stem(x).permute(0, 2, 3, 1)).mean((1, 2)))


def test_multipliers_that_overflow_are_told():
    classifier = Classifier(Renormalized(), size=SIZE)
    with pytest.raises(ModelError, match=r"overflow in Renormalized.*give another image as baseline"):
        deep_lift(classifier, pixels(), 0, baseline=0.0)
