"""Norm balls: norms, steepest directions, projections, random points and rounding of perturbations."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.eight_bits import as_8_bit

Norm = Literal["linf", "l2", "l1"]
NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")
_SHARE = 0.02
"""Share of the coordinates that one step changes under L1 (Croce and Hein 2021, "Mind the box": sparse ascent)."""


def lp_norm(perturbation: Tensor, norm: Norm | Literal["l0"]) -> Tensor:
    """The norm of each image's perturbation (N x C x H x W), N. Pixels are in [0, 1]; l0 counts changed positions."""
    flat = perturbation.flatten(1)
    if norm == "l0":
        return (perturbation != 0).any(1).sum((1, 2)).to(perturbation)
    if norm == "linf":
        return flat.abs().amax(1)
    return flat.square().sum(1).sqrt() if norm == "l2" else flat.abs().sum(1)


def steepest_direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The direction of norm 1 of steepest ascent, N x ...; under L1 spread over the few steepest coordinates."""
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        largest = lp_norm(gradient, "linf")
        # Squares of small gradients (below 1e-22, as of a very confident network) are 0 in single precision.
        scaled = gradient / _per_image(torch.where(largest > 0, largest, 1.0), gradient)
        return scaled / _per_image(lp_norm(scaled, "l2").clamp(min=1.0), gradient)
    flat = gradient.flatten(1)
    count = max(1, round(_SHARE * flat.shape[1]))
    kept = flat.abs().topk(count, dim=1)
    # Proportional to the gradient, not to its sign: otherwise, with repeated projection, one coordinate takes all.
    shares = kept.values / kept.values.sum(1, keepdim=True).clamp(min=1e-30)
    return (torch.zeros_like(flat).scatter(1, kept.indices, shares) * flat.sign()).view_as(gradient)


def project(perturbation: Tensor, epsilon: Tensor, norm: Norm) -> Tensor:
    """The closest perturbation whose norm is at most `epsilon` (N)."""
    if norm == "linf":
        limit = _per_image(epsilon, perturbation)
        return perturbation.clamp(-limit, limit)
    if norm == "l2":
        return perturbation * _per_image(
            (epsilon / lp_norm(perturbation, "l2").clamp(min=1e-30)).clamp(max=1), perturbation
        )
    # Duchi et al. 2008, "Efficient projections onto the l1-ball", figure 1.
    flat = perturbation.flatten(1).abs()
    ordered = flat.sort(1, descending=True).values
    over = (ordered.cumsum(1) - epsilon[:, None]) / torch.arange(1, flat.shape[1] + 1, device=flat.device)
    last = (ordered > over).sum(1, keepdim=True).clamp(min=1) - 1
    threshold = _per_image(over.gather(1, last)[:, 0].clamp(min=0), perturbation)
    inside = perturbation.sign() * (perturbation.abs() - threshold).clamp(min=0)
    return torch.where(_per_image(lp_norm(perturbation, "l1") <= epsilon, perturbation), perturbation, inside)


def uniform(like: Tensor, epsilon: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """A random perturbation in the ball: uniform (linf, l2), or of norm epsilon on random coordinates (l1)."""
    noise = torch.randn(like.shape, generator=generator).to(like)
    if norm == "linf":
        noise = torch.rand(like.shape, generator=generator).to(like) * 2 - 1
        return noise * _per_image(epsilon, like)
    if norm == "l2":
        radius = torch.rand(len(like), generator=generator).to(like) ** (1 / like[0].numel())
        return steepest_direction(noise, "l2") * _per_image(epsilon * radius, like)
    return steepest_direction(noise, "l1") * _per_image(epsilon, like)


def quantize(images: Tensor, clean: Tensor) -> Tensor:
    """Images rounded to multiples of 1/255, towards the clean image, which must consist of such.

    This way, rounding never increases any norm of a perturbation.
    """
    steps = ((images - clean) * 255).double()
    steps = (steps.abs() + 1e-4).floor() * steps.sign()  # 7.99999 is 8 computed in floats
    return as_8_bit((clean + steps.to(clean) / 255).clamp(0, 1))


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))


def check_ball(epsilon: float, norm: str) -> None:
    """Raises UsageError when the norm does not exist, or epsilon is negative or meant for 0..255."""
    if norm not in NORMS:
        raise UsageError(f"There is no norm {norm!r}; choose one of {', '.join(NORMS)}.")
    if epsilon < 0:
        raise UsageError(f"Epsilon is {epsilon:g}; give 0 or more, for pixels in [0, 1].")
    if norm == "linf" and epsilon > 1:
        raise UsageError(
            f"Epsilon is {epsilon:g}, but pixels are in [0, 1] and no change is larger than 1; {epsilon:g} of 255 is "
            f"{epsilon:g}/255 = {epsilon / 255:.3g}."
        )
