"""The loop of iterative gradient attacks: images leave the batch once they reach the goal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import quantize
from deeptroubles.methods.attacks.shared.goal import Goal, Loss
from deeptroubles.network import PIXELS, Network, TracedNetwork, in_fast_layout, open_network, optimized
from deeptroubles.progress import shown
from deeptroubles.subject import PIXELS_WITH_GRADIENT, images_at_once, logits_of

Update = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""`update(step, rows, current, gradient)`: the next versions of the images `rows`."""


def loss_gradient(
    network: Network, pixels: Tensor, goal: Goal, loss: Loss, rival: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Logits (N x K), and the gradient of the loss with respect to the pixels (N x C x H x W)."""
    rows = torch.arange(len(pixels), device=pixels.device)
    size = images_at_once(network.classifier, len(pixels), PIXELS_WITH_GRADIENT)
    found = [
        _loss_gradient(network, pixels[part], goal[part], loss, None if rival is None else rival[part])
        for part in torch.split(rows, size)
    ]
    logits, gradients = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(gradients)


def _loss_gradient(
    network: Network, pixels: Tensor, goal: Goal, loss: Loss, rival: Tensor | None
) -> tuple[Tensor, Tensor]:
    of_its_type = pixels.to(network.classifier.mean.dtype)
    recorded, gradients = network.gradients(of_its_type, [PIXELS], lambda logits: goal.loss(logits, loss, rival))
    shown(of_its_type, recorded.logits)
    return recorded.logits, gradients[PIXELS]


def quick_gradient(classifier: Classifier) -> Callable[[Tensor, Goal, Loss, Tensor | None], tuple[Tensor, Tensor]]:
    """`loss_gradient` of the classifier's network in its quickest form."""
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        return lambda *arguments: loss_gradient(network, *arguments)
    quick = optimized(network, [])
    return lambda pixels, *rest: loss_gradient(quick, in_fast_layout(quick, pixels), *rest)


def hold(
    classifier: Classifier, hit: Tensor, here: Tensor, clean: Tensor, goal: Goal, *, eight_bit: bool
) -> tuple[Tensor, Tensor]:
    """The images that reached the goal, in the form in which they are returned.

    Args:
        classifier: The classifier.
        hit: Which images (N) reached the goal.
        here: The current versions, N x C x H x W.
        clean: The unchanged images, N x C x H x W.
        goal: What is wanted.
        eight_bit: Whether an image must reach the goal after rounding to 8 bits; the rounded image may not reach what
            the float image does.

    Returns:
        Which images still reach the goal (N), and these images.
    """
    if not eight_bit or not hit.any():
        return hit, here[hit]
    kept = quantize(here[hit], clean[hit])
    held = goal[hit].reached(logits_of(classifier, kept, len(kept)))
    return hit.masked_scatter(hit, held), kept[held]


def iterate(
    classifier: Classifier,
    clean: Tensor,
    start: Tensor,
    goal: Goal,
    update: Update,
    *,
    steps: int,
    loss: Loss,
    eight_bit: bool,
    batch_size: int,
    rival: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Update images step by step, each until it reaches the goal.

    Args:
        classifier: The classifier.
        clean: The unchanged images, N x C x H x W.
        start: The first versions, N x C x H x W.
        goal: What is wanted.
        update: The step.
        steps: Maximum number of steps.
        loss: The loss whose gradient is followed.
        eight_bit: Whether the image must reach the goal after rounding to 8 bits.
        batch_size: Images per forward pass.
        rival: See `Goal.loss`.

    Returns:
        The images found (rounded with `eight_bit`), which of them reached the goal, and the queries of each.
    """
    gradient_at = quick_gradient(classifier)
    found = clean.clone()
    reached = torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
    queries = torch.zeros(len(clean), dtype=torch.long, device=clean.device)
    for chunk in torch.split(torch.arange(len(clean), device=clean.device), batch_size):
        rows, here = chunk, start[chunk]
        for step in range(steps + 1):
            wanted = goal[rows]
            logits, gradient = gradient_at(here, wanted, loss, None if rival is None else rival[rows])
            reaching = wanted.reached(logits)
            queries[rows] += 1 + (reaching & eight_bit)
            hit, kept = hold(classifier, reaching, here, clean[rows], wanted, eight_bit=eight_bit)
            found[rows[hit]], reached[rows[hit]] = kept.to(found), True
            rows, here, gradient = rows[~hit], here[~hit], gradient[~hit]
            if not len(rows) or step == steps:
                break
            here = update(step, rows, here, gradient).clamp(0, 1)
    return found, reached, queries
