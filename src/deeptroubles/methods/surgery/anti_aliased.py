"""Anti-aliased pooling for training: a blur in every stride of a network, with the weights it has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from deeptroubles.classifier import Classifier
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.transforms.shared.dense import (
    blur,
    check_filter,
    dense_average_pool,
    dense_convolution,
    dense_max_pool,
)
from deeptroubles.methods.transforms.shift import ShiftBorder


def anti_aliased(classifier: Classifier, size: Count = 3, border: ShiftBorder = "mirror") -> Classifier:
    """Copy a classifier so that every stride of a convolution or pooling is computed densely, blurred and sampled.

    Weights, and the shapes of all layers, stay as they are; train the copy to regain the accuracy that the blur costs.
    The blur directly follows the operation, not the rectifier after it. To see what the blur does without training,
    `transforms.blur_pool` is the same change of the traced graph, which shares the weights and is not to be trained.

    The same classifier and settings give the same module, so that its saved state dict can be loaded into one that is
    built again. Names in the state dict are those of the original module after `module.`.

    Args:
        classifier: The classifier; it is copied.
        size: Length of the binomial filter: 2, 3, 5, ...; 1 only samples.
        border: Padding of the maps for the filter: `black` (0), `mirror` or `circular`.

    Returns:
        A classifier in eval mode with the same preprocessing and class names.

    Raises:
        ModelError: An average pooling's last window leaves the map (`ceil_mode`).
        UsageError: The size is below 1, or the border is unknown.

    References:
        R. Zhang, Making convolutional networks shift-invariant again, ICML 2019.
    """
    check_filter(size, border)
    settings = classifier.settings() | {"name": f"{classifier.name} with blur", "source": classifier.source}
    return Classifier(AntiAliased(copy.deepcopy(classifier.module), size, border).eval(), **settings)


class AntiAliased(nn.Module):
    """A module in which every stride is blurred, whether a module or a function of PyTorch takes it."""

    def __init__(self, module: nn.Module, size: int, border: ShiftBorder) -> None:
        super().__init__()
        self.module = module
        self.size = size
        self.border: ShiftBorder = border

    def forward(self, x: Tensor) -> Any:
        """What the module returns, with blurred strides."""
        with _Blurred(self.size, self.border):
            return self.module(x)


class _Blurred(TorchFunctionMode):
    """While it is entered, strides are taken after a blur."""

    def __init__(self, size: int, border: ShiftBorder) -> None:
        super().__init__()
        self._size = size
        self._border: ShiftBorder = border

    def __torch_function__(
        self, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        strided = _STRIDED.get(func)
        if strided is None:
            return func(*args, **(kwargs or {}))
        dense, names = strided
        settings = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
        settings.pop("return_indices", None)  # false: pooling that returns indices is another function
        maps, strides = dense(settings.pop("input"), **settings)
        return maps if strides == (1, 1) else blur(maps, self._size, strides, self._border)


_Dense = Callable[..., tuple[Tensor, tuple[int, int]]]
_aten = torch.ops.aten
_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_MAX_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVERAGE_POOL = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
_STRIDED: dict[Any, tuple[_Dense, tuple[str, ...]]] = {
    **dict.fromkeys((torch.conv2d, _aten.conv2d.default, _aten.conv2d.padding), (dense_convolution, _CONVOLUTION)),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d, _aten.max_pool2d.default), (dense_max_pool, _MAX_POOL)),
    **dict.fromkeys((functional.avg_pool2d, _aten.avg_pool2d.default), (dense_average_pool, _AVERAGE_POOL)),
}
"""Functions that can take a stride: the dense operation, and the names of their arguments in order."""
