"""AutoAttack: four attacks with fixed settings, each on the images that the ones before did not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.apgd import apgd
from deeptroubles.methods.attacks.apgd_t import apgd_t
from deeptroubles.methods.attacks.fab_t import fab_t
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.attacks.square import square
from deeptroubles.methods.parameters import Count, NonNegative, Seed
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of


@dataclass(frozen=True)
class AutoAttackResult(AttackResult):
    """What the four attacks found.

    Attributes:
        accuracy: Share of the images that still have their label after each attack, by its name; `clean` before all.
    """

    accuracy: dict[str, float]


def auto_attack(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> AutoAttackResult:
    """Run APGD-CE, APGD-T, FAB-T and Square with the settings of the standard version of AutoAttack.

    These are 100 steps of each gradient attack, the nine most likely other classes, and 5,000 queries of Square. Images
    whose prediction has changed leave the batch. On networks with fewer than ten classes all other classes are targets.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf` or `l2`.
        eight_bit: Return images rounded to 8 bits, and count success on them.
        seed: Seed of everything random.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether an attack succeeded, the distance and the number of queries; the
        accuracy after each attack.

    Raises:
        UsageError: The norm is neither linf nor l2, epsilon is negative, a class does not exist, or there are no
            labels.

    References:
        F. Croce, M. Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks, ICML 2020, section 5.
    """
    check_ball(epsilon, norm)
    if norm == "l1":
        raise UsageError("AutoAttack supports the norms linf and l2; choose one of them.")
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, None)
    attacks: dict[str, Callable[..., AttackResult]] = {
        "apgd_ce": partial(apgd, seed=seed),
        "apgd_t": partial(apgd_t, seed=seed),
        "fab_t": fab_t,
        "square": partial(square, seed=seed),
    }
    found, queries = batch.clone(), torch.ones(len(batch), dtype=torch.long, device=batch.device)
    rows = (~goal.reached(logits_of(classifier, batch, batch_size))).nonzero()[:, 0]
    accuracy = {"clean": len(rows) / len(batch)}
    for name, attack in attacks.items():
        if len(rows):
            result = attack(
                classifier,
                batch[rows],
                goal.classes[rows],
                epsilon=epsilon,
                norm=norm,
                eight_bit=eight_bit,
                batch_size=batch_size,
            )
            found[rows], queries[rows] = result.images, queries[rows] + result.queries
            rows = rows[~result.success]
        accuracy[name] = len(rows) / len(batch)
    return AutoAttackResult(
        **vars(scored(classifier, batch, found, goal, norm, queries, batch_size)), accuracy=accuracy
    )
