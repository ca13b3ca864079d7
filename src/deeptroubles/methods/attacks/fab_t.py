"""Targeted fast adaptive boundary attack (FAB-T): small perturbations towards one other class after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, lp_norm
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal, other_classes
from deeptroubles.methods.attacks.shared.hyperplanes import to_hyperplane
from deeptroubles.methods.attacks.shared.iterate import quick_gradient
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, NonNegative, Positive, Share
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of


def fab_t(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    norm: Norm = "linf",
    epsilon: NonNegative | None = None,
    steps: Count = 100,
    candidates: Count = 9,
    alpha_max: Share = 0.1,
    eta: Positive = 1.05,
    beta: Share = 0.9,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Step to the linearized boundary of another class, with a pull towards the clean image's closest boundary point.

    Whenever the prediction has changed, the search continues from a point closer to the clean image. The smallest
    perturbation over all classes is returned.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        norm: The norm that is minimized: `linf` or `l2`.
        epsilon: Stop at the first perturbation of at most this norm, and count no larger one as a success. Default:
            look for the smallest perturbation.
        steps: Steps per class.
        candidates: Number of other classes, the most likely ones on the clean image; one run each.
        alpha_max: Largest weight of the pull.
        eta: How far a step goes, as a multiple of the distance to the linearized boundary.
        beta: After a success, the search continues from this share of the perturbation.
        eight_bit: Return images rounded to 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: The norm is neither linf nor l2, a class does not exist, epsilon is negative, or there are no
            labels.

    References:
        F. Croce, M. Hein, Minimally distorted adversarial examples with a fast adaptive boundary attack, ICML 2020,
        algorithm 1; targeted as in F. Croce, M. Hein, Reliable evaluation of adversarial robustness, ICML 2020,
        section 5.
    """
    check_ball(epsilon or 0.0, norm)
    if norm == "l1":
        raise UsageError("FAB-T supports the norms linf and l2; choose one of them.")
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, None)
    logits = logits_of(classifier, batch, batch_size)
    others = other_classes(logits, goal.classes)[:, :candidates]
    search = _Search(classifier, batch, goal, norm, alpha_max, eta, beta, eight_bit=eight_bit)
    enough = -1.0 if epsilon is None else epsilon + 1e-6
    rows = (~goal.reached(logits)).nonzero()[:, 0]
    for rival in others.T:
        for chunk in torch.split(rows, batch_size):
            search.run(chunk, rival, steps, enough)
        rows = rows[search.distance[rows] > enough]
    near = search.distance <= (torch.inf if epsilon is None else enough)
    found = torch.where(near.view(-1, 1, 1, 1), search.found, batch)
    return scored(classifier, batch, found, goal, norm, search.queries + 1, batch_size)


class _Search:
    """The settings of a search, and the smallest perturbation found for each image so far."""

    def __init__(
        self,
        classifier: Classifier,
        clean: Tensor,
        goal: Goal,
        norm: Norm,
        alpha_max: float,
        eta: float,
        beta: float,
        *,
        eight_bit: bool,
    ) -> None:
        self.classifier, self.clean, self.goal, self.norm = classifier, clean, goal, norm
        self.alpha_max, self.eta, self.beta, self.eight_bit = alpha_max, eta, beta, eight_bit
        self.found, self.distance = clean.clone(), torch.full((len(clean),), torch.inf, device=clean.device)
        self.queries = torch.zeros(len(clean), dtype=torch.long, device=clean.device)

    def run(self, rows: Tensor, rival: Tensor, steps: int, enough: float) -> None:
        """Search towards one class per image (`rival`, N), until the distance is at most `enough`."""
        gradient_at, here = quick_gradient(self.classifier), self.clean[rows]
        for _ in range(steps):
            clean, wanted, aim = self.clean[rows], self.goal[rows], rival[rows]
            logits, gradient = gradient_at(self._shown(here, clean), wanted, "margin", aim)
            # The gap is that of the image as shown: what rounding takes is closed with it.
            here = self._toward(here, clean, gradient, -wanted.loss(logits, "margin", aim))
            shown = self._shown(here, clean)
            hit = wanted.clearly_reached(logits_of(self.classifier, shown, len(shown)))
            self.queries[rows] += 2
            length = lp_norm(shown - clean, self.norm)
            closer = hit & (length < self.distance[rows])
            self.found[rows[closer]], self.distance[rows[closer]] = shown[closer], length[closer]
            here = torch.where(hit.view(-1, 1, 1, 1), clean + self.beta * (here - clean), here)
            left = self.distance[rows] > enough
            rows, here = rows[left], here[left]
            if not len(rows):
                break

    def _shown(self, here: Tensor, clean: Tensor) -> Tensor:
        return as_8_bit(here) if self.eight_bit else here

    def _toward(self, here: Tensor, clean: Tensor, gradient: Tensor, gap: Tensor) -> Tensor:
        """Beyond the linearized boundary, between the closest points of it to the current and to the clean image."""
        step = to_hyperplane(here, gradient, gap, self.norm)
        gap_of_clean = gap + (gradient * (here - clean)).flatten(1).sum(1)
        pull = to_hyperplane(clean, gradient, gap_of_clean, self.norm)
        own, other = (lp_norm(each, self.norm).clamp(min=1e-8) for each in (step, pull))
        weight = (own / (own + other)).clamp(max=self.alpha_max).view(-1, 1, 1, 1)
        mixed = (here + self.eta * step) * (1 - weight) + (clean + self.eta * pull) * weight
        return mixed.clamp(0, 1)
