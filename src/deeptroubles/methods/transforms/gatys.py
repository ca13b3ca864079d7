"""Neural style transfer: the activations of one image with the Gram matrices of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.network import PIXELS, Network, TracedNetwork, in_fast_layout, open_network, optimized
from deeptroubles.progress import track

STEPS = 100
STYLE_WEIGHT = 20.0
"""Weight of the style relative to the content. Both losses are relative: 1 is the whole signal."""
LEARNING_RATE = 0.05
_CONTENT_STRIDE = 8
_MIN_SIDE = 4
"""Layers with fewer positions along a side are not used for texture."""
_DARKEST = 1 / 64


class Stylized(NamedTuple):
    """Stylized images (N x C x H x W in [0, 1]), and the loss of each at every step (steps x N)."""

    images: Tensor
    losses: Tensor


@torch.inference_mode(mode=False)
def gatys(
    classifier: Classifier,
    content: Tensor,
    style: Tensor,
    *,
    style_weight: NonNegative = STYLE_WEIGHT,
    steps: Count = STEPS,
) -> Stylized:
    """Stylize images: match the Gram matrices of the style while keeping the deep activations of the content.

    The loss is the squared distance to the content's activations at a layer of stride 8, plus `style_weight` times the
    mean squared distance of Gram matrices over layers (and over the pixels themselves, for the colors). Each distance
    is relative to the squared norm of its target. Adam starts from the content and optimizes the Fourier transform of
    the pixels' logits, so coarse changes are as easy as fine ones. Nothing is random.

    Args:
        classifier: Any convolutional network other than the one audited with the result, which would be judged by its
            own representation of texture.
        content: N x C x H x W in [0, 1], of the classifier's size: the shapes.
        style: N x C x H x W in [0, 1]: the textures.
        style_weight: Weight of the style relative to the content.
        steps: Steps of Adam.

    Returns:
        The images and their losses.

    Raises:
        UsageError: Content or style do not have the classifier's size, or differ in number.
        ModelError: The network has no layers with positions.

    References:
        L. A. Gatys, A. S. Ecker, M. Bethge: Image style transfer using convolutional neural networks, CVPR 2016,
        equations 1 to 7; relative losses are this project's. C. Olah et al.: Feature Visualization, Distill 2017 (the
        Fourier transform).
    """
    wanted_shape = (len(content), classifier.channels, *classifier.size)
    if content.shape != wanted_shape or style.shape != wanted_shape:
        raise UsageError(
            f"Content {tuple(content.shape)} and style {tuple(style.shape)} must both be {wanted_shape}, the input "
            "shape of the network."
        )
    content, style = content.clone(), style.clone()  # autograd cannot save tensors that were made in inference mode
    network = open_network(classifier)
    content_layer, layers = layers_for(network, classifier.size)
    plain = optimized(network, layers) if isinstance(network, TracedNetwork) else None

    def activations(pixels: Tensor) -> Mapping[str, Tensor]:
        found = (
            plain.activations(in_fast_layout(plain, pixels), layers) if plain else network.activations(pixels, layers)
        )
        return {PIXELS: pixels, **found}

    scale = _scale(classifier.size).to(content)

    def pixels_of(parameters: Tensor) -> Tensor:
        spectrum = torch.view_as_complex(parameters) * scale
        logits: Tensor = torch.fft.irfft2(spectrum, s=classifier.size, norm="ortho")
        return logits.sigmoid()

    with torch.no_grad(), evaluating(classifier):
        shape = activations(content)[content_layer]
        textures = {layer: gram(values) for layer, values in activations(style).items()}
    logits = torch.logit(content.clamp(_DARKEST, 1 - _DARKEST))
    parameters = torch.view_as_real(torch.fft.rfft2(logits, norm="ortho") / scale).contiguous().requires_grad_()
    optimizer, losses = torch.optim.Adam([parameters], lr=LEARNING_RATE), []
    for _ in track(range(steps), "Stylizing"):
        with torch.enable_grad(), evaluating(classifier):
            now = activations(pixels_of(parameters))
            distances = [_relative(gram(now[layer]), wanted) for layer, wanted in textures.items()]
            loss = _relative(now[content_layer], shape) + style_weight * torch.stack(distances).mean(0)
            (parameters.grad,) = torch.autograd.grad(loss.sum(), parameters)
        optimizer.step()
        losses.append(loss.detach())
    made = pixels_of(parameters).detach()
    return Stylized(made, torch.stack(losses) if losses else content.new_zeros(0, len(content)))


def gram(activations: Tensor) -> Tensor:
    """The products of all pairs of units, averaged over positions (Gatys et al., equation 3): N x C x C."""
    flat = activations.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def layers_for(network: Network, size: Sequence[int]) -> tuple[str, list[str]]:
    """The content layer, and the style layers: the first and the last of every size of feature maps.

    Batch normalizations if there are any, otherwise convolutions: layers before rectifiers, which would block
    gradients.

    Raises:
        ModelError: The network has no layers with positions.
    """
    spatial = [layer for layer in network.layers if layer.is_spatial and min(layer.shape[1:]) >= _MIN_SIDE]
    norms = [layer for layer in spatial if "batch_norm" in layer.operation.lower().replace("batchnorm", "batch_norm")]
    chosen = norms or [layer for layer in spatial if layer.has_weights]
    if not chosen:
        raise ModelError("The network has no convolutions with positions, so it cannot represent a texture.")
    first = {layer.shape[1:]: layer.name for layer in reversed(chosen)}
    last = {layer.shape[1:]: layer.name for layer in chosen}
    content = min(last, key=lambda shape: abs(shape[0] - size[0] / _CONTENT_STRIDE))
    return last[content], list(dict.fromkeys([*first.values(), *last.values()]))


def _scale(size: Sequence[int]) -> Tensor:
    """The step size of each frequency, one over the frequency: H x (W // 2 + 1), with a mean square of 1."""
    down, across = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])
    scale = 1 / torch.sqrt(down**2 + across**2).clamp_min(1 / max(size))
    return scale / scale.square().mean().sqrt()


def _relative(values: Tensor, wanted: Tensor) -> Tensor:
    """The squared distance to the target, relative to the squared norm of the target; N."""
    return (values - wanted).flatten(1).square().sum(1) / wanted.flatten(1).square().sum(1).clamp_min(1e-12)
