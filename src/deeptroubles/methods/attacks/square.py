"""Square attack: random search over squares; it uses logits but no gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, lp_norm, quantize
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, NonNegative, Seed, Share
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The steps (of 10,000) after which the paper halves the share of the image that a square covers."""


def square(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    targets: Targets = None,
    steps: Count = 5000,
    p_init: Share = 0.8,
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 256,
) -> AttackResult:
    """Change one random square of the perturbation at a time, and keep changes that raise the margin.

    The perturbation always has norm epsilon: under linf a square gets one of the 2 ** C corners of the ball as its
    color; under l2 a square gets a new pattern, and a second square is emptied in return. Squares shrink on the
    published schedule, scaled to the number of steps. Broken images leave the batch, which does not affect the others.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf` or `l2`.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        steps: Number of candidate perturbations, one query each.
        p_init: Share of the image that the first squares cover (p in the paper).
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        seed: Seed of the squares.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: The norm is neither linf nor l2, epsilon is negative, a class does not exist, or neither labels nor
            targets are given.

    References:
        M. Andriushchenko et al., Square attack: a query-efficient black-box adversarial attack via random search, ECCV
        2020, algorithms 1 to 3 (which never draw the last row and column; here they are drawn).
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    check_ball(epsilon, norm)
    if norm == "l1":
        raise UsageError("The square attack supports the norms linf and l2; choose one of them.")
    goal = Goal.of(classifier, len(batch), labels, targets)
    generator = torch.Generator().manual_seed(seed)
    found, queries = batch.clone(), torch.ones(len(batch), dtype=torch.long, device=batch.device)
    rows = (~goal.reached(logits_of(classifier, batch, batch_size))).nonzero()[:, 0]
    start = (_stripes if norm == "linf" else _waves)(batch, epsilon, generator)
    perturbation, best = start, torch.full((len(batch),), -torch.inf, device=batch.device)
    for step in track(range(steps), "Trying squares"):
        if not len(rows):
            break
        clean, proposed = batch[rows], perturbation[rows]
        if step:
            side = _side(step, steps, p_init, batch)
            change = _recolor if norm == "linf" else _move
            proposed = change(proposed, clean, epsilon, side, rows, len(batch), generator)
        shown = (clean + proposed).clamp(0, 1)
        shown = quantize(shown, clean) if eight_bit else shown
        logits = logits_of(classifier, shown, batch_size)
        queries[rows] += 1
        hit, loss = goal[rows].reached(logits), goal[rows].loss(logits, "margin")
        better = loss > best[rows]  # never true of logits that are not finite
        perturbation[rows[better]], best[rows[better]] = proposed[better], loss[better]
        found[rows[hit]] = shown[hit]
        rows = rows[~hit]
    return scored(classifier, batch, found, goal, norm, queries, batch_size)


def _side(step: int, steps: int, p_init: float, images: Tensor) -> int:
    """The side of the squares of a step, in pixels."""
    height, width = images.shape[2:]
    halvings = sum(step * 10_000 / steps > limit for limit in HALVINGS)
    return min(max(1, round(math.sqrt(p_init * 0.5**halvings * height * width))), height, width)


def _signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.randint(0, 2, shape, generator=generator) * 2 - 1).to(like)


def _corners(images: Tensor, side: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Top rows and left columns of random squares, `count` each."""
    room = torch.tensor(images.shape[2:]) - side + 1
    top, left = (torch.rand(count, 2, generator=generator) * room).long().T.to(images.device)
    return top, left


def _stripes(images: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Vertical stripes of plus and minus epsilon: the first perturbation under linf."""
    count, channels, height, width = images.shape
    return (epsilon * _signs((count, channels, 1, width), images, generator)).expand(-1, -1, height, -1).contiguous()


def _recolor(
    before: Tensor, clean: Tensor, epsilon: float, side: int, rows: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Set a square to plus or minus epsilon, a sign for each channel (algorithm 2)."""
    top, left = _corners(clean, side, count, generator)
    down = torch.arange(clean.shape[2], device=clean.device) - top[rows, None]
    right = torch.arange(clean.shape[3], device=clean.device) - left[rows, None]
    inside = ((down >= 0) & (down < side))[:, None, :, None] & ((right >= 0) & (right < side))[:, None, None, :]
    color = epsilon * _signs((count, clean.shape[1], 1, 1), clean, generator)[rows]
    after = torch.where(inside, color, before)
    # A square that already has its color would waste a query (the authors' code draws again).
    same = (after == before).flatten(1).all(1).view(-1, 1, 1, 1)
    return torch.where(same & inside, -color, after)


def _wave(side: int) -> Tensor:
    """The l2 pattern, a hill above a valley, side x side, of norm 1 (section 3.4, "update of the l2-ball")."""

    def hill(height: int, width: int) -> Tensor:
        rows, columns = (torch.arange(n) - n // 2 for n in (height, width))
        ring = torch.maximum(rows.abs()[:, None], columns.abs()[None])
        shares = 1 / torch.arange(1, max(height, width) // 2 + 2) ** 2
        heights = shares.flip(0).cumsum(0).flip(0)[ring]
        return heights / heights.square().sum().sqrt()

    wave = torch.cat([hill(side // 2, side), -hill(side - side // 2, side)])
    return wave / wave.square().sum().sqrt()


def _waves(images: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Patterns on a grid of at least 5 x 5 tiles: the first perturbation under l2."""
    count, channels, height, width = images.shape
    side = max(1, min(height, width) // 5)
    down, right = height // side, width // side
    wave = _wave(side).to(images)
    turned = torch.rand(count, 1, down, right, 1, 1, generator=generator).to(images) < 0.5
    signs = _signs((count, channels, down, right, 1, 1), images, generator)
    tiles = (torch.where(turned, wave.T, wave) * signs).transpose(3, 4).reshape(count, channels, down * side, -1)
    top, left = (height - down * side) // 2, (width - right * side) // 2
    tiles = pad(tiles, (left, width - right * side - left, top, height - down * side - top))
    return epsilon * tiles / lp_norm(tiles, "l2").view(-1, 1, 1, 1)


def _move(
    before: Tensor, clean: Tensor, epsilon: float, side: int, rows: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Empty one square and give its share of epsilon, and what is unused, to a pattern in another (algorithm 3)."""
    height, width = clean.shape[2:]
    side = min(max(3, side + 1 - side % 2), height, width)  # odd, as published
    span = torch.arange(side, device=clean.device)
    places = []
    for _ in range(2):
        top, left = _corners(clean, side, count, generator)
        places.append((top[rows, None, None, None] + span[:, None], left[rows, None, None, None] + span))
    signs = _signs((count, clean.shape[1], 1, 1), clean, generator)[rows]
    turned = (torch.rand(count, 1, 1, 1, generator=generator).to(clean) < 0.5)[rows]

    # Epsilon that is lost to clipping at [0, 1] is unused.
    spent = (clean + before).clamp(0, 1) - clean
    index = torch.arange(len(clean), device=clean.device).view(-1, 1, 1, 1)
    channel = torch.arange(clean.shape[1], device=clean.device).view(1, -1, 1, 1)
    target, emptied = ((index, channel, *place) for place in places)
    freed = spent.clone()
    freed[target], freed[emptied] = 0, 0
    unused = (epsilon**2 - spent.square().sum((1, 2, 3), keepdim=True)).clamp(min=0) / clean.shape[1]
    given = (spent.square() - freed.square()).sum((2, 3), keepdim=True) + unused
    wave = _wave(side).to(clean)
    old = spent[target]
    mixed = torch.where(turned, wave.T, wave) * signs + old / _length(old)
    after = spent
    after[emptied] = 0
    after[target] = mixed / _length(mixed) * given.clamp(min=0).sqrt()
    return epsilon * after / lp_norm(after, "l2").clamp(min=1e-12).view(-1, 1, 1, 1)


def _length(squares: Tensor) -> Tensor:
    """The L2 norm of each channel, N x C x 1 x 1, never 0."""
    return squares.square().sum((2, 3), keepdim=True).sqrt().clamp(min=1e-12)
