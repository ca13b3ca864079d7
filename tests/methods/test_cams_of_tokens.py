"""Class activation maps where positions are tokens, windows, or stand before the channels."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.methods.catalogue import ATTRIBUTION
from deeptroubles.network import open_network
from tests.architectures import VitLike, build
from tests.torchvision_shim import declare_operators

SIZE, GRID, WIDTH, CLASSES = (20, 28), (5, 7), 6, 4
NORMALIZED = {"size": SIZE, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}
SUMS = ["grad_cam", "hires_cam", "xgrad_cam"]
CAMS = [*SUMS, "grad_cam_plus_plus", "layer_cam", "eigen_cam", "score_cam", "ablation_cam"]


class Patches(nn.Module):
    """Patches, one linear layer after a ReLU, their mean, the logits: the same function written in several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(4)
            self.patches, self.mix = nn.Conv2d(3, WIDTH, 4, 4), nn.Linear(WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, CLASSES)
        self.how, self.end, self.extra = how, nn.Dropout(), nn.Parameter(torch.ones(1, 2, WIDTH))

    def forward(self, x):
        x = self.patches(x)
        if self.how == "channels first":
            x = torch.relu(nn.functional.conv2d(x, self.mix.weight[..., None, None], self.mix.bias))
            return self.head(self.end(x).mean((2, 3)))
        if self.how == "channels last":
            return self.head(self.end(torch.relu(self.mix(x.permute(0, 2, 3, 1)))).mean((1, 2)))
        x = x.flatten(2).transpose(1, 2)
        if self.how == "class and register tokens":
            x = torch.cat([self.extra[:, :1].expand(x.shape[0], -1, -1), x], 1)
            x = torch.cat([x, self.extra[:, 1:].expand(x.shape[0], -1, -1)], 1)
            return self.head(self.end(torch.relu(self.mix(x)))[:, 1:-1].mean(1))
        return self.head(self.end(torch.relu(self.mix(x))).mean(1))


HOWS = ["channels last", "tokens", "class and register tokens"]


@cache
def patches(how):
    return Classifier(Patches(how), **NORMALIZED).eval()


def images():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", CAMS)
def test_how_positions_are_written_makes_no_difference(name, how):
    expected = ATTRIBUTION[name].function(patches("channels first"), images(), [0, 2])
    assert expected.shape == (2, *GRID)
    torch.testing.assert_close(ATTRIBUTION[name].function(patches(how), images(), [0, 2]), expected)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", SUMS)
def test_on_tokens_linear_in_the_patch_the_map_is_the_closed_form(name, how):
    """Every cell is what its own patch adds to the logit, computed patch by patch."""
    subject, (rows, columns) = patches(how), GRID
    module, x = subject.module, ((images() - subject.mean) / subject.std)[0]
    expected = torch.zeros(GRID)
    for row in range(rows):
        for column in range(columns):
            patch = x[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten()
            embedded = module.patches.weight.flatten(1) @ patch + module.patches.bias
            expected[row, column] = (
                torch.relu(module.mix(embedded)) @ module.head.weight[1] / (rows * columns)
            ).detach()
    found = ATTRIBUTION[name].function(subject, images()[:1], 1)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    logit = subject(images()[:1])[0, 1].detach() - module.head.bias[1].detach()
    torch.testing.assert_close(found.sum(), logit, atol=1e-6, rtol=1e-4)


class Moved(nn.Module):
    """Patches that are padded, rolled, cut into windows, attended to there, put back and merged two by two."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.merge = nn.Conv2d(3, WIDTH, 4, 4), nn.Linear(4 * WIDTH, WIDTH)
        self.rolled, self.cut, self.back, self.head = *(nn.Dropout() for _ in range(3)), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = nn.functional.pad(self.patches(x).permute(0, 2, 3, 1), (0, 0, 0, 1, 0, 1))  # 6 x 8
        x = self.rolled(x.roll((1, 2), (1, 2)))
        windows = x.reshape(-1, 3, 2, 4, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, 12, 4, WIDTH)
        windows = self.cut(windows + 0 * torch.softmax(windows @ windows.mT, -1) @ windows)
        x = windows.reshape(-1, 3, 4, 2, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, 6, 8, WIDTH)
        x = self.back(x.roll((-1, -2), (1, 2)))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.merge(x).mean((1, 2)))


def test_positions_are_followed_through_windows_and_back():
    subject = Classifier(build_moved(), **NORMALIZED).eval()
    network = open_network(subject)
    kept = network.record(images(), ["patches", "rolled", "cut", "back", "merge"]).activations
    maps = {name: network.grid(name).maps(value) for name, value in kept.items()}
    assert torch.equal(maps["rolled"], kept["patches"])
    assert torch.equal(maps["back"], kept["back"].permute(0, 3, 1, 2)[:, :, :5, :7])
    assert torch.equal(maps["cut"], maps["back"])
    assert torch.equal(maps["merge"][:, :, :2, :3], kept["merge"].permute(0, 3, 1, 2)[:, :, :2, :3])
    assert network.last_with_positions.name == "merge"


def build_moved():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Moved()


def test_the_last_patches_of_a_network_that_reads_its_class_token_are_not_looked_at():
    """They have no effect on the logits: the map would be zero."""
    subject = Classifier(build(VitLike), **NORMALIZED).eval()
    assert open_network(subject).last_with_positions.name == "blocks.0"
    assert not ATTRIBUTION["grad_cam"].function(subject, images(), 1, layer="blocks.1").any()
    assert ATTRIBUTION["grad_cam"].function(subject, images(), 1).std() > 0


def timm_vit(**settings):
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=64, patch_size=16, embed_dim=16, depth=2, num_heads=2, num_classes=CLASSES, **settings
    )


def timm_swin():
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=64, window_size=4, embed_dim=8, depths=(2, 2), num_heads=(2, 2), num_classes=CLASSES
    )


def timm_mixer():
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(img_size=64, patch_size=16, embed_dim=16, num_blocks=2, num_classes=CLASSES)


def timm_convnext():
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 8, 16), num_classes=CLASSES)


def torchvision_vit():
    from torchvision.models import VisionTransformer

    return VisionTransformer(64, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=CLASSES)


def torchvision_swin():
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

    return SwinTransformer(
        [4, 4],
        8,
        [2, 2],
        [2, 2],
        [3, 3],
        num_classes=CLASSES,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )


PUBLISHED = {
    "timm_vit": (timm_vit, "blocks.0", (4, 4)),
    "timm_vit_registers": (lambda: timm_vit(reg_tokens=3), "blocks.0", (4, 4)),
    "timm_vit_mean": (lambda: timm_vit(class_token=False, global_pool="avg"), ":slice", (4, 4)),
    "timm_swin": (timm_swin, "norm", (8, 8)),
    "timm_mixer": (timm_mixer, "norm", (4, 4)),
    "timm_convnext": (timm_convnext, "stages", (2, 2)),
    "torchvision_vit": (torchvision_vit, "encoder.layers.encoder_layer_0", (4, 4)),
    "torchvision_swin": (torchvision_swin, "permute", (8, 8)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_architectures(name):
    declare_operators()
    pytest.importorskip(name.partition("_")[0])
    make, layer, grid = PUBLISHED[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = make()
        for parameter in model.parameters():  # some heads and scales begin at 0
            nn.init.normal_(parameter, std=0.3)
    subject = Classifier(model, size=64).eval()
    assert open_network(subject).last_with_positions.name == layer
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for method in CAMS:
        maps = ATTRIBUTION[method].function(subject, pixels, 2)
        assert maps.shape == (1, *grid)
        assert torch.isfinite(maps).all()
        assert maps.std() > 0
