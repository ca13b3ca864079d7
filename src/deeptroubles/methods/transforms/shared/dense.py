"""Strided operations computed densely, to be blurred before their stride is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.transforms.shift import ShiftBorder

_PADDING = {"black": "constant", "mirror": "reflect", "circular": "circular"}


def check_filter(size: int, border: str) -> None:
    """Raise UsageError when a filter has no taps, or its border is unknown."""
    if size < 1:
        raise UsageError(f"The filter's size is {size}; give 1 or more (3 is usual).")
    if border not in _PADDING:
        raise UsageError(f"There is no border {border!r}; choose one of {', '.join(_PADDING)}.")


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


def dense_convolution(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, tuple[int, int]]:
    """A convolution without its stride, and the stride."""
    return functional.conv2d(maps, weight, bias, 1, padding, dilation, groups), pair(stride)


def dense_max_pool(
    maps: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 (the operation's own order)
) -> tuple[Tensor, tuple[int, int]]:
    """Maximum pooling without its stride, and the stride."""
    size, around, apart = pair(kernel_size), pair(padding), pair(dilation)
    strides = pair(stride or kernel_size)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(size, apart, strict=True))
    (rows, columns), more = _covered(maps, reach, strides, around, ceil_mode=ceil_mode)
    padded = functional.pad(maps, (around[1], more[1], around[0], more[0]), value=-torch.inf)
    return functional.max_pool2d(padded, size, 1, 0, apart)[:, :, :rows, :columns], strides


def dense_average_pool(
    maps: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 (the operation's own order)
    count_include_pad: bool = True,  # noqa: FBT001, FBT002
    divisor_override: int | None = None,
) -> tuple[Tensor, tuple[int, int]]:
    """Average pooling without its stride, and the stride.

    Raises:
        ModelError: The last window leaves the map (`ceil_mode`).
    """
    size, strides = pair(kernel_size), pair(stride or kernel_size)
    (rows, columns), more = _covered(maps, size, strides, pair(padding), ceil_mode=ceil_mode)
    if any(m > p for m, p in zip(more, pair(padding), strict=True)):
        raise ModelError("An average pooling whose last window leaves the map (ceil_mode) cannot be computed densely.")
    pooled = functional.avg_pool2d(
        maps, size, 1, padding, count_include_pad=count_include_pad, divisor_override=divisor_override
    )
    return pooled[:, :, :rows, :columns], strides


def _covered(
    maps: Tensor, reach: tuple[int, ...], strides: tuple[int, int], padding: tuple[int, int], *, ceil_mode: bool
) -> tuple[list[int], list[int]]:
    """The number of dense positions up to the last one that the stride visits, and the padding needed at the end."""
    positions, more = [], []
    for length, window, stride, around in zip(maps.shape[2:], reach, strides, padding, strict=True):
        room = length + 2 * around - window
        last = -(-room // stride) if ceil_mode else room // stride
        if last * stride >= length + around:  # a window must not start in the padding at the end
            last -= 1
        positions.append(last * stride + 1)
        more.append(max(0, last * stride + window - length - around) if ceil_mode else around)
    return positions, more


def pair(value: Any) -> tuple[int, int]:
    """A number for both axes, or one for each."""
    values = (value, value) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])
