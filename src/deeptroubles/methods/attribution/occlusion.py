"""Occlusion: the score drop when a window is occluded (Zeiler & Fergus, ECCV 2014)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets, as_batch, as_targets, target_score
from deeptroubles.network import open_network
from deeptroubles.network.incremental import MIN_EDITS, LocalEdits
from deeptroubles.subject import logits_of

SMALL = 64
"""Images with a shorter side than this (in pixels) are computed whole: there is little to save."""


@dataclass(frozen=True, repr=False)
class OcclusionScores(Brief):
    """The logits of every occluded version of images, for all classes.

    Attributes:
        clean: Logits of the unchanged images, N x K.
        occluded: Logits with each window occluded, N x M x K.
        windows: The windows, M x 4: top, left, bottom, right (bottom and right exclusive), clipped at the border.
        grid: Rows and columns of windows, rows * columns = M.
    """

    clean: Tensor
    occluded: Tensor
    windows: Tensor
    grid: tuple[int, int]


def occlusion(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    window: Count | None = None,
    stride: Count | None = None,
    fill: float | Tensor | None = None,
    batch_size: Count = 32,
) -> Tensor:
    """Map of logit(image) - logit(image with a window occluded), averaged over the windows that cover a pixel.

    Positive where occlusion lowers the score of the target (the classifier relies on the pixel), negative where it
    raises the score. Raw and signed, in logits.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        window: Side of the square window in pixels. Default: a seventh of the shorter side.
        stride: Step between windows. Default: half the window.
        fill: The occluding pixels: a gray level, or a tensor that broadcasts to an image. Default: the classifier's
            mean color, which its normalization maps to 0.
        batch_size: Occluded images per forward pass.

    Returns:
        N x H x W.

    Raises:
        UsageError: The window or the stride does not fit, or the target is no class.

    References:
        M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2. Averaging
        over overlapping windows is as in captum; windows that reach over the border are clipped.
    """
    batch = as_batch(classifier, images)
    scores = occlusion_scores(classifier, batch, window=window, stride=stride, fill=fill, batch_size=batch_size)
    target = as_targets(classifier, target, scores.clean)  # predicted on the clean image
    score = target_score(classifier, target, against)
    clean = score(scores.clean)[:, None]
    occluded = torch.stack([score(logits) for logits in scores.occluded.unbind(1)], dim=1)
    return mean_over_windows(clean - occluded, scores.windows, classifier.size)


def occlusion_scores(
    classifier: Classifier,
    images: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float | Tensor | None = None,
    batch_size: int = 32,
) -> OcclusionScores:
    """Occlude every window of a grid, one at a time; all logits are kept. Arguments as in `occlusion`."""
    windows, grid = window_grid(classifier.size, window, stride)
    cover = classifier.mean[0] if fill is None else torch.as_tensor(fill, device=images.device, dtype=images.dtype)
    clean = logits_of(classifier, images, batch_size)
    occluded = [hidden_logits(classifier, image, windows, cover, batch_size) for image in images]
    return OcclusionScores(clean, torch.stack(occluded), windows, grid)


def hidden_logits(classifier: Classifier, image: Tensor, windows: Tensor, cover: Tensor, batch_size: int) -> Tensor:
    """Logits (M x K) of an image (C x H x W) with each of the windows (M x 4) covered, one at a time.

    Only activations that a window changes are computed; small images are computed whole, which is faster. The cover is
    as in `hide`.
    """
    if min(image.shape[-2:]) < SMALL or len(windows) < MIN_EDITS:
        parts = torch.split(torch.arange(len(windows)), batch_size)
        covers = (cover[part] if cover.ndim == 4 else cover for part in parts)
        hidden = (hide(image, windows[part], own) for part, own in zip(parts, covers, strict=True))
        return torch.cat([logits_of(classifier, pixels, batch_size) for pixels in hidden])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* could not be traced")  # not needed here
        network = open_network(classifier)
    return LocalEdits(network, image[None]).logits(windows, cover, batch_size)


def default_window(size: tuple[int, int]) -> int:
    """The default side of a window: a seventh of the shorter side of an image of height x width, in pixels."""
    return max(1, min(size) // 7)


def window_grid(size: tuple[int, int], window: int | None, stride: int | None) -> tuple[Tensor, tuple[int, int]]:
    """The windows of a regular grid that covers an image of height x width: M x 4 boxes, and rows x columns."""
    window = default_window(size) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= window <= min(size) or not 1 <= stride <= window:
        raise UsageError(
            f"A window of {window} pixels every {stride} does not cover an image of {size[1]} x {size[0]}; choose "
            f"1 <= stride <= window <= {min(size)}."
        )
    counts = [-(-(length - window) // stride) + 1 for length in size]
    tops, lefts = (torch.arange(count) * stride for count in counts)
    corners = torch.cartesian_prod(tops, lefts)
    ends = torch.minimum(corners + window, torch.tensor(size))
    return torch.cat([corners, ends], dim=1), (counts[0], counts[1])


def hide(image: Tensor, windows: Tensor, cover: Tensor) -> Tensor:
    """Copies of an image (C x H x W), one per window (M x 4), each with its window covered. M x C x H x W.

    The cover is a color (anything that broadcasts to C x H x W), or M patches (M x C x h x w) of the windows' size.
    """
    if cover.ndim == 4:
        copies = image.repeat(len(windows), 1, 1, 1)
        for copy, (top, left, bottom, right), patch in zip(copies, windows.tolist(), cover, strict=True):
            copy[:, top:bottom, left:right] = patch
        return copies
    height, width = image.shape[-2:]
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= windows[:, :1]) & (rows < windows[:, 2:3])
    inside_columns = (columns >= windows[:, 1:2]) & (columns < windows[:, 3:])
    inside = (inside_rows[:, None, :, None] & inside_columns[:, None, None, :]).to(image.device)
    return torch.where(inside, cover, image)


def mean_over_windows(values: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """The mean over the windows that cover each pixel: N x M values to N x H x W."""
    total = torch.zeros(len(values), *size, dtype=values.dtype, device=values.device)
    count = torch.zeros(size, dtype=values.dtype, device=values.device)
    for i, (top, left, bottom, right) in enumerate(windows.tolist()):
        total[:, top:bottom, left:right] += values[:, i, None, None]
        count[top:bottom, left:right] += 1
    return total / count
