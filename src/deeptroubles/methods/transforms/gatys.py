"""Neural style transfer: the activations of one image with the Gram matrices of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.parameters import Count
from deeptroubles.network import PIXELS, Network, TracedNetwork, in_fast_layout, open_network, optimized
from deeptroubles.progress import track

STEPS = 100
STYLE_WEIGHT = 20.0
"""How much more the style counts than the content; both losses are relative, so that 1 of either is all of it."""
LEARNING_RATE = 0.05
_CONTENT_STRIDE = 8
_MIN_SIDE = 4
"""Layers with fewer positions along a side know too little of a texture."""
_DARKEST = 1 / 64


class Stylized(NamedTuple):
    """Images (N x C x H x W in [0, 1]) with, at every step, the loss of each (steps x N)."""

    images: Tensor
    losses: Tensor


def gatys(
    classifier: Classifier, content: Tensor, style: Tensor, *, style_weight: float = STYLE_WEIGHT, steps: Count = STEPS
) -> Stylized:
    """Change images until a network's Gram matrices are those of other images and deep activations their own.

    The loss of an image is the squared distance of its activations from the content's at a layer of stride 8, plus
    `style_weight` times the mean over layers (and the pixels themselves, for the colors) of the squared distance of
    Gram matrices, each relative to the squared size of what is aimed at. It starts from the content, with Adam on the
    Fourier transform of the pixels' logits, so that coarse changes come as easily as fine ones. Nothing is random.

    Args:
        classifier: Any convolutional network. Not the one that is audited with the result: it would be judged by its
            own idea of a texture.
        content: N x C x H x W in [0, 1], of the classifier's size: the shapes.
        style: Likewise: the textures.
        style_weight: How much the style counts against the content.
        steps: Steps of Adam.

    Returns:
        The images and their losses.

    Raises:
        UsageError: The images are not of the classifier's size, or there are not as many styles.
        ModelError: The network has no layers with positions.

    References:
        L. A. Gatys, A. S. Ecker, M. Bethge: Image style transfer using convolutional neural networks, CVPR 2016,
        equations 1 to 7; relative losses are ours. The Fourier transform: C. Olah et al.: Feature Visualization,
        Distill 2017.
    """
    wanted_shape = (len(content), classifier.channels, *classifier.size)
    if content.shape != wanted_shape or style.shape != wanted_shape:
        raise UsageError(
            f"Content {tuple(content.shape)} and style {tuple(style.shape)} must both be {wanted_shape}, as the "
            "network takes them."
        )
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
    """The mean over positions of the products of every two units: N x C x H x W to N x C x C.

    References:
        Gatys et al., equation 3, divided by the number of positions.
    """
    flat = activations.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def layers_for(network: Network, size: Sequence[int]) -> tuple[str, list[str]]:
    """The layer for the content, and those for the style: the first and the last of every size of feature maps.

    Normalisations where there are some, otherwise convolutions: before rectifiers, which would stop gradients.

    Raises:
        ModelError: The network has no layers with positions.
    """
    spatial = [layer for layer in network.layers if layer.is_spatial and min(layer.shape[1:]) >= _MIN_SIDE]
    norms = [layer for layer in spatial if "batch_norm" in layer.operation.lower().replace("batchnorm", "batch_norm")]
    chosen = norms or [layer for layer in spatial if layer.has_weights]
    if not chosen:
        raise ModelError("The network has no convolutions with positions to take a texture from; choose another one.")
    first = {layer.shape[1:]: layer.name for layer in reversed(chosen)}
    last = {layer.shape[1:]: layer.name for layer in chosen}
    content = min(last, key=lambda shape: abs(shape[0] - size[0] / _CONTENT_STRIDE))
    return last[content], list(dict.fromkeys([*first.values(), *last.values()]))


def _scale(size: Sequence[int]) -> Tensor:
    """How large a step of each frequency is: one over the frequency; H x (W // 2 + 1), with a mean square of 1."""
    down, across = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])
    scale = 1 / torch.sqrt(down**2 + across**2).clamp_min(1 / max(size))
    return scale / scale.square().mean().sqrt()


def _relative(values: Tensor, wanted: Tensor) -> Tensor:
    """The squared distance of each as a share of the squared size of what is wanted; N."""
    return (values - wanted).flatten(1).square().sum(1) / wanted.flatten(1).square().sum(1).clamp_min(1e-12)
