"""FullGrad: the score distributed over the pixels and the biases of every layer (Srinivas and Fleuret, 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.attribution.shared.graph_walk import GraphWalk, open_graph, walked_together
from deeptroubles.methods.attribution.shared.lrp_operations import Shares, Step
from deeptroubles.methods.attribution.shared.lrp_rules import vjp
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score, targets_of
from deeptroubles.network import TracedNetwork


@dataclass(frozen=True, repr=False)
class FullGradients(Brief):
    """How the score is distributed: the sums of `pixels` and of all `biases` are together the score.

    Attributes:
        score: The score that is distributed, N.
        pixels: The gradient times the normalized pixels, N x C x H x W.
        biases: The gradient times the bias, by operation, each shaped like its output. The bias of an operation that
            is not linear is that of its linear approximation: of an activation a(x), it is a(x) - a'(x) x.
    """

    score: Tensor
    pixels: Tensor
    biases: dict[str, Tensor]


def full_grad(classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None) -> Tensor:
    """Map of the gradient times the pixels, plus the gradients times the biases of every layer with positions.

    As in the paper, each layer's contributions are made positive, scaled to [0, 1], summed over its channels and
    scaled to the image (bilinear): the map has no sign and no unit. Batch normalizations, activations and constants
    count as layers with a bias. `full_gradients` has the contributions themselves, which sum to the score.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.

    Returns:
        N x H x W, never negative.

    Raises:
        ModelError: The model cannot be traced.
        UsageError: The target is not a class.

    References:
        S. Srinivas, F. Fleuret: Full-Gradient Representation for Neural Network Visualization, NeurIPS 2019, equation
        6.
    """
    found = full_gradients(classifier, images, target, against=against)
    layers = [found.pixels, *(part for part in found.biases.values() if part.ndim == 4 and part[0, 0].numel() > 1)]
    return torch.stack([_positive(part, classifier.size) for part in layers]).sum(0)


def full_gradients(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None
) -> FullGradients:
    """The score distributed over the pixels and the biases; exact for every differentiable network.

    Arguments and errors as for `full_grad`.

    References:
        S. Srinivas, F. Fleuret, 2019, proposition 1 and section 3.1 (implicit biases).
    """
    batch = as_batch(classifier, images)
    network = open_graph(classifier, "FullGrad")
    with torch.inference_mode(mode=False):
        parts = [
            _contributions(
                network,
                batch[rows].clone(),
                target_score(classifier, targets_of(target, rows), targets_of(against, rows)),
            )
            for rows in walked_together(network, len(batch))
        ]
    names = dict.fromkeys(name for part in parts for name in part.biases)
    shapes = {name: part.biases[name].shape[1:] for part in reversed(parts) for name in part.biases}
    return FullGradients(
        torch.cat([part.score for part in parts]),
        torch.cat([part.pixels for part in parts]),
        {
            name: torch.cat([part.biases.get(name, batch.new_zeros(1, *shapes[name])) for part in parts])
            for name in names
        },
    )


def _contributions(network: TracedNetwork, pixels: Tensor, score: Callable[[Tensor], Tensor]) -> FullGradients:
    walk, biases = GraphWalk(network, pixels), dict[str, Tensor]()
    early = torch.zeros_like(pixels)

    def backward(step: Step) -> Shares:
        nonlocal early
        inputs: list[Tensor] = [walk.values[n] for n in step.inputs]
        bias = _bias(step.compute, inputs) * step.relevance
        if step.is_preprocessing and bias.shape == early.shape:
            early = early + bias  # the gradient times the normalized pixels, in the end
        elif bias.count_nonzero():
            one = bias if bias.ndim and len(bias) == len(pixels) else bias[None]
            biases[step.node.name] = one
        return dict(zip(step.inputs, vjp(step.compute, inputs, step.relevance), strict=True))

    explained, gradient = walk.back(score, backward)
    return FullGradients(explained, gradient * pixels + early, biases)


def _bias(function: Callable[..., Tensor], inputs: list[Tensor]) -> Tensor:
    """What the linear approximation of a function gives for inputs of 0."""
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward derivative
        value, linear = torch.func.jvp(function, tuple(inputs), tuple(inputs))[:2]
    bias: Tensor = value - linear
    return bias


def _positive(contributions: Tensor, size: tuple[int, int]) -> Tensor:
    """N x C x h x w, positive, scaled to [0, 1] and to the image, and summed over the channels: N x H x W."""
    magnitude = contributions.abs()
    low, high = magnitude.amin((1, 2, 3), keepdim=True), magnitude.amax((1, 2, 3), keepdim=True)
    scaled = (magnitude - low) / (high - low).clamp(min=1e-12)
    return functional.interpolate(scaled.sum(1, keepdim=True), size, mode="bilinear", align_corners=False)[:, 0]
