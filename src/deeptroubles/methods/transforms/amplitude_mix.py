"""Amplitude and phase: the Fourier phases of one image with the amplitudes of another."""

from __future__ import annotations

import torch
from torch import Tensor


def amplitude_mix(content: Tensor, style: Tensor, strength: float = 1.0) -> Tensor:
    """Keep the phases of an image, which say where its edges are, and take the amplitudes of another.

    A quick stand-in for texture: amplitudes know how strong each frequency is in the whole image, and not what the
    texture looks like. The mean colors are among them.

    Args:
        content: N x C x H x W in [0, 1]: the shapes.
        style: Likewise: the textures.
        strength: Share of the amplitude that is the style's, 0 to 1.

    Returns:
        A new tensor like `content`, in [0, 1]: what leaves the range is cut off.

    References:
        G. Chen et al.: Amplitude-phase recombination: rethinking robustness of convolutional neural networks in
        frequency domain, ICCV 2021, equation 4.
    """
    spectrum, other = torch.fft.rfft2(content), torch.fft.rfft2(style)
    amplitude = torch.lerp(spectrum.abs(), other.abs(), strength)
    mixed = torch.polar(amplitude, spectrum.angle())
    pixels: Tensor = torch.fft.irfft2(mixed, s=content.shape[-2:])
    return pixels.clamp(0, 1)
