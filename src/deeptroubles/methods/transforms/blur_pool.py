"""Anti-aliased pooling: a network with a blur before every stride, to compare its stability with and without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, NeedsGraphError, UsageError
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.transforms.shift import ShiftBorder
from deeptroubles.network import TracedNetwork, open_network

_aten = torch.ops.aten
_PADDING = {"black": "constant", "mirror": "reflect", "circular": "circular"}


def blur_pool(classifier: Classifier, size: Count = 3, border: ShiftBorder = "mirror") -> Classifier:
    """Insert a blur before every stride of a classifier.

    Every strided convolution and pooling is computed densely, blurred, and then sampled. Weights are shared and nothing
    is trained. The published networks gain accuracy by training with the blur; without training, accuracy can fall. So
    the result shows how much of a network's instability under shifts comes from aliasing; it is not a better network.
    The blur directly follows the operation, not the rectifier after it.

    Args:
        classifier: The classifier.
        size: Length of the binomial filter: 2, 3, 5, ...; 1 only samples.
        border: Padding of the maps for the filter: `black` (0), `mirror` or `circular`.

    Returns:
        A new classifier that shares the weights.

    Raises:
        ModelError: An average pooling's last window leaves the map (`ceil_mode`).
        NeedsGraphError: The classifier could not be traced.
        UsageError: The size is below 1.

    References:
        R. Zhang, Making convolutional networks shift-invariant again, ICML 2019.
    """
    if size < 1:
        raise UsageError(f"The filter's size is {size}; give 1 or more (3 is usual).")
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise NeedsGraphError(f"{classifier.name} could not be traced, so its strides cannot be changed.")

    def change(module: fx.GraphModule) -> None:
        for node in module.graph.nodes:
            dense = _DENSE.get(node.target)
            if dense is not None:
                node.target = _blurred(dense, size, border)

    return Classifier(
        _Rewritten(classifier, network.rewritten(change), size),
        size=classifier.size,
        channels=classifier.channels,
        class_names=classifier.class_names,
        class_aliases=classifier.class_aliases,
        resize=classifier.resize,
        interpolation=classifier.interpolation,
        name=f"{classifier.name} with blur",
    )


class _Rewritten(nn.Module):
    def __init__(self, original: Classifier, network: TracedNetwork, size: int) -> None:
        super().__init__()
        self.original = original  # holds weights, device and fingerprint
        self.register_buffer("size", torch.tensor(size), persistent=False)
        self._network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self._network(pixels)
        return logits


def blur(maps: Tensor, size: int, strides: Sequence[int], border: ShiftBorder) -> Tensor:
    """Apply a binomial filter, then keep every `strides[0]`-th row and `strides[1]`-th column. Maps: N x C x H x W.

    An axis without a stride is not blurred.
    """
    weights = torch.tensor([math.comb(size - 1, i) for i in range(size)], dtype=maps.dtype, device=maps.device)
    weights /= weights.sum()
    before, after = (size - 1) // 2, size // 2
    for axis, stride in ((0, strides[0]), (1, strides[1])):
        if stride == 1:
            continue
        around = [0, 0, before, after] if axis == 0 else [before, after, 0, 0]
        kernel = weights.view(1, 1, *((-1, 1) if axis == 0 else (1, -1))).expand(maps.shape[1], 1, -1, -1)
        # Maps of one or two rows are too short to reflect.
        mode = "replicate" if border == "mirror" and maps.shape[2 + axis] <= after else _PADDING[border]
        steps = (stride, 1) if axis == 0 else (1, stride)
        maps = functional.conv2d(functional.pad(maps, around, mode=mode), kernel, stride=steps, groups=maps.shape[1])
    return maps


def _blurred(dense: Any, size: int, border: ShiftBorder) -> Any:
    def computed(*arguments: Any) -> Tensor:
        maps, strides = dense(*arguments)
        return blur(maps, size, strides, border)

    return computed


def _dense_convolution(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, tuple[int, int]]:
    return functional.conv2d(maps, weight, bias, 1, padding, dilation, groups), _pair(stride)


def _dense_max_pool(
    maps: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *rest: bool
) -> tuple[Tensor, tuple[int, int]]:
    size, strides, around, apart = _pair(kernel), _pair(stride or kernel), _pair(padding), _pair(dilation)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(size, apart, strict=True))
    (rows, columns), more = _covered(maps, reach, strides, around, *rest)
    padded = functional.pad(maps, (around[1], more[1], around[0], more[0]), value=-torch.inf)
    return functional.max_pool2d(padded, size, 1, 0, apart)[:, :, :rows, :columns], strides


def _dense_average_pool(
    maps: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, *rest: Any
) -> tuple[Tensor, tuple[int, int]]:
    size, strides = _pair(kernel), _pair(stride or kernel)
    (rows, columns), more = _covered(maps, size, strides, _pair(padding), *rest[:1])
    if any(m > p for m, p in zip(more, _pair(padding), strict=True)):
        raise ModelError("An average pooling whose last window leaves the map (ceil_mode) cannot be computed densely.")
    pooled = functional.avg_pool2d(maps, size, 1, padding, False, *rest[1:])  # noqa: FBT003 (the operation's own order)
    return pooled[:, :, :rows, :columns], strides


def _covered(
    maps: Tensor, reach: tuple[int, ...], strides: tuple[int, int], padding: tuple[int, int], *ceil_mode: bool
) -> tuple[list[int], list[int]]:
    """The number of dense positions up to the last one that the stride visits, and the padding needed at the end."""
    positions, more = [], []
    for length, window, stride, around in zip(maps.shape[2:], reach, strides, padding, strict=True):
        room = length + 2 * around - window
        last = -(-room // stride) if any(ceil_mode) else room // stride
        if last * stride >= length + around:  # a window must not start in the padding at the end
            last -= 1
        positions.append(last * stride + 1)
        more.append(max(0, last * stride + window - length - around) if any(ceil_mode) else around)
    return positions, more


def _pair(value: Any) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])


_DENSE = {
    _aten.conv2d.default: _dense_convolution,
    _aten.conv2d.padding: _dense_convolution,
    _aten.max_pool2d.default: _dense_max_pool,
    _aten.avg_pool2d.default: _dense_average_pool,
}
