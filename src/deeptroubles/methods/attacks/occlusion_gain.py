"""Occlusion gain: occlude the evidence against the true class, one window after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.attribution.occlusion import default_window, hidden_logits, hide, window_grid
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets, as_batch, as_targets
from deeptroubles.subject import logits_of


@dataclass(frozen=True, repr=False)
class OcclusionGain(Brief):
    """By how much occlusion can raise the probability of a class.

    Attributes:
        probability: After 0, 1, ... occluded windows, N x (steps + 1); the first column is the image as it is.
        first: Probability with each single window occluded, N x rows x columns.
        windows: The occluded windows, N x steps x 4 (top, left, bottom, right); all 0 where none raised it further.
        images: The images after the last step, N x C x H x W.
    """

    probability: Tensor
    first: Tensor
    windows: Tensor
    images: Tensor


def occlusion_gain(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    steps: Count = 3,
    window: Count | None = None,
    stride: Count | None = None,
    batch_size: Count = 32,
) -> OcclusionGain:
    """Greedily occlude the window that raises the target's probability most; stop an image when none does.

    A classifier that looks at the object should not become more confident when something is occluded. If it does, the
    occluded part was evidence for another class: a second object, or a correlation unrelated to the object.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: True class, for all images or one each. Default: the predicted class of each image.
        steps: Maximum number of windows.
        window: Side of the square window in pixels. Default: a seventh of the shorter side.
        stride: Step between windows. Default: the window, so that windows tile the image.
        batch_size: Occluded images per forward pass.

    Returns:
        The probability after each step, and the occluded windows. Occluded pixels get the classifier's mean color.

    Raises:
        UsageError: A class does not exist, or the grid does not cover the image.

    References:
        Ours, based on occlusion: M. D. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV
        2014, section 4.2.
    """
    batch = as_batch(classifier, images)
    window = default_window(classifier.size) if window is None else window
    boxes, grid = window_grid(classifier.size, window, window if stride is None else stride)
    clean = logits_of(classifier, batch, batch_size)
    targets = as_targets(classifier, target, clean)
    best = clean.softmax(1).gather(1, targets[:, None])[:, 0]
    probability, hidden = [best], torch.zeros(len(batch), steps, 4, dtype=torch.long)
    first, current = None, batch.clone()
    going = torch.ones(len(batch), dtype=torch.bool, device=batch.device)
    for step in range(steps):
        scores = torch.full((len(batch), len(boxes)), -1.0, device=batch.device)
        for i in going.nonzero()[:, 0].tolist():  # the others cannot gain any more
            scores[i] = _probabilities(classifier, current[i], boxes, int(targets[i]), batch_size)
        first = scores if first is None else first
        value, which = scores.max(1)
        going = going & (value > best)
        for i in going.nonzero()[:, 0].tolist():
            box = boxes[which[i]].cpu()
            hidden[i, step] = box
            current[i] = hide(current[i], box[None], classifier.mean[0])[0]
        best = torch.where(going, value, best)
        probability.append(best)
    grids = torch.zeros(len(batch), *grid) if first is None else first.view(len(batch), *grid)
    return OcclusionGain(torch.stack(probability, dim=1), grids, hidden, current)


def _probabilities(classifier: Classifier, image: Tensor, boxes: Tensor, target: int, batch_size: int) -> Tensor:
    return hidden_logits(classifier, image, boxes, classifier.mean[0], batch_size).softmax(1)[:, target]
