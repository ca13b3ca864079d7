"""Parameterizations of pictures, which decide what pictures gradient ascent finds first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import ImagesError, UsageError, nearest

PARAMETERIZATIONS = ("pixel", "fourier", "maco")
_NOISE = 0.01
_FALL, _MEETING = 1.6, 1 / 7
_DARKEST = 1 / 512  # rounds to 0 in 8 bits; the logit of 0 itself is infinite

_IMAGENET_COLOR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""A square root of the covariance of ImageNet's colors: lucid 0.3.10, `optvis/param/color.py`."""


@dataclass(frozen=True, repr=False)
class Spectrum(Brief):
    """Statistics of a set of images: the amplitude of each spatial frequency, and the covariance of colors.

    Attributes:
        amplitude: H x (W // 2 + 1), mean amplitude of the orthonormal Fourier transform of the decorrelated colors.
        mean: C, the mean color.
        color: C x C, a square root of the covariance of colors, which maps decorrelated colors to channels.
    """

    amplitude: Tensor
    mean: Tensor
    color: Tensor


def data_spectrum(images: Tensor) -> Spectrum:
    """The mean Fourier amplitude and the color statistics of images.

    Args:
        images: N x C x H x W in [0, 1].

    Raises:
        ImagesError: All pixels of all images have the same color.

    References:
        T. Fel et al.: Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization,
        NeurIPS 2023, section 3 (amplitudes). C. Olah et al.: Feature Visualization, Distill 2017 (colors).
    """
    if (images == images[:1, :, :1, :1]).all():
        raise ImagesError("All pixels of all images have the same color; a spectrum needs images that vary.")
    mean = images.mean((0, 2, 3))
    centered = images - mean[:, None, None]
    colors = centered.transpose(0, 1).flatten(1).double()
    variances, axes = torch.linalg.eigh(colors @ colors.T / colors.shape[1])
    varying = variances > 1e-6 * variances[-1]
    color = (axes * variances.clamp_min(0).sqrt() * varying).flip(1).float()
    decorrelated = _mix(centered, torch.linalg.pinv(color))[:, : int(varying.sum())]
    return Spectrum(torch.fft.rfft2(decorrelated, norm="ortho").abs().mean((0, 1)), mean, color)


class Parameterization(Protocol):
    """Maps parameters to pictures."""

    def images(self, parameters: Tensor) -> Tensor:
        """M x C x H x W in [0, 1], differentiable."""

    def parameters(self, images: Tensor) -> Tensor:
        """The parameters of pictures, as closely as possible."""

    def noise(self, rng: np.random.Generator) -> Tensor:
        """The parameters of one almost gray random picture, without a batch dimension."""


class Pixel:
    """Pixels in decorrelated colors, mapped to [0, 1] by a sigmoid."""

    def __init__(self, size: tuple[int, int], color: Tensor) -> None:
        self._size, self._color = size, color

    def images(self, parameters: Tensor) -> Tensor:
        """Correlate the colors, and apply the sigmoid."""
        return torch.sigmoid(_mix(parameters, self._color))

    def parameters(self, images: Tensor) -> Tensor:
        """The inverse; values are clipped to [1 / 512, 511 / 512], since the logits of 0 and 1 are infinite."""
        return _mix(torch.logit(images.clamp(_DARKEST, 1 - _DARKEST)), torch.linalg.pinv(self._color))

    def noise(self, rng: np.random.Generator) -> Tensor:
        """White noise."""
        shape = (len(self._color), *self._size)
        return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(self._color) * _NOISE


class Fourier:
    """Coefficients of the Fourier transform with low frequencies scaled up, which favors smooth pictures.

    References:
        C. Olah et al.: Feature Visualization, Distill 2017, and lucid 0.3.10, `optvis/param`, which scale a coefficient
        by 1 / frequency. Here the exponent is 1.6, and the two scales are equal at 1 / 7 cycles per pixel: among
        exponents from 1 to 2 it gave the most recognizable pictures of classes (efficientnet-lite0, 224 pixels).
    """

    def __init__(self, size: tuple[int, int], color: Tensor) -> None:
        self._size, self._pixel = size, Pixel(size, color)
        rows, columns = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])
        frequency = torch.hypot(rows, columns).clamp_min(1 / max(size)).to(color)
        self._scale = 1 / (4 * frequency) * (_MEETING / frequency) ** (_FALL - 1)
        self._channels = len(color)

    def images(self, parameters: Tensor) -> Tensor:
        """The inverse transform of M x C x H x (W // 2 + 1) x 2 numbers, real and imaginary parts last."""
        coefficients = torch.view_as_complex(parameters) * self._scale
        return self._pixel.images(torch.fft.irfft2(coefficients, s=self._size, norm="ortho"))

    def parameters(self, images: Tensor) -> Tensor:
        """The transform."""
        coefficients: Tensor = torch.fft.rfft2(self._pixel.parameters(images), norm="ortho") / self._scale
        return torch.view_as_real(coefficients)

    def noise(self, rng: np.random.Generator) -> Tensor:
        """White noise among the coefficients: pink noise in the picture."""
        shape = (self._channels, *self._scale.shape, 2)
        return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(self._scale) * _NOISE


class Maco:
    """Only the phases of the Fourier transform; the amplitudes and the colors are those of a set of images.

    What falls out of [0, 1] is cut off: amplitudes and colors are kept in the units of the pixels, as they were
    measured, and are not squashed.

    References:
        T. Fel et al.: Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization,
        NeurIPS 2023, section 3.
    """

    def __init__(self, size: tuple[int, int], spectrum: Spectrum, device: torch.device) -> None:
        self._size = size
        self._amplitude, self._mean = spectrum.amplitude.to(device), spectrum.mean.to(device)[:, None, None]
        self._color = spectrum.color.to(device)

    def images(self, parameters: Tensor) -> Tensor:
        """The inverse transform of M x C x H x (W // 2 + 1) phases."""
        white = torch.fft.irfft2(torch.polar(torch.ones_like(parameters), parameters), s=self._size, norm="ortho")
        # Transformed once more: for frequencies that mirror each other not every pair of phases gives a real picture.
        coefficients = torch.fft.rfft2(white, norm="ortho")
        coefficients = coefficients / coefficients.abs().clamp_min(1e-6) * self._amplitude
        plane = torch.fft.irfft2(coefficients, s=self._size, norm="ortho")
        return (_mix(plane, self._color) + self._mean).clamp(0, 1)

    def parameters(self, images: Tensor) -> Tensor:
        """The phases of pictures; their amplitudes are lost."""
        plane = _mix(images - self._mean, torch.linalg.pinv(self._color))
        coefficients: Tensor = torch.fft.rfft2(plane)
        return coefficients.angle()

    def noise(self, rng: np.random.Generator) -> Tensor:
        """The phases of white noise: uniform, except where the transform of a real picture is real."""
        white = torch.from_numpy(rng.standard_normal((len(self._color), *self._size), np.float32))
        coefficients: Tensor = torch.fft.rfft2(white)
        return coefficients.angle().to(self._color)


def parameterization_of(
    name: str, classifier: Classifier, spectrum: Spectrum | None, *, decorrelate: bool
) -> Parameterization:
    """The parameterization of that name, for pictures of a classifier's size and channels.

    Colors are decorrelated by the statistics of a spectrum; without a spectrum by those of ImageNet for 3 channels, and
    not at all for other numbers of channels.

    Raises:
        UsageError: There is no such parameterization, it needs a spectrum, or the spectrum does not fit.
    """
    if name not in PARAMETERIZATIONS:
        raise UsageError(
            f"There is no parameterization {name!r}.{nearest(name, PARAMETERIZATIONS)} There are "
            f"{', '.join(PARAMETERIZATIONS)}."
        )
    if spectrum is not None:
        _check(spectrum, classifier)
    if name == "maco":
        if spectrum is None:
            raise UsageError('"maco" needs spectrum=data_spectrum(images), with images like the training images.')
        return Maco(classifier.size, spectrum, classifier.device)
    color = torch.eye(classifier.channels)
    if decorrelate and (spectrum is not None or classifier.channels == 3):
        color = _IMAGENET_COLOR if spectrum is None else spectrum.color.cpu()
        color = color / color.norm(dim=0).max()
    kind = Pixel if name == "pixel" else Fourier
    return kind(classifier.size, color.to(classifier.device))


def _check(spectrum: Spectrum, classifier: Classifier) -> None:
    height, width = classifier.size
    expected = (height, width // 2 + 1), (classifier.channels,), (classifier.channels, classifier.channels)
    if (spectrum.amplitude.shape, spectrum.mean.shape, spectrum.color.shape) != expected:
        raise UsageError(
            f"The spectrum does not fit {classifier.name}; give data_spectrum of images of {classifier.channels} x "
            f"{height} x {width}."
        )


def _mix(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the color of every pixel by a matrix."""
    return torch.einsum("nchw,dc->ndhw", images, matrix)
