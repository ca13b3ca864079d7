from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, NeedsGraphError, UsageError
from deeptroubles.methods.transforms.blur_pool import blur_pool
from deeptroubles.methods.transforms.shared.dense import blur
from deeptroubles.network import TracedNetwork, open_network
from deeptroubles.subject import logits_of
from deeptroubles.transforms import shift
from tests.networks import Plain, Untraceable


def circular(stride: int) -> Classifier:
    """Convolutions that go on at the other side, and a mean over all positions."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 5, padding=2, padding_mode="circular"),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )
    return Classifier(network.double().float(), size=16).eval()


def images(count=6, size=16):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def change(classifier, pixels, pixels_moved):
    """How far shifts move the logits, beyond the rounding of sums in another order."""
    found = [
        (logits_of(classifier, shift(pixels, d, r, "circular")) - logits_of(classifier, pixels)).abs().amax()
        for d, r in ((pixels_moved, 0), (0, pixels_moved))
    ]
    return float(max(found))


ROUNDING = 1e-6


def test_stride_one_does_not_change_at_all():
    classifier, pixels = circular(1), images()
    blurred = blur_pool(classifier, border="circular")
    assert change(classifier, pixels, 1) < ROUNDING
    assert torch.equal(logits_of(blurred, pixels), logits_of(classifier, pixels))  # there is no stride to blur before


@pytest.mark.parametrize("size", [2, 3, 5])
def test_stride_two_is_exact_for_even_shifts_only_and_blur_lowers_the_rest(size):
    classifier, pixels = circular(2), images()
    blurred = blur_pool(classifier, size, "circular")
    assert change(classifier, pixels, 2) < ROUNDING
    assert change(blurred, pixels, 2) < ROUNDING
    assert change(classifier, pixels, 1) > 1e-3
    assert change(blurred, pixels, 1) < 0.5 * change(classifier, pixels, 1)


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(3, (2, 3), 1),
        nn.MaxPool2d(2, 2, dilation=2),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.Conv2d(4, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 2, (2, 1)),
        nn.Conv2d(4, 4, 3, 3, dilation=2, groups=2),
    ],
)
@pytest.mark.parametrize("size", [(13, 16), (12, 15)])
def test_without_a_filter_dense_and_sampled_is_the_same(pool, size):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), pool, nn.Flatten(), nn.LazyLinear(3))
    classifier = Classifier(network.eval(), size=size)
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(logits_of(blur_pool(classifier, 1), pixels), logits_of(classifier, pixels), atol=1e-6)


def test_it_equals_the_same_network_written_by_hand():
    classifier = Classifier(Plain().eval(), size=(10, 14))
    first, norm, relu, _, second, relu_2, mean, flat, head = classifier.module
    pixels = torch.rand(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))

    def filtered(x):
        kernel = torch.tensor([1.0, 2, 1]) / 4
        kernel = (kernel[:, None] * kernel).expand(x.shape[1], 1, 3, 3)
        return nn.functional.conv2d(
            nn.functional.pad(x, (1,) * 4, mode="reflect"), kernel, stride=2, groups=len(kernel)
        )

    with torch.no_grad():
        x = filtered(nn.functional.max_pool2d(relu(norm(first(pixels))), 2, 1))
        x = relu_2(filtered(nn.functional.conv2d(x, second.weight, second.bias, 1, 1)))
        expected = head(flat(mean(x)))
    assert torch.allclose(logits_of(blur_pool(classifier), pixels), expected, atol=1e-6)


def test_a_filter_keeps_constants_and_softens_stripes():
    assert torch.allclose(blur(torch.ones(1, 2, 6, 7), 5, (2, 3), "mirror"), torch.ones(1, 2, 3, 3))
    stripes = (torch.arange(8) % 2).float().expand(1, 1, 4, 8)
    assert torch.allclose(blur(stripes, 3, (1, 2), "circular"), torch.full((1, 1, 4, 4), 0.5))


def test_the_result_is_a_classifier_like_any_other():
    classifier = Classifier(Plain().eval(), size=(10, 14), class_names=list("abcd"), mean=[0.5] * 3, std=[0.2] * 3)
    before = classifier.fingerprint()
    blurred = blur_pool(classifier)
    assert isinstance(open_network(blurred), TracedNetwork)
    assert blurred.class_names == classifier.class_names
    assert len({blurred.fingerprint(), blur_pool(classifier, 5).fingerprint(), before}) == 3
    assert classifier.fingerprint() == before
    assert classifier.module[4].stride == (2, 2)
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())


def test_errors_say_why():
    with pytest.raises(UsageError, match="1 or more"):
        blur_pool(circular(2), 0)
    with pytest.raises(UsageError, match="black, mirror, circular"):
        blur_pool(circular(2), border="white")
    with pytest.warns(UserWarning, match="could not be traced"), pytest.raises(NeedsGraphError, match="strides"):
        blur_pool(Classifier(Untraceable().eval(), size=12))
    network = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), nn.Flatten(), nn.Linear(3 * 9, 2))
    with pytest.raises(ModelError, match="ceil_mode"):
        blur_pool(Classifier(network.eval(), size=5))
