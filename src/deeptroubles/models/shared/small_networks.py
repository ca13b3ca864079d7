"""Small networks that two cores train in minutes, such as those of the one-pixel paper, with random weights.

All have batch normalization after every convolution but the last, take images of any size from 16 pixels a side, and
end in global average pooling.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _mean_of_maps(width: int, classes: int) -> list[nn.Module]:
    """A map per class, and its mean, as in NiN and AllConv."""
    return [nn.Conv2d(width, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def plain(classes: int, channels: int = 3) -> nn.Module:
    """Five convolutions of 32 to 128 filters with max pooling, and one linear layer."""
    return nn.Sequential(
        _conv(channels, 32),
        _conv(32, 32),
        nn.MaxPool2d(2),
        _conv(32, 64),
        nn.MaxPool2d(2),
        _conv(64, 128),
        _conv(128, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, classes),
    )


def all_conv(classes: int, channels: int = 3) -> nn.Module:
    """AllConv (All-CNN-C): convolutions of stride 2 instead of pooling.

    References:
        J. T. Springenberg et al.: Striving for simplicity: the all convolutional net, ICLR workshop 2015.
    """
    return nn.Sequential(
        _conv(channels, 96),
        _conv(96, 96),
        _conv(96, 96, stride=2),
        nn.Dropout(0.3),
        _conv(96, 192),
        _conv(192, 192),
        _conv(192, 192, stride=2),
        nn.Dropout(0.3),
        _conv(192, 192),
        _conv(192, 192, 1),
        *_mean_of_maps(192, classes),
    )


def nin(classes: int, channels: int = 3) -> nn.Module:
    """Network in network: convolutions of size 1 after each larger one.

    References:
        M. Lin, Q. Chen, S. Yan: Network in network, ICLR 2014.
    """
    return nn.Sequential(
        _conv(channels, 192, 5),
        _conv(192, 160, 1),
        _conv(160, 96, 1),
        nn.MaxPool2d(3, 2, 1),
        nn.Dropout(0.3),
        _conv(96, 192, 5),
        _conv(192, 192, 1),
        _conv(192, 192, 1),
        nn.MaxPool2d(3, 2, 1),
        nn.Dropout(0.3),
        _conv(192, 192),
        _conv(192, 192, 1),
        *_mean_of_maps(192, classes),
    )


def vgg(classes: int, channels: int = 3) -> nn.Module:
    """VGG with eight convolutions of 64 to 256 filters and max pooling.

    References:
        K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition, ICLR 2015.
    """
    layers: list[nn.Module] = []
    width = channels
    for outputs in (64, 128, 256, 256):
        layers += [_conv(width, outputs), _conv(outputs, outputs), nn.MaxPool2d(2)]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(width, classes))


class _Residual(nn.Module):
    """Two convolutions beside a shortcut, which skips pixels and adds empty channels where they halve the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, stride=outputs // inputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.added, self.stride = outputs - inputs, outputs // inputs

    def forward(self, x: Tensor) -> Tensor:
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return functional.relu(self.norm(self.second(self.first(x))) + shortcut)


def resnet20(classes: int, channels: int = 3) -> nn.Module:
    """ResNet-20 for small images: three stages of three residual blocks with 16, 32 and 64 filters.

    References:
        K. He et al.: Deep residual learning for image recognition, CVPR 2016, section 4.2 (shortcuts of option A).
    """
    widths = [16] * 3 + [32] * 3 + [64] * 3
    blocks = [_Residual(inputs, outputs) for inputs, outputs in zip([16, *widths], widths, strict=False)]
    return nn.Sequential(_conv(channels, 16), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "plain": plain,
    "all-conv": all_conv,
    "nin": nin,
    "vgg": vgg,
    "resnet20": resnet20,
}
"""By name; each takes the number of classes and of channels."""
