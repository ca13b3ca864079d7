"""Gradients of a score that may not depend on everything that it is differentiated by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradients_of(score: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of the sum of a score; zeros where no gradient reaches a tensor (detached, rounded to integers)."""
    total = score.sum()
    if not total.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    # A tensor of integers has no gradient, and neither has one that was detached on the way.
    reached = [tensor for tensor in tensors if tensor.requires_grad]
    found = iter(torch.autograd.grad(total, reached, allow_unused=True, materialize_grads=True))
    return [next(found) if tensor.requires_grad else torch.zeros_like(tensor) for tensor in tensors]
