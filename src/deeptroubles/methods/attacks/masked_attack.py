"""Robust physical perturbations (RP2): the same stickers on one object in all its photographs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.balls import quantize
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.expectation import ascend_expectation, success_rate
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.printability import non_printability
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, NonNegative, Positive, Seed
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.methods.transforms.shared.physical import Conditions, draw_views, see
from deeptroubles.statistics.intervals import Interval

CAMERA = Conditions()


@dataclass(frozen=True, repr=False)
class MaskedResult(AttackResult):
    """The perturbed photographs, and the success rate on new views.

    The attributes of `AttackResult` are about the photographs themselves, not their views; distance is the L2 norm.

    Attributes:
        perturbation: What is added to every photograph, C x H x W; 0 outside the mask.
        seen: Share of new views of the perturbed photographs that reach the goal (Wilson interval over views).
        control: The same views, with random content inside the mask.
        clean: The same views of the original photographs.
    """

    perturbation: Tensor
    seen: Interval
    control: Interval
    clean: Interval


@torch.inference_mode(mode=False)
def masked_attack(
    classifier: Classifier,
    images: Images,
    mask: Tensor,
    labels: Targets = None,
    *,
    targets: Targets = None,
    conditions: Conditions = CAMERA,
    printability: NonNegative = 0.0,
    variation: NonNegative = 0.0,
    steps: Count = 200,
    step_size: Positive = 0.05,
    views: Count = 200,
    seed: Seed = 0,
    batch_size: Count = 16,
) -> MaskedResult:
    """Find one perturbation inside a mask that changes the prediction on all photographs of an object.

    The same perturbation is added to every photograph, so the object must be at the same place in all of them. It
    follows the mean gradient over photographs and over random views, new at every step, and is evaluated on new views
    from another seed. No pixel outside the mask changes (before the view is taken). The attack is digital: it does not
    show that printed stickers work in front of a camera, which has to be tested with a printer and a camera.

    Args:
        classifier: The classifier.
        images: Photographs of one object, N x C x H x W (or C x H x W), in [0, 1].
        mask: Where stickers may be, H x W: 1 or True inside, else 0.
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        conditions: Bounds of the views.
        printability: Weight of the non-printability score of the colors inside the mask, mean over photographs.
        variation: Weight of the total variation, the mean difference between neighboring pixels of the perturbation.
        steps: Steps of Adam.
        step_size: Learning rate of Adam, in pixel values.
        views: Number of new views for the evaluation; photographs are used in turn.
        seed: Seed of the views.
        batch_size: Views per step.

    Returns:
        The perturbed photographs, the perturbation, and success rates on new views, with two controls.

    Raises:
        UsageError: The mask is empty, not H x W, or neither 0 nor 1; a class does not exist; or neither labels nor
            targets are given.

    References:
        K. Eykholt et al., Robust physical-world attacks on deep learning visual classification, CVPR 2018, eq. 3.
    """
    batch = clean_batch(classifier, images, eight_bit=True)
    goal = Goal.of(classifier, len(batch), labels, targets)
    inside = _as_mask(mask, classifier.size).to(batch).clone()  # autograd cannot save a tensor of inference mode
    generator = torch.Generator().manual_seed(seed)

    def applied(content: Tensor, rows: Tensor) -> Tensor:
        return (batch[rows] + inside * content).clamp(0, 1)

    def render(content: Tensor, rows: Tensor, drawing: torch.Generator) -> Tensor:
        return see(applied(content, rows), draw_views(len(rows), batch.shape[1], classifier.size, conditions, drawing))

    def penalty(content: Tensor) -> Tensor:
        every = torch.arange(len(batch), device=batch.device)
        cost = variation * total_variation(inside * content)
        return cost + printability * non_printability(applied(content, every), inside).mean() if printability else cost

    found = ascend_expectation(
        classifier,
        torch.zeros_like(batch[0]),
        render,
        goal,
        penalty=penalty,
        keep=lambda now: now.clamp(-1, 1),
        steps=steps,
        step_size=step_size,
        batch_size=batch_size,
        generator=generator,
    )
    found = inside * as_8_bit(found)
    noise = torch.rand(batch[0].shape, generator=generator).to(batch)

    def rate(content: Tensor, photographs: Tensor) -> Interval:
        def show(added: Tensor, rows: Tensor, drawing: torch.Generator) -> Tensor:
            drawn = draw_views(len(rows), batch.shape[1], classifier.size, conditions, drawing)
            return see((photographs[rows] + inside * added).clamp(0, 1), drawn)

        return success_rate(classifier, content, show, goal, views, seed + 1, batch_size)

    shown = torch.full((len(batch),), steps * batch_size // len(batch), device=batch.device)
    shown[: steps * batch_size % len(batch)] += 1
    everything = torch.arange(len(batch), device=batch.device)
    still = scored(classifier, batch, quantize(applied(found, everything), batch), goal, "l2", shown, batch_size)
    nothing = torch.zeros_like(found)
    return MaskedResult(
        **vars(still),
        perturbation=found,
        seen=rate(found, batch),
        control=rate(noise, batch * (1 - inside)),
        clean=rate(nothing, batch),
    )


def total_variation(content: Tensor) -> Tensor:
    """The mean absolute difference between neighboring pixels of C x H x W, down and to the right."""
    return content.diff(dim=-1).abs().mean() + content.diff(dim=-2).abs().mean()


def _as_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    flat = mask.float()
    if tuple(flat.shape) != size or not flat.any() or ((flat != 0) & (flat != 1)).any():
        raise UsageError(f"The mask must be {size[0]} x {size[1]}, of zeros and ones, with at least one 1.")
    return flat
