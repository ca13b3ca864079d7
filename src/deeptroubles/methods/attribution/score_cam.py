"""Score-CAM: channels weighted by the score of the image masked with them (Wang et al., CVPR workshop 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import layer_with_positions
from deeptroubles.methods.attribution.shared.perturbation import baseline_color, blend, score_of_each
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets, as_batch
from deeptroubles.network import open_network
from deeptroubles.subject import logits_of


def score_cam(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    layer: str | None = None,
    fill: float | Tensor | None = None,
    channels: Count | None = None,
    batch_size: Count = 32,
) -> Tensor:
    """Map of the layer's channels, weighted by the softmax over channels of the score of the image masked by each.

    To become a mask, a channel is scaled up to the image (bilinear) and normalized to [0, 1]. A constant channel gets
    weight 0. The weights are positive and sum to 1; the score of the empty image, which the paper subtracts, cancels in
    the softmax. Needs no gradients. At the layer's own resolution; the paper's
    final ReLU is not applied.

    One forward pass per channel: a thousand or more on the deepest layer of most networks, about a minute per image
    without an accelerator. `channels` limits their number.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.
        fill: The pixels where a mask is 0: a gray level, or a tensor that broadcasts to an image. Default: the
            classifier's mean color, which its normalization maps to 0, as in the authors' code.
        channels: Use only this many channels, those with the largest variance over positions. Default: all, as in the
            paper.
        batch_size: Masked images per forward pass.

    Returns:
        N x h x w, in units of the layer's activations.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        UsageError: The target is not a class.

    References:
        H. Wang et al.: Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR workshops
        2020, algorithm 1 (without the ReLU).
    """
    batch = as_batch(classifier, images)
    network = open_network(classifier)
    chosen, grid = layer_with_positions(network, layer)
    recorded = network.record(batch, [chosen.name])
    each = score_of_each(classifier, recorded.logits, target, against)
    cover = baseline_color(classifier, fill, batch)
    maps = []
    for image, activations, score in zip(batch, grid.maps(recorded.activations[chosen.name]), each, strict=True):
        kept = _varied(activations, channels)
        if not len(kept):
            maps.append(torch.zeros_like(activations[0]))
            continue
        scores = [
            score(logits_of(classifier, blend(image, _masks(part, classifier.size), cover), batch_size))
            for part in torch.split(kept, batch_size)
        ]
        weights = torch.cat(scores).softmax(0)
        maps.append((weights[:, None, None] * kept).sum(0))
    return torch.stack(maps)


def _varied(activations: Tensor, count: int | None) -> Tensor:
    """The channels (C x h x w) that are not constant; at most `count`, those with the largest variance."""
    flat = activations.flatten(1)
    varied = activations[flat.amax(1) > flat.amin(1)]
    if count is None or count >= len(varied):
        return varied
    return varied[varied.flatten(1).var(1).topk(count).indices]


def _masks(channels: Tensor, size: tuple[int, int]) -> Tensor:
    """Channels (C x h x w) scaled up to the image, each normalized to [0, 1]. C x H x W."""
    large = interpolate(channels[None], size=size, mode="bilinear", align_corners=False)[0]
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    return (large - low) / (high - low).clamp_min(torch.finfo(large.dtype).tiny)
