"""Targeted Auto-PGD (APGD-T): Auto-PGD towards one other class after the other."""

from __future__ import annotations

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.auto_pgd import Schedule, auto_pgd
from deeptroubles.methods.attacks.shared.balls import Norm
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal, other_classes
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.parameters import Count, NonNegative, Seed, Share
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of


def apgd_t(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    steps: Count = 100,
    candidates: Count = 9,
    rho: Share = 0.75,
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> AttackResult:
    """Run Auto-PGD on the targeted DLR loss towards each of the most likely other classes.

    The attack succeeds as soon as any class other than the true one is predicted. With three classes or fewer, for
    which there is no targeted DLR loss, the loss is the margin.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf` or `l2`.
        steps: Steps per class.
        candidates: Number of other classes, the most likely ones on the clean image; one run each.
        rho: The step size halves where fewer than this share of the steps since the last checkpoint raised the loss.
        eight_bit: Return images rounded to 8 bits, and count success on them.
        seed: Seed of the random starts.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: The norm is neither linf nor l2, a class does not exist, epsilon is negative, or there are no
            labels.

    References:
        F. Croce, M. Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks, ICML 2020, algorithm 1 and equation 7.
    """
    schedule = Schedule(epsilon, norm, steps, rho)
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, None)
    others = other_classes(logits_of(classifier, batch, batch_size), goal.classes)
    return auto_pgd(
        classifier,
        batch,
        goal,
        schedule,
        list(others.T[:candidates]),
        loss="dlr",
        eight_bit=eight_bit,
        seed=seed,
        batch_size=batch_size,
    )
