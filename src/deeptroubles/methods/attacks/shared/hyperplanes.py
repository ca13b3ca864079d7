"""The closest point of a hyperplane inside the box of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.attacks.shared.balls import Norm, steepest_direction


def to_hyperplane(images: Tensor, normal: Tensor, gap: Tensor, norm: Norm) -> Tensor:
    """The smallest step (linf or l2) that closes a gap along a normal, with every pixel staying in [0, 1].

    The step is `t` times the direction of steepest ascent, with every coordinate held at its limit. The gap it closes
    is a piecewise linear function of `t` with a kink where a coordinate reaches its limit, so it is inverted exactly.

    Args:
        images: N x C x H x W, in [0, 1].
        normal: N x C x H x W.
        gap: How far the inner product of image and normal is to change, N.
        norm: `linf` or `l2`.

    Returns:
        N x C x H x W. Where the box allows no step that closes the gap, the one that closes most of it.

    References:
        F. Croce, M. Hein, Minimally distorted adversarial examples with a fast adaptive boundary attack, ICML 2020,
        section 2.1 and appendix A.
    """
    weight = (normal * gap.sign().view(-1, 1, 1, 1)).double()
    slope = steepest_direction(weight, norm).abs().flatten(1)
    weight, pixels, wanted = weight.flatten(1), images.double().flatten(1), gap.double().abs()[:, None]
    room = torch.where(weight > 0, 1 - pixels, pixels).clamp(min=0)
    kink, order = torch.where(slope > 0, room / slope, torch.inf).sort(1)
    held = (weight.abs() * room).gather(1, order)
    before = held.cumsum(1) - held  # what the coordinates that are held by now have closed
    rate = (weight.abs() * slope).gather(1, order).flip(1).cumsum(1).flip(1)  # of this and all later coordinates
    closed = torch.where(kink.isfinite(), before + rate * kink, torch.inf)
    piece = torch.searchsorted(closed, wanted).clamp(max=pixels.shape[1] - 1)
    length = (wanted - before.gather(1, piece)) / rate.gather(1, piece).clamp(min=1e-30)
    return (torch.minimum(length * slope, room) * weight.sign()).view_as(images).to(images)
