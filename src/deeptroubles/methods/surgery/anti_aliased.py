"""Anti-aliased pooling for training: a blur in every stride of a network, with the weights it has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.transforms.shared.dense import (
    blur,
    dense_average_pool,
    dense_convolution,
    dense_max_pool,
    pair,
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
        UsageError: The size is below 1, or no convolution or pooling has a stride.

    References:
        R. Zhang, Making convolutional networks shift-invariant again, ICML 2019.
    """
    if size < 1:
        raise UsageError(f"The filter's size is {size}; give 1 or more (3 is usual).")
    module = AntiAliased(copy.deepcopy(classifier.module), size, border).eval()
    blurred = copy.copy(classifier)
    blurred.__dict__ = {**classifier.__dict__, "_modules": {"module": module}}
    blurred._buffers = {name: buffer.clone() for name, buffer in classifier.named_buffers(recurse=False)}  # noqa: SLF001
    blurred.name = f"{classifier.name} with blur"
    return blurred


class AntiAliased(nn.Module):
    """A module in which every stride is blurred, whether a module or a function of PyTorch takes it."""

    def __init__(self, module: nn.Module, size: int, border: ShiftBorder) -> None:
        super().__init__()
        self.module = module
        self.size = size
        self.border: ShiftBorder = border

    def forward(self, x: Tensor) -> Any:
        with _Blurred(self.size, self.border):
            return self.module(x)
