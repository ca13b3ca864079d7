"""DeepLIFT: the difference of the score to a baseline, passed back operation by operation (Shrikumar et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.attribution.shared.graph_walk import GraphWalk, open_graph, walked_together
from deeptroubles.methods.attribution.shared.lrp_operations import Shares, Step
from deeptroubles.methods.attribution.shared.lrp_rules import vjp
from deeptroubles.methods.attribution.shared.perturbation import baseline_color
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score, targets_of
from deeptroubles.network import TracedNetwork, operation_name
from deeptroubles.subject import logits_of

_TINY = 1e-5
"""Below this difference of an activation's input, its gradient takes the place of the quotient."""


def deep_lift(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    baseline: float | Tensor | None = None,
) -> Tensor:
    """Map of (pixel - baseline) times its multiplier, summed over the color channels.

    Raw and signed, in logits. Completeness: the map sums to the score of the image minus the score of the baseline.
    Activations follow the rescale rule: their multiplier is the change of the output divided by the change of the
    input. Maxima and minima go to the position that decides the change; products are divided evenly between their
    factors. A softmax, attention and other smooth functions of many values have their gradient averaged along the
    straight line.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        baseline: The reference image: a gray level, or a tensor that broadcasts to an image. Default: the
            classifier's mean color, which its normalization maps to 0.

    Returns:
        N x H x W.

    Raises:
        ModelError: The model cannot be traced, contains an operation without a rule, or normalizes a baseline of one
            color so often that the multipliers overflow.
        UsageError: The target is not a class.

    References:
        A. Shrikumar, P. Greenside, A. Kundaje: Learning Important Features Through Propagating Activation Differences,
        ICML 2017, sections 3.1 to 3.5.1 (rescale rule).
    """
    batch = as_batch(classifier, images)
    start = baseline_color(classifier, baseline, batch).expand_as(batch)
    network = open_graph(classifier, "DeepLIFT")
    wanted = logits_of(classifier, batch).argmax(1) if target is None else target
    with torch.inference_mode(mode=False):
        multipliers = [
            _multipliers(
                network,
                batch[rows].clone(),
                start[rows].clone(),
                target_score(classifier, targets_of(wanted, rows), targets_of(against, rows)),
            )
            for rows in walked_together(network, len(batch))
        ]
    maps = (torch.cat(multipliers) * (batch - start)).sum(1)
    if not torch.isfinite(maps).all():
        raise ModelError(
            f"The multipliers of DeepLIFT overflow in {classifier.name}, because normalizations have nothing to "
            "normalize in a baseline of one color; give another image as baseline, or use integrated_gradients or "
            "occlusion instead."
        )
    return maps


def _multipliers(network: TracedNetwork, pixels: Tensor, baseline: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The change of the score per change of each pixel, N x C x H x W."""
    walk, reference = GraphWalk(network, pixels), GraphWalk(network, baseline)

    def backward(step: Step) -> Shares:
        now, before = ([each.values[n] for n in step.inputs] for each in (walk, reference))
        parts = _rule(step)(step.compute, now, before, step.relevance)
        return dict(zip(step.inputs, parts, strict=True))

    return walk.back(score, backward)[1]


Rule = Callable[[Callable[..., Tensor], list[Tensor], list[Tensor], Tensor], list[Tensor]]
"""From an operation, its inputs for the image and for the baseline, and the multipliers of its output, to those of its
inputs. Each rule keeps the sum of multiplier times difference."""


def _linear(compute: Callable[..., Tensor], now: list[Tensor], before: list[Tensor], signal: Tensor) -> list[Tensor]:
    """Operations that are linear in each input: the gradient halfway, which is exact for products of two as well."""
    return vjp(compute, [(a + b) / 2 for a, b in zip(now, before, strict=True)], signal)


def _rescale(compute: Callable[..., Tensor], now: list[Tensor], before: list[Tensor], signal: Tensor) -> list[Tensor]:
    """Activations: change of the output over change of the input."""
    difference = now[0] - before[0]
    quotient = (compute(now[0]) - compute(before[0])) / torch.where(difference == 0, 1.0, difference)
    gradient = vjp(compute, now, signal)[0]  # infinite for a root of 0
    return [torch.where((difference.abs() < _TINY) & gradient.isfinite(), gradient, signal * quotient)]


def _maximum(compute: Callable[..., Tensor], now: list[Tensor], before: list[Tensor], signal: Tensor) -> list[Tensor]:
    """Maxima: a rise goes to where the new maximum is, a fall to where the old one was."""
    change = compute(*now) - compute(*before)
    rise, fall = vjp(compute, now, signal * change.clamp(min=0)), vjp(compute, before, signal * change.clamp(max=0))
    return [_per_difference(*parts) for parts in zip(now, before, rise, fall, strict=True)]


def _minimum(compute: Callable[..., Tensor], now: list[Tensor], before: list[Tensor], signal: Tensor) -> list[Tensor]:
    """Minima: a rise goes to where the old minimum was, a fall to where the new one is."""
    change = compute(*now) - compute(*before)
    rise, fall = vjp(compute, before, signal * change.clamp(min=0)), vjp(compute, now, signal * change.clamp(max=0))
    return [_per_difference(*parts) for parts in zip(now, before, rise, fall, strict=True)]


def _per_difference(now: Tensor, before: Tensor, rise: Tensor, fall: Tensor) -> Tensor:
    """What a rise and a fall of the output contribute to an input, per difference of this input."""
    difference = now - before
    return torch.where(difference == 0, 0.0, (rise + fall) / torch.where(difference == 0, 1.0, difference))


def _straight(compute: Callable[..., Tensor], now: list[Tensor], before: list[Tensor], signal: Tensor) -> list[Tensor]:
    """Smooth functions of many values: the gradient averaged along the straight line between the two inputs."""
    total = [torch.zeros_like(x) for x in now]
    for place, weight in zip(*_QUADRATURE, strict=True):
        inputs = [torch.lerp(b, a, place) for a, b in zip(now, before, strict=True)]
        total = [t + g for t, g in zip(total, vjp(compute, inputs, weight * signal), strict=True)]
    return total


def _normalization(step: Step) -> Rule:
    """(x - mean) times the reciprocal of the deviation: a product, of which both factors depend on x.

    Exact also where the baseline has no deviation at all, such as in an image of one color.
    """
    name, x = operation_name(step.source), step.argument(0)
    if name == "instance_norm" and not step.argument(5):
        return _linear
    if name == "layer_norm":
        apart, dims = x.shape, tuple(range(-len(step.argument(1)), 0))
    else:
        groups = step.argument(1) if name == "group_norm" else x.shape[1]
        apart = x.unflatten(1, (groups, -1)).shape
        dims = tuple(range(2, len(apart)))
    weight = step.argument(1 if name == "instance_norm" else 2, "weight")
    if weight is not None and name != "layer_norm":
        weight = weight.view(-1, *[1] * (x.ndim - 2))
    epsilon = step.argument(7 if name == "instance_norm" else 4, "eps", 1e-5)

    def rule(_: Callable[..., Tensor], now: list[Tensor], before: list[Tensor], signal: Tensor) -> list[Tensor]:
        signal = (signal if weight is None else signal * weight).reshape(apart)
        values = [each.reshape(apart) for each in (now[0], before[0])]
        centered = [v - v.mean(dims, keepdim=True) for v in values]
        variances = [d.square().mean(dims, keepdim=True) + epsilon for d in centered]
        both, reciprocals = centered[0] + centered[1], [v.rsqrt() for v in variances]
        # The change of the reciprocal deviation over that of the variance, without a difference that cancels.
        slope = -((reciprocals[0] * reciprocals[1]) ** 2) / (reciprocals[0] + reciprocals[1])
        of_variance = (signal * both / 2).sum(dims, keepdim=True) * slope / math.prod(apart[d] for d in dims)
        found = signal * (reciprocals[0] + reciprocals[1]) / 2 + of_variance * both
        return [(found - found.mean(dims, keepdim=True)).reshape(now[0].shape)]

    return rule


def _rule(step: Step) -> Rule:
    name = operation_name(step.source)
    if name in {"layer_norm", "group_norm", "instance_norm"}:
        return _normalization(step)
    if name in {"where", "masked_fill"} and not all(
        n in step.inputs or n not in step.signals for n in step.source.args
    ):
        name = f"{name} with a condition from the image"
    if name in _RULES:
        return _linear if name == "div" and step.source.args[1] not in step.signals else _RULES[name]
    raise ModelError(
        f"DeepLIFT has no rule for {name!r} (at {step.node.name}), and a guess would give a wrong map; use "
        "integrated_gradients or occlusion instead."
    )


_LINEAR = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "batch_norm"),
    *("addmm", "mm", "bmm", "matmul", "einsum", "add", "sub", "rsub", "mul", "neg", "mean", "sum", "cumsum"),
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_bicubic2d"),
    *(
        "_upsample_bicubic2d_aa",
        "upsample_nearest2d",
        "pad",
        "constant_pad_nd",
        "reflection_pad2d",
        "replication_pad2d",
    ),
    *("view", "reshape", "_unsafe_view", "view_as", "flatten", "unflatten", "permute", "transpose", "t", "movedim"),
    *("squeeze", "unsqueeze", "expand", "expand_as", "clone", "contiguous", "slice", "select", "narrow", "split"),
    *("split_with_sizes", "chunk", "unbind", "cat", "stack", "channel_shuffle", "native_channel_shuffle"),
    *("pixel_shuffle", "pixel_unshuffle", "roll", "flip", "repeat", "tile", "repeat_interleave", "unfold", "im2col"),
    *(
        "col2im",
        "index",
        "index_select",
        "slice_scatter",
        "select_scatter",
        "dropout",
        "alias",
        "detach",
        "_to_copy",
        "to",
    ),
    *("where", "masked_fill"),
)
_ACTIVATIONS = (
    *("relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu"),
    *("silu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "exp", "log", "sqrt", "rsqrt", "abs"),
    *("pow", "square", "erf", "sin", "cos", "reciprocal", "softsign", "log1p", "expm1", "log_sigmoid", "logit"),
)
_SMOOTH = (
    *("softmax", "_softmax", "log_softmax", "_log_softmax", "scaled_dot_product_attention", "div", "addcmul"),
    *("linalg_vector_norm", "rms_norm", "logsumexp"),
)
_MAXIMA = (
    *("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "adaptive_max_pool2d"),
    *("amax", "max", "maximum"),
)
_MINIMA = ("amin", "min", "minimum")
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_LINEAR, _linear),
    **dict.fromkeys(_ACTIVATIONS, _rescale),
    **dict.fromkeys(_SMOOTH, _straight),
    **dict.fromkeys(_MAXIMA, _maximum),
    **dict.fromkeys(_MINIMA, _minimum),
}
_QUADRATURE = tuple((values / 2 + shift).tolist() for values, shift in zip(leggauss(16), (0.5, 0.0), strict=True))
"""Places between 0 and 1, and their weights, which sum to 1 (Gauss-Legendre)."""
