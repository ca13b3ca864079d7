"""Tiny networks of the common architecture families, which every method must support."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class VggLike(nn.Module):
    """Plain convolutions with in-place ReLUs; a classifier of several linear layers on flattened features."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, ceil_mode=True),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((2, 3))
        self.classifier = nn.Sequential(
            nn.Linear(48, 10), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(10, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class ResidualBlock(nn.Module):
    """One ReLU module for both activations, in place, as in torchvision."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.shortcut(x)
        return self.relu(y)


class ResNetLike(nn.Module):
    """Residual blocks, global average pooling, one linear layer."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.layer1 = ResidualBlock(6, 6, 1)
        self.layer2 = ResidualBlock(6, 10, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(self.stem(x)))), 1))


class DenseNetLike(nn.Module):
    """Concatenations, normalization before convolution, a functional in-place ReLU at the end."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 6, 3, 2, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6 + 4 * i) for i in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3)])
        self.transition = nn.Conv2d(18, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(functional.relu(norm(torch.cat(features, 1)))))
        y = functional.avg_pool2d(self.transition(torch.cat(features, 1)), 2)
        y = functional.relu(self.norm(y), inplace=True)
        return self.classifier(functional.adaptive_avg_pool2d(y, (1, 1)).flatten(1))


class InceptionLike(nn.Module):
    """Parallel branches with kernels of different shapes, functional ReLUs, dropout, global average pooling."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 6, 3, 2)
        self.one = nn.Conv2d(6, 4, 1)
        self.wide = nn.Sequential(nn.Conv2d(6, 4, (1, 5), padding=(0, 2)), nn.Conv2d(4, 4, (5, 1), padding=(2, 0)))
        self.pooled = nn.Conv2d(6, 2, 1)
        self.fc = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        branches = [self.one(x), self.wide(x), self.pooled(functional.avg_pool2d(x, 3, 1, 1))]
        y = functional.relu(torch.cat(branches, 1))
        return self.fc(functional.dropout(y, 0.2, self.training).mean([2, 3]))


class MobileNetLike(nn.Module):
    """Depthwise convolutions, squeeze-and-excitation, ReLU6 and hardswish, a head of two layers."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
        )
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.project = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.last = nn.Sequential(nn.Conv2d(8, 12, 1), nn.Hardswish(inplace=True))
        self.head = nn.Sequential(nn.Linear(12, 8), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(8, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        gate = functional.hardsigmoid(self.excite(functional.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return self.head(self.last(x + self.project(y * gate)).mean((2, 3)))


class ConvNextLike(nn.Module):
    """Channels permuted last and back, also at a single position, LayerNorm, GELU, layer scale."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 4, 4)
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.norm = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.last_norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        pooled = functional.adaptive_avg_pool2d(x + self.scale * y, 1)
        return self.head(self.last_norm(pooled.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).flatten(1))


class VitLike(nn.Module):
    """Patches as tokens, attention written out (heads x tokens x features looks like channels x height x width)."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, 8, 4, 4)
        self.token = nn.Parameter(torch.full((1, 1, 8), 0.1))
        self.blocks = nn.ModuleList([AttentionBlock(8) for _ in range(2)])
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class AttentionBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, tokens, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        attention = functional.softmax(q @ k.transpose(-2, -1), -1) @ v
        x = x + self.out(attention.transpose(1, 2).reshape(n, tokens, width))
        return x + self.mlp(self.norm2(x))


class TokenLike(nn.Module):
    """The same with `nn.TransformerEncoder`, which has a fast path in eval mode."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, 8, 4, 4)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class ChannelsLastLike(nn.Module):
    """Ends with channels last, as Swin and others do: the deepest values are height x width x channels."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 4, 4)
        self.norm, self.mlp = nn.LayerNorm(8), nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        return self.head((x + self.mlp(self.norm(x))).mean((1, 2)))


class SwinLike(nn.Module):
    """Windows partitioned from channels-last values and merged again; channels first at the end, pooled."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, 8, 4, 4)
        self.token, self.norm, self.head = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)[:, :4, :6]
        n, height, width, c = x.shape
        windows = x.reshape(n, height // 2, 2, width // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        mixed = functional.softmax(windows @ windows.transpose(1, 2), -1) @ self.token(windows)
        mixed = mixed.reshape(n, height // 2, width // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        x = functional.avg_pool2d(self.norm(x + mixed.reshape(n, height, width, c)).permute(0, 3, 1, 2), (2, 3))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


CONVOLUTIONAL = [VggLike, ResNetLike, DenseNetLike, InceptionLike, MobileNetLike, ConvNextLike]
TRANSFORMERS = [VitLike, TokenLike, ChannelsLastLike]


def build(family: type[nn.Module], channels: int = 3, classes: int = 4, seed: int = 0) -> nn.Module:
    """A network of a family with random weights and nontrivial normalization statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = family(channels, classes)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.4)
    return network
