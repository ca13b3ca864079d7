"""One-pixel attack by differential evolution, as published, on all images at once."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.one_pixel import pixel_logits
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, NonNegative, Seed
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.network import open_network
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

TARGET_ABOVE, TRUE_BELOW = 0.9, 0.05
"""Stopping rule of the paper: the target's probability is above the first, or the true class's below the second."""


def one_pixel_evolution(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    targets: Targets = None,
    pixels: Count = 1,
    population: Annotated[int, Ge(4)] = 400,
    generations: Count = 100,
    scale: NonNegative = 0.5,
    seed: Seed = 0,
    batch_size: Count = 256,
) -> AttackResult:
    """Evolve the positions and colors of k pixels: DE/rand/1 without crossover; a child replaces its own parent.

    A candidate is (row, column, color) for every pixel; initial positions are uniform, initial colors N(128, 127) in
    8 bits. The fitness is the probability of the target (maximized) or of the true class (minimized). The stopping rule
    is the paper's: above 90% for the target, below 5% for the true class; finished images leave the batch.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1]; they are rounded to 8 bits.
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        pixels: Number of pixels to change.
        population: Candidates per image; a child is made of three others.
        generations: Maximum number of generations.
        scale: Scale of the difference of two candidates that is added to a third (F in the paper).
        seed: Seed of the evolution; the result of an image does not depend on the other images.
        batch_size: Candidates per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the number of changed pixels (distance) and
        the number of queries.

    Raises:
        UsageError: There are fewer than 4 candidates, a class does not exist, or neither labels nor targets are given.

    References:
        J. Su, D. V. Vargas, K. Sakurai, One pixel attack for fooling deep neural networks, IEEE TEVC 2019.
    """
    if population < 4:
        raise UsageError(f"The population is {population}; give at least 4, because a child is made of three others.")
    batch = clean_batch(classifier, images, eight_bit=True)
    goal = Goal.of(classifier, len(batch), labels, targets)
    generators = [torch.Generator().manual_seed(seed * 1_000_003 + i) for i in range(len(batch))]
    candidates = torch.stack([_first(classifier, population, pixels, g) for g in generators]).to(batch.device)
    rows = torch.arange(len(batch), device=batch.device)
    fitness = _fitness(classifier, batch, candidates, goal, batch_size)
    queries = torch.full((len(batch),), population, device=batch.device)
    for _ in track(range(generations), "Evolving pixels"):
        best = fitness[rows].amax(1)
        rows = rows[best <= TARGET_ABOVE if goal.targeted else best <= 1 - TRUE_BELOW]
        if not len(rows):
            break
        children = torch.stack([_children(candidates[i], scale, generators[int(i)]) for i in rows])
        value = _fitness(classifier, batch[rows], children, goal[rows], batch_size)
        better = value > fitness[rows]
        candidates[rows] = torch.where(better[..., None, None], children, candidates[rows])
        fitness[rows] = torch.where(better, value, fitness[rows])
        queries[rows] += population
    which = fitness.argmax(1)
    every = torch.arange(len(batch), device=batch.device)
    found = torch.cat([_paint(batch[i], candidates[i, which[i]][None]) for i in every])
    return scored(classifier, batch, found, goal, "l0", queries, batch_size)


def _first(classifier: Classifier, population: int, pixels: int, generator: torch.Generator) -> Tensor:
    """The first generation, population x pixels x (2 + C): row and column as shares of the image, color in [0, 1]."""
    places = torch.rand(population, pixels, 2, generator=generator)
    colors = (128 + 127 * torch.randn(population, pixels, classifier.channels, generator=generator)) / 255
    return torch.cat([places, colors], dim=2).clamp(0, 1)


def _children(candidates: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """x_r1 + F (x_r2 - x_r3) for every member, with three different others; clipped at the borders."""
    count = len(candidates)
    order = torch.rand(count, count, generator=generator).to(candidates.device)
    order.fill_diagonal_(2.0)  # a candidate is not its own parent
    first, second, third = order.argsort(1)[:, :3].T
    return (candidates[first] + scale * (candidates[second] - candidates[third])).clamp(0, 1)


def _fitness(classifier: Classifier, images: Tensor, candidates: Tensor, goal: Goal, batch_size: int) -> Tensor:
    """Probability of the target, or of all but the true class: N x population."""
    shares = [
        _logits(classifier, image, members, batch_size).softmax(1)[:, wanted]
        for image, members, wanted in zip(images, candidates, goal.classes, strict=True)
    ]
    share = torch.stack(shares)
    return share if goal.targeted else 1 - share


def _logits(classifier: Classifier, image: Tensor, members: Tensor, batch_size: int) -> Tensor:
    """The logits of the images that members encode; a single pixel is computed locally, where that is faster."""
    if members.shape[1] > 1:
        parts = torch.split(members, batch_size)
        return torch.cat([logits_of(classifier, _paint(image, part), batch_size) for part in parts])
    rows, columns = (places[:, 0] for places in _places(image, members))
    edits = LocalEdits(open_network(classifier), image[None])
    return pixel_logits(edits, rows, columns, as_8_bit(members[:, 0, 2:]), batch_size)


def _places(image: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the pixels that members change, M x pixels each."""
    height, width = image.shape[1:]
    rows = (members[..., 0] * height).long().clamp(max=height - 1)
    return rows, (members[..., 1] * width).long().clamp(max=width - 1)


def _paint(image: Tensor, members: Tensor) -> Tensor:
    """The images that members encode, with 8-bit colors: M x C x H x W."""
    rows, columns = _places(image, members)
    copies = image.repeat(len(members), 1, 1, 1)
    every = torch.arange(len(members), device=image.device)
    for pixel in range(members.shape[1]):
        copies[every, :, rows[:, pixel], columns[:, pixel]] = as_8_bit(members[:, pixel, 2:])
    return copies
