"""A rectifier with a redirected gradient where it would block the gradient of a whole image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class RedirectedReLU(torch.autograd.Function):
    """A clamp from `low` to `high`, both optional, for a loss that is minimized.

    For images whose plain gradient is zero everywhere, the gradient also passes where the rectifier is saturated,
    unless it pushes the input further into saturation. For other images the gradient is the plain one.

    References:
        lucid 0.3.10, `misc/redirected_relu_grad.py`; both of its rules (ReLU and ReLU6) in one.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, low: float = 0.0, high: float | None = None) -> Tensor:
        """Clamp, and save the input."""
        context.save_for_backward(x)
        context.ends = low, math.inf if high is None else high
        return x.clamp(low, high)

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor | None, ...]:
        """The plain gradient, or the redirected one for images for which the plain one is zero."""
        signal, (x,), (low, high) = signals[0], context.saved_tensors, context.ends
        plain = torch.ops.aten.hardtanh_backward(signal, x, low, high)
        stuck = torch.linalg.vector_norm(plain, math.inf, tuple(range(1, x.ndim)), keepdim=True) == 0
        if not stuck.any():
            return plain, None, None
        redirected = signal.masked_fill(((x <= low) & (signal > 0)) | ((x >= high) & (signal < 0)), 0)
        return torch.where(stuck, redirected, plain), None, None
