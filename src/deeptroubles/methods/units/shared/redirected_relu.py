"""A rectifier that lets a signal back through where nothing else would get through: it wakes dead units."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class RedirectedReLU(torch.autograd.Function):
    """A clamp from `low` to `high`, both optional, whose gradient never dies altogether, for a loss that is minimised.

    Its gradient is the plain one for every image of the batch for which that is not zero everywhere. For the other
    images, whose optimisation would be stuck, the signal passes also where the rectifier is shut, unless it pushes
    the input further to the side on which it is shut.

    References:
        lucid 0.3.10, `misc/redirected_relu_grad.py`: both of its rules (ReLU and ReLU6) in one.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, low: float = 0.0, high: float | None = None) -> Tensor:
        """Clamp, and remember the input."""
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
