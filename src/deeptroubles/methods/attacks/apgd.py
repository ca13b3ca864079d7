"""Auto-PGD (APGD): projected gradient descent that chooses its own step size."""

from __future__ import annotations

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.auto_pgd import Schedule, auto_pgd
from deeptroubles.methods.attacks.shared.balls import Norm
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal, Loss
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.parameters import Count, NonNegative, Seed, Share
from deeptroubles.methods.targets import Images, Targets


def apgd(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    targets: Targets = None,
    loss: Loss = "cross_entropy",
    steps: Count = 100,
    restarts: Count = 1,
    rho: Share = 0.75,
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> AttackResult:
    """Take gradient steps with momentum whose size halves when the loss stops rising.

    Every run starts from a random point of the ball. The first step size is twice epsilon. At checkpoints, images whose
    loss rose in too few steps continue from their best point with half the step size.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf` or `l2`.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        loss: `cross_entropy` (APGD-CE), `dlr` (APGD-DLR) or `margin`.
        steps: Steps per run.
        restarts: Number of runs, including the first.
        rho: The step size halves where fewer than this share of the steps since the last checkpoint raised the loss.
        eight_bit: Return images rounded to 8 bits, and count success on them.
        seed: Seed of the random starts.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: The norm is neither linf nor l2, a class does not exist, epsilon is negative, or neither labels nor
            targets are given.

    References:
        F. Croce, M. Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks, ICML 2020, algorithm 1 and section 3.
    """
    schedule = Schedule(epsilon, norm, steps, rho)
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, targets)
    return auto_pgd(
        classifier,
        batch,
        goal,
        schedule,
        [None] * restarts,
        loss=loss,
        eight_bit=eight_bit,
        seed=seed,
        batch_size=batch_size,
    )
