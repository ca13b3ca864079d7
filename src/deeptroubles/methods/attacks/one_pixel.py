"""One-pixel attack: search for a single pixel that changes the prediction when set to a corner of the color cube."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import loss_gradient
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.network import open_network
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.subject import logits_of

LOCAL = 16
"""From this side length on, only activations that a pixel changes are computed; below, whole images are faster."""
MAX_CHANNELS = 3
"""With more channels than this, only black and white are tried, because there would be too many corners."""


def one_pixel(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    targets: Targets = None,
    pixels: Count = 1,
    limit: Count = 8192,
    batch_size: Count = 256,
) -> AttackResult:
    """Set one pixel after the other to black, white and the other corners of the color cube, most promising first.

    Candidates are ranked by gradient, and an image is finished at its first success. If `limit` is at least corners x
    height x width (8,192 for a color image of 32 x 32), the search is exhaustive: every corner is tried at every pixel.
    Success rates are lower bounds, because colors inside the cube are not tried. On small networks those broke no
    further images (see the tests).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1]; they are rounded to 8 bits.
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        pixels: Maximum number of pixels to change, chosen greedily.
        limit: Number of candidates that are tried for each pixel.
        batch_size: Candidates per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the number of changed pixels (distance) and
        the number of queries.

    Raises:
        UsageError: A class does not exist, or neither labels nor targets are given.

    References:
        J. Su, D. V. Vargas, K. Sakurai, One pixel attack for fooling deep neural networks, IEEE TEVC 2019 (with
        differential evolution, as in `one_pixel_evolution`).
    """
    batch = clean_batch(classifier, images, eight_bit=True)
    goal = Goal.of(classifier, len(batch), labels, targets)
    found, queries = batch.clone(), torch.ones(len(batch), dtype=torch.long, device=batch.device)
    wrong = ~goal.reached(logits_of(classifier, batch, batch_size))
    for i in wrong.nonzero()[:, 0].tolist():
        row = torch.tensor([i], device=batch.device)
        for _ in range(pixels):
            best, reached, shown = _scan(classifier, found[i], goal[row], limit, batch_size)
            found[i], queries[i] = best, queries[i] + shown
            if reached:
                break
    return scored(classifier, batch, found, goal, "l0", queries, batch_size)


def corners(channels: int) -> Tensor:
    """The corners of the color cube, M x C: all 2 ** C of them, or black and white where there are too many."""
    if channels > MAX_CHANNELS:
        return torch.tensor([[0.0], [1.0]]).expand(2, channels)
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * channels).view(-1, channels)


def _scan(classifier: Classifier, image: Tensor, goal: Goal, limit: int, batch_size: int) -> tuple[Tensor, bool, int]:
    """The best image with one more pixel changed, whether it reaches the goal, and how many were tried."""
    network = open_network(classifier)
    _, gradient = loss_gradient(network, image[None], goal, "margin")
    colors = corners(classifier.channels).to(image)
    promise = torch.einsum("chw,mc->hwm", gradient[0], colors) - (gradient[0] * image).sum(0)[..., None]
    order = promise.flatten().argsort(descending=True, stable=True)[:limit]
    places, which = order // len(colors), order % len(colors)
    rows, columns = places // image.shape[2], places % image.shape[2]
    edits = LocalEdits(network, image[None])
    best, best_loss = image, -torch.inf
    for start in range(0, len(order), batch_size):
        part = slice(start, start + batch_size)
        logits = pixel_logits(edits, rows[part], columns[part], colors[which[part]], batch_size)
        several = Goal(goal.classes.expand(len(logits)), goal.targeted)
        loss, hit = several.loss(logits, "margin"), several.reached(logits)
        i = int(torch.where(hit, torch.inf, loss).argmax()) if hit.any() else int(loss.argmax())
        if hit.any() or loss[i] > best_loss:
            best, best_loss = (
                set_pixels(image, rows[part][i : i + 1], columns[part][i : i + 1], colors[which[part][i : i + 1]])[0],
                float(loss[i]),
            )
        if hit.any():
            return best, True, start + len(logits) + 1
    return best, False, len(order) + 1


def pixel_logits(edits: LocalEdits, rows: Tensor, columns: Tensor, colors: Tensor, batch_size: int) -> Tensor:
    """The logits of copies of an image, each with one pixel set to a color (colors: M x C): M x K."""
    image = edits.image[0]
    if min(image.shape[1:]) < LOCAL:
        return logits_of(edits.classifier, set_pixels(image, rows, columns, colors), batch_size)
    boxes = torch.stack([rows, columns, rows + 1, columns + 1], dim=1)
    return edits.logits(boxes, colors[..., None, None], batch_size)


def set_pixels(image: Tensor, rows: Tensor, columns: Tensor, colors: Tensor) -> Tensor:
    """Copies of an image (C x H x W), each with one pixel set: M x C x H x W."""
    copies = image.repeat(len(rows), 1, 1, 1)
    copies[torch.arange(len(rows), device=image.device), :, rows, columns] = colors
    return copies
