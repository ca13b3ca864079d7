"""Random noise: the baseline for attacks."""

from __future__ import annotations

import torch

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, quantize, uniform
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, NonNegative, Seed
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of


def random_noise(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    targets: Targets = None,
    tries: Count = 10,
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> AttackResult:
    """Add random noise from the ball of radius epsilon, up to `tries` times.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf`, `l2` or `l1`.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        tries: Noise samples per image, after the image itself.
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        seed: Seed of the noise.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: As for `pgd`.

    References:
        None: the usual baseline.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    check_ball(epsilon, norm)
    goal = Goal.of(classifier, len(batch), labels, targets)
    generator = torch.Generator().manual_seed(seed)
    found, rows = batch.clone(), torch.arange(len(batch), device=batch.device)
    queries = torch.zeros(len(batch), dtype=torch.long, device=batch.device)
    for attempt in range(tries + 1):
        clean = batch[rows]
        radius = torch.full((len(rows),), epsilon if attempt else 0.0, device=batch.device)
        noisy = (clean + uniform(clean, radius, norm, generator)).clamp(0, 1)
        noisy = quantize(noisy, clean) if eight_bit else noisy
        hit = goal[rows].reached(logits_of(classifier, noisy, batch_size))
        queries[rows] += 1
        found[rows[hit]] = noisy[hit]
        rows = rows[~hit]
        if not len(rows):
            break
    return scored(classifier, batch, found, goal, norm, queries, batch_size)
