"""What is done in training against a problem that an audit found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.methods.reliance.treatments import treat
from deeptroubles.methods.surgery.new_head import last_layer
from deeptroubles.methods.transforms.amplitude_mix import amplitude_mix
from deeptroubles.methods.transforms.shared.named_cue import NamedCue, drawn_cue
from deeptroubles.methods.transforms.shared.overlay import control, lay

_CONTROLS = 6
Views = Callable[[Tensor], Tensor]
"""Changes the images of a step: n x C x H x W in [0, 1]. Draws come from the global generator."""
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Changes them against the network, knowing their classes."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What is done in training against a problem.

    Attributes:
        name: Its name, with all that decides the outcome.
        views: How images are changed before the network sees them.
        attack: How they are changed against the network.
        balances: The column whose groups count the same within each class when the last layer is fitted; '' for none.
        calibrates: Whether logits are divided by the temperature that fits the validation images best.
    """

    name: str = ""
    views: Views = lambda pixels: pixels
    attack: Attack = lambda _network, pixels, _classes: pixels
    balances: str = ""
    calibrates: bool = False


def other_textures(pixels: Tensor) -> Tensor:
    """Every second image keeps its edges and gets the Fourier amplitudes of another one of the step.

    References:
        G. Chen et al.: Amplitude-phase recombination, ICCV 2021. R. Geirhos et al.: ImageNet-trained CNNs are biased
        towards texture, ICLR 2019, trained on stylized images, whose style transfer takes seconds for each image.
    """
    mixed = amplitude_mix(pixels, pixels[torch.randperm(len(pixels))])
    return _half(pixels, mixed)


def cue_at_random(cues: tuple[NamedCue, ...]) -> Views:
    """Every second image gets one of the cues, whatever its class; in the others something else covers its place.

    So neither the cue nor its absence says anything about the class. What covers it has the cue's size, opacity and
    contrast (`overlay.control`). A treatment, such as a blur, has no place to cover: the others stay as they are.
    """

    def views(pixels: Tensor) -> Tensor:
        cue, number = cues[int(torch.randint(len(cues), ()))], int(torch.randint(1, _CONTROLS + 1, ()))
        if cue.kind == "treatment":
            return _half(pixels, treat(pixels, cue.content, cue.amount))
        overlay = drawn_cue(cue, (pixels.shape[2], pixels.shape[3]), pixels.shape[1])
        return _half(lay(pixels, control(overlay, number, seed=0)), lay(pixels, overlay))

    return views


def adversarial(epsilon: float, steps: int = 7) -> Attack:
    """Projected gradient descent from a random start, as in adversarial training.

    Args:
        epsilon: The largest change of a pixel in [0, 1].
        steps: Gradient steps of 2.5 epsilon / steps.

    References:
        A. Madry et al.: Towards deep learning models resistant to adversarial attacks, ICLR 2018.
    """

    def attack(network: nn.Module, pixels: Tensor, classes: Tensor) -> Tensor:
        shown = pixels + torch.empty_like(pixels).uniform_(-epsilon, epsilon)
        for _ in range(steps):
            shown = shown.clamp(0, 1).detach().requires_grad_()
            (slope,) = torch.autograd.grad(functional.cross_entropy(network(shown), classes), shown)
            moved = shown.detach() + 2.5 * epsilon / steps * slope.sign()
            shown = torch.min(torch.max(moved, pixels - epsilon), pixels + epsilon)
        return shown.clamp(0, 1).detach()

    return attack


def calibrate(classifier: Classifier, logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Divide a classifier's logits by the temperature that makes the labels of some images most likely.

    The division is done in the weights of the last layer. Predictions stay the same.

    Args:
        classifier: A classifier whose last layer has weights; changed.
        logits: N x K, its logits for images that it was not trained on.
        targets: N class indices.

    Returns:
        The temperature.

    References:
        C. Guo et al.: On calibration of modern neural networks, ICML 2017.
    """

    def loss(log_t: float) -> float:
        return -float(log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(targets)), targets].mean())

    temperature = float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))
    with torch.no_grad():
        for parameter in classifier.module.get_submodule(last_layer(classifier)).parameters():
            parameter.div_(temperature)
    return temperature


def _half(pixels: Tensor, changed: Tensor) -> Tensor:
    chosen = torch.rand(len(pixels)) < 0.5
    return torch.where(chosen.to(pixels.device)[:, None, None, None], changed.to(pixels), pixels)
