"""Ablation-CAM: channels weighted by the score drop without them (Desai & Ramaswamy, WACV 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import layer_with_positions
from deeptroubles.methods.attribution.shared.graph_walk import open_graph
from deeptroubles.methods.attribution.shared.perturbation import score_of_each
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets, as_batch
from deeptroubles.network import Grid, TracedNetwork


def ablation_cam(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    layer: str | None = None,
    batch_size: Count = 32,
) -> Tensor:
    """Map of the layer's channels, each weighted by the fraction of the score that is lost when it is set to 0.

    Needs no gradients. Raw and signed, at the layer's own resolution; the paper's final ReLU is not applied.
    The fraction is taken of the score's magnitude: for positive scores that is the paper's; for negative ones the
    paper's formula would flip the sign of the map, whereas here a channel has a positive weight whenever the score
    drops without it. If the score is 0, weights are the loss in logits.

    One forward pass per channel, but only through the part of the network after the layer.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.
        batch_size: Channels ablated per forward pass, each in its own copy.

    Returns:
        N x h x w, in units of the layer's activations.

    Raises:
        ModelError: There is no such layer, or it has no positions, or the model could not be traced.
        UsageError: The target is not a class.

    References:
        S. Desai, H. G. Ramaswamy: Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
        Localization, WACV 2020, equations 3 and 4 (without the ReLU).
    """
    batch = as_batch(classifier, images)
    network = open_graph(classifier, "Ablation-CAM", "Grad-CAM or occlusion")
    chosen, grid = layer_with_positions(network, layer)
    clean = network.record(batch, [chosen.name])
    maps = []
    for i, score in enumerate(score_of_each(classifier, clean.logits, target, against)):
        activations = clean.activations[chosen.name][i]
        whole = score(clean.logits[i : i + 1])
        without = _scores_without(network, batch[i], chosen.name, activations, grid, score, batch_size)
        weights = (whole - without) / torch.where(whole == 0, 1, whole.abs())
        maps.append((weights[:, None, None] * grid.maps(activations[None])[0]).sum(0))
    return torch.stack(maps)


def _scores_without(
    network: TracedNetwork,
    image: Tensor,
    layer: str,
    activations: Tensor,
    grid: Grid,
    score: Callable[[Tensor], Tensor],
    batch_size: int,
) -> Tensor:
    """The score without each channel of a layer at all positions, one at a time: C numbers."""
    elements = torch.arange(activations.numel(), device=image.device).view(1, *activations.shape)
    of_channel = grid.maps(elements)[0].flatten(1)  # where the elements of each channel lie in the layer's output
    copies = min(batch_size, len(of_channel))
    rest = network.rest(layer, image.expand(copies, *image.shape))
    scores = []
    for start in range(0, len(of_channel), copies):
        gone = torch.arange(start, start + copies, device=image.device).clamp_max(len(of_channel) - 1)
        ablated = activations.flatten().repeat(copies, 1).scatter(1, of_channel[gone], 0)
        with torch.no_grad():
            scores.append(score(rest(ablated.view(copies, *activations.shape))))
    return torch.cat(scores)[: len(of_channel)]
