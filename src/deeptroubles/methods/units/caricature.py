"""Caricatures: a picture that exaggerates the activations of an image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, NonNegative, Positive, Seed
from deeptroubles.methods.targets import as_batch
from deeptroubles.methods.units.shared.ascent import LEARNING_RATE, activations_for_ascent, maximize
from deeptroubles.methods.units.shared.objectives import dot_times_cosine
from deeptroubles.methods.units.shared.parameterizations import Spectrum, parameterization_of
from deeptroubles.methods.units.shared.transformations import random_views, view
from deeptroubles.network import open_network


def caricature(
    classifier: Classifier,
    image: Tensor,
    layer: str,
    *,
    power: NonNegative = 1.0,
    parameterization: str = "fourier",
    spectrum: Spectrum | None = None,
    steps: Count = 256,
    learning_rate: Positive = LEARNING_RATE,
    decorrelate: bool = True,
    transform: bool = True,
    seed: Seed = 0,
) -> Tensor:
    """Make a picture from noise that has the activations of an image at a layer, but stronger.

    It maximizes the dot product of its output and the image's at the layer, times a power of their cosine similarity.
    Every step compares both through the same view.

    Args:
        classifier: The classifier.
        image: C x H x W in [0, 1], of the model's size.
        layer: Name of a layer.
        power: Power of the cosine similarity: 0 only exaggerates, larger values stay closer to the image.
        parameterization: `fourier`, `pixel`, or `maco`, which needs a spectrum.
        spectrum: Amplitudes and colors of natural images, from `data_spectrum`.
        steps: Steps of Adam.
        learning_rate: Step size of Adam.
        decorrelate: Optimize decorrelated colors: those of the spectrum, or of ImageNet for 3 channels.
        transform: Show the network shifted, scaled and rotated views and crops of both.
        seed: Decides the noise and the views.

    Returns:
        C x H x W in [0, 1], rounded to 8 bits.

    Raises:
        ModelError: There is no such layer.
        UsageError: The image has another size, or the parameterization does not exist or needs a spectrum.

    References:
        lucid 0.3.10, `recipes/caricature.py`; C. Olah: Feature visualization of neural networks, caricatures, 2018.
    """
    batch = as_batch(classifier, image)
    if len(batch) != 1:
        raise UsageError(f"A caricature needs one image; {len(batch)} were given.")
    network = open_network(classifier)
    network.layer(layer)
    with torch.inference_mode(mode=False), torch.enable_grad():
        pictures = parameterization_of(parameterization, classifier, spectrum, decorrelate=decorrelate)
        original = batch.detach().clone()
        activations = activations_for_ascent(network, layer)
        views = random_views(classifier.size, steps, seed) if transform else None

        def value(images: Tensor, step: int) -> Tensor:
            seen, wanted = (i if views is None else view(i, views[step]) for i in (images, original))
            with torch.no_grad():
                target = activations(wanted, step)
            return dot_times_cosine(activations(seen, step).flatten(1), target.flatten(1), power, (1,))

        start = pictures.noise(np.random.default_rng(seed))[None]
        end, _ = maximize(pictures, start, value, steps=steps, learning_rate=learning_rate, task="Exaggerating")
        return as_8_bit(pictures.images(end))[0]
