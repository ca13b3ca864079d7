"""Mix the Fourier amplitudes of one image with the phases of another."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.parameters import Share


def amplitude_mix(content: Tensor, style: Tensor, strength: Share = 1.0) -> Tensor:
    """Keep the phases of an image, which hold its edges, and take the amplitudes of another.

    A fast approximation of a change of texture. Amplitudes hold how strong each frequency is in the whole image,
    including the mean colors, but not what the texture looks like.

    Args:
        content: N x C x H x W in [0, 1]: the shapes.
        style: N x C x H x W in [0, 1]: the textures.
        strength: The style's share of the amplitude.

    Returns:
        A new tensor like `content`, clipped to [0, 1].

    References:
        G. Chen et al.: Amplitude-phase recombination: rethinking robustness of convolutional neural networks in
        frequency domain, ICCV 2021, equation 4.
    """
    spectrum, other = torch.fft.rfft2(content), torch.fft.rfft2(style)
    amplitude = torch.lerp(spectrum.abs(), other.abs(), strength)
    mixed = torch.polar(amplitude, spectrum.angle())
    pixels: Tensor = torch.fft.irfft2(mixed, s=content.shape[-2:])
    return pixels.clamp(0, 1)
