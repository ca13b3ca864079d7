"""Quality of maps: faithfulness to the classifier, agreement with a mask, dependence on the learned weights.

Maps are N x h x w as methods return them; where pixels are needed they are scaled to the image (bilinear).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.targets import Targets, as_batch, as_targets
from deeptroubles.subject import logits_of

STEPS = 20


@dataclass(frozen=True, repr=False)
class Faithfulness(Brief):
    """The target's probability as pixels are removed or added in the order of a map.

    Attributes:
        deletion: Probability after the first 0, 1/steps, ... 1 of the pixels is covered, most relevant first.
            N x (steps + 1). With a faithful map it falls early.
        insertion: Probability as pixels are added to an empty image in the same order. With a faithful map it rises
            early.
    """

    deletion: Tensor
    insertion: Tensor

    @property
    def deletion_area(self) -> Tensor:
        """Area under each deletion curve, in [0, 1]; lower is better. N."""
        return torch.trapezoid(self.deletion, dim=1) / (self.deletion.shape[1] - 1)

    @property
    def insertion_area(self) -> Tensor:
        """Area under each insertion curve, in [0, 1]; higher is better. N."""
        return torch.trapezoid(self.insertion, dim=1) / (self.insertion.shape[1] - 1)


def faithfulness(
    classifier: Classifier,
    images: Tensor,
    maps: Tensor,
    target: Targets = None,
    *,
    steps: int = STEPS,
    batch_size: int = 32,
) -> Faithfulness:
    """Deletion and insertion curves of maps. Covered pixels get the classifier's mean color.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        maps: N x h x w.
        target: Class index, for all images or one each. Default: the predicted class of each image.
        steps: Number of steps.
        batch_size: Images per forward pass.

    References:
        V. Petsiuk, A. Das, K. Saenko: RISE, BMVC 2018, algorithm 1 (both start from the mean color here).
    """
    batch = as_batch(classifier, images)
    targets = as_targets(classifier, target, logits_of(classifier, batch, batch_size))
    relevance = to_pixels(maps, classifier.size)
    curves = []
    for image, values, wanted in zip(batch, relevance, targets.tolist(), strict=True):
        rank = values.flatten().argsort(descending=True, stable=True).argsort().view(classifier.size)
        limits = torch.linspace(0, rank.numel(), steps + 1, device=rank.device)
        first = rank < limits[:, None, None]  # the most relevant 0, 1/steps, ... of the pixels
        for mask in (~first, first):
            shown = torch.where(mask[:, None], image, classifier.mean[0])
            curves.append(logits_of(classifier, shown, batch_size).softmax(1)[:, wanted])
    both = torch.stack(curves).view(len(batch), 2, steps + 1)
    return Faithfulness(both[:, 0], both[:, 1])


def pointing_game(maps: Tensor, masks: Tensor, tolerance: int = 15) -> Tensor:
    """Whether the highest pixel of each map lies in the mask, or at most `tolerance` pixels from it. N booleans.

    Args:
        maps: N x h x w.
        masks: N x H x W booleans.
        tolerance: In pixels (Euclidean).

    References:
        J. Zhang et al.: Top-down neural attention by excitation backprop, ECCV 2016, section 4.2.
    """
    size = (masks.shape[-2], masks.shape[-1])
    best = to_pixels(maps, size).flatten(1).argmax(1)
    rows, columns = best // size[1], best % size[1]
    hits = []
    for row, column, mask in zip(rows, columns, masks, strict=True):
        inside = mask.nonzero()
        distance = (inside - torch.stack([row, column])).square().sum(1)
        hits.append(bool((distance <= tolerance**2).any()))
    return torch.tensor(hits)


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the positive part of each map that lies inside its mask; NaN for a map without a positive part. N.

    References:
        H. Wang et al.: Score-CAM, CVPR Workshops 2020, section 4.3 (energy-based pointing game).
    """
    positive = to_pixels(maps, (masks.shape[-2], masks.shape[-1])).clamp_min(0)
    return (positive * masks).sum((1, 2)) / positive.sum((1, 2))


def is_constant(maps: Tensor) -> Tensor:
    """Which maps (N x h x w) have the same value everywhere, up to single precision: nothing can be seen in them. N."""
    flat = maps.flatten(1)
    return flat.amax(1) - flat.amin(1) <= 1e-6 * flat.abs().amax(1)


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation between two sets of maps, image by image; 0 where a map is constant. N.

    Args:
        first: N x h x w.
        second: N x h' x w'; the coarser one is scaled to the finer one.
    """
    if first.shape[1:] != second.shape[1:]:
        finer = max(first.shape[1:], second.shape[1:], key=lambda s: s[0] * s[1])
        first, second = (to_pixels(maps, (finer[0], finer[1])) for maps in (first, second))
    pairs = zip(first.flatten(1), second.flatten(1), strict=True)
    return torch.stack([_correlation(_ranks(a), _ranks(b)) for a, b in pairs])


@contextmanager
def randomized(classifier: Classifier, share: float, seed: int = 0, *, cascading: bool = True) -> Iterator[None]:
    """Context manager that shuffles the entries of weight tensors.

    Shuffling keeps the scale of every tensor, so activations stay in a sensible range. All weights are restored at the
    end.

    Args:
        classifier: The classifier; its network sees the change, since it shares the weights.
        share: Share of the weight tensors that are shuffled, counted from the output to the input (0 to 1).
        seed: Seed of the shuffling.
        cascading: Shuffle all of them; otherwise only the last one reached (independent randomization).

    References:
        J. Adebayo et al.: Sanity checks for saliency maps, NeurIPS 2018, section 3.
    """
    tensors = list(classifier.module.parameters())[::-1]
    count = round(share * len(tensors))
    chosen = tensors[:count] if cascading else tensors[max(0, count - 1) : count]
    random = torch.Generator().manual_seed(seed)
    kept = [tensor.detach().clone() for tensor in chosen]
    try:
        with torch.no_grad():
            for tensor in chosen:
                order = torch.randperm(tensor.numel(), generator=random).to(tensor.device)
                tensor.copy_(tensor.flatten()[order].view_as(tensor))
        yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(chosen, kept, strict=True):
                tensor.copy_(before)


def to_pixels(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale maps to height x width (bilinear). N x H x W."""
    if tuple(maps.shape[1:]) == size:
        return maps
    return functional.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]


def _ranks(values: Tensor) -> Tensor:
    """Ranks with ties averaged."""
    _, which, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    ranks: Tensor = (ends - (counts.double() - 1) / 2)[which]
    return ranks


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    scale = a.norm() * b.norm()
    return (a * b).sum() / scale if scale > 0 else torch.zeros((), dtype=torch.double, device=a.device)
