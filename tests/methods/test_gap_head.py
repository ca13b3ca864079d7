"""The CAM network that surgery makes of any convolutional network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeptroubles import Classifier, load_classifier
from deeptroubles.attribution import cam
from deeptroubles.errors import ModelError, NeedsGraphError, UsageError
from deeptroubles.methods.surgery.gap_head import gap_head
from deeptroubles.planted.folder import _exported
from deeptroubles.planted.networks import residual
from deeptroubles.subject import logits_of
from tests.networks import Plain, Shared, Untraceable

NAMES = ["low", "medium", "high"]


class ChannelsLast(nn.Module):
    """Its last layer with positions is N x H x W x C."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.norm(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2)))


def vgg_like():
    """Dense layers after the convolutions, in-place rectifiers and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12 * 6 * 6, 20),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(20, 4),
    )


MODULES = {
    "vgg": vgg_like,
    "residual": lambda: residual(4),
    "plain": Plain,
    "shared": Shared,
    "channels last": ChannelsLast,
}


def classifier_of(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(make().eval(), size=24, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.25])


def images(size=24):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def assert_cam_is_exact(cut, pixels):
    logits = logits_of(cut, pixels)
    for target in range(len(NAMES)):
        maps = cam(cut, pixels, target)
        assert maps[0].numel() > 1
        bias = cut.module.head.bias[target].detach()
        assert torch.allclose(maps.mean((1, 2)) + bias, logits[:, target], atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_the_mean_of_the_map_plus_the_bias_is_the_logit(name):
    assert_cam_is_exact(gap_head(classifier_of(MODULES[name]), NAMES), images())


def test_it_holds_for_the_embedded_network():
    cut = gap_head(load_classifier("efficientnet-lite0"), NAMES)
    assert cut.module.head.in_features == 1280
    assert_cam_is_exact(cut, images(224))


def test_it_holds_for_an_exported_program(tmp_path):
    whole = classifier_of(lambda: residual(4))
    (tmp_path / "model.pt2").write_bytes(_exported(whole))
    cut = gap_head(load_classifier(str(tmp_path / "model.pt2")), NAMES)
    assert_cam_is_exact(cut, images())
    assert torch.allclose(logits_of(cut, images()), logits_of(gap_head(whole, NAMES), images()), atol=1e-5)


def test_the_trunk_is_the_network_up_to_its_last_maps():
    whole = classifier_of(vgg_like)
    cut = gap_head(whole, NAMES)
    pixels = (images() - whole.mean) / whole.std
    with torch.no_grad():
        maps = whole.module[:6](pixels)
        expected = cut.module.head(maps.mean((2, 3)))
    assert torch.allclose(logits_of(cut, images()), expected, atol=1e-6)
    assert sorted(cut.module.state_dict()) == [
        "head.bias",
        "head.weight",
        *(f"trunk.{layer}.{kind}" for layer in (0, 3) for kind in ("bias", "weight")),
    ]


def test_saved_weights_fit_a_module_that_is_built_again():
    whole = classifier_of(lambda: residual(4))
    trained, state = gap_head(whole, NAMES, seed=1), torch.get_rng_state()
    trained.train()
    trained(images()).sum().backward()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.sub_(0.1 * parameter.grad)
    again = gap_head(whole, NAMES, seed=2)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.allclose(logits_of(again, images()), logits_of(trained, images()))
    again.module.load_state_dict(trained.module.state_dict())
    assert torch.equal(logits_of(again, images()), logits_of(trained, images()))


def test_batch_normalization_learns_in_training_mode():
    cut = gap_head(classifier_of(Plain), NAMES)
    before = {name: value.clone() for name, value in cut.module.named_buffers()}
    cut.train()
    cut(images())
    assert any(not torch.equal(value, before[name]) for name, value in cut.module.named_buffers())


def test_the_original_is_left_as_it_was_and_seeds_decide():
    whole = classifier_of(Plain)
    before = whole.fingerprint()
    first = gap_head(whole, NAMES)
    assert first.fingerprint() == gap_head(whole, NAMES).fingerprint() != gap_head(whole, NAMES, seed=1).fingerprint()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert whole.fingerprint() == before
    assert first.class_names == tuple(NAMES)
    assert torch.equal(first.mean, whole.mean)


def test_what_cannot_be_cut_says_why():
    with pytest.raises(UsageError, match="at least 2 classes"):
        gap_head(classifier_of(Plain), ["one"])
    with pytest.warns(UserWarning, match="could not be traced"), pytest.raises(NeedsGraphError, match="cannot be cut"):
        gap_head(Classifier(Untraceable().eval(), size=12), NAMES)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 4))
    with pytest.raises(ModelError, match="positions"):
        gap_head(classifier_of(lambda: dense), NAMES)
