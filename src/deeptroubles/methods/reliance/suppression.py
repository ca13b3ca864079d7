"""Suppression of shape, texture or color, at several strengths.

A network that needs what is suppressed changes its prediction. It works for any classes and needs no second network.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.bilateral_blur import bilateral_blur
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.non_local_means import non_local_means
from deeptroubles.methods.transforms.rotate_patches import rotate_patches
from deeptroubles.methods.transforms.shared.color import grayscale, shuffle_channels
from deeptroubles.methods.transforms.shuffle_patches import shuffle_patches

KINDS = {
    "patch shuffle": "shape",
    "patch rotation": "shape",
    "bilateral blur": "texture",
    "Gaussian blur": "texture",
    "non-local means": "texture",
    "grayscale": "color",
    "channel shuffle": "color",
}
"""Kinds of suppression, and what each suppresses."""

GRIDS = (2, 4, 8, 16)
"""Number of rows and columns of patches, at strengths from 1."""
MIN_PATCH = 7
"""Smallest side of a patch in pixels; smaller patches would lose their texture, too."""
_FRACTION = 128
_ALIKE = 0.1


def strengths(size: tuple[int, int]) -> int:
    """The number of strengths for images of this height and width; 0 when they are too small."""
    return sum(min(size) // grid >= MIN_PATCH for grid in GRIDS)


def kinds_for(channels: int) -> tuple[str, ...]:
    """The kinds of suppression for images with this number of channels: grayscale images have no color."""
    return tuple(kind for kind, what in KINDS.items() if channels == 3 or what != "color")


def suppress(images: Tensor, kind: str, strength: int, seed: int) -> Tensor:
    """Suppress shape, texture or color.

    Shape: patches of a grid of 2, 4, 8 or 16 rows and columns are shuffled or rotated. Texture: a bilateral or Gaussian
    blur whose radius (for the Gaussian, two standard deviations) is strength / 128 of the shorter side and at least
    `strength` pixels, or non-local means with h = strength / 10. Color: mixed with the grayscale image, or with
    permuted channels, by a share that reaches 1 at the largest strength that the images allow.

    Args:
        images: N x C x H x W in [0, 1]; C is 1 or 3, and 3 for color.
        kind: A key of KINDS.
        strength: 1 to 4; at most `strengths` for shape.
        seed: Seed of patches and channels.

    Returns:
        A new tensor like `images`.

    Raises:
        UsageError: There is no such kind or strength.

    References:
        T. Burgert et al.: ImageNet-trained CNNs are not biased towards texture: revisiting feature reliance through
        controlled suppression, NeurIPS 2025. The correspondence of strengths between kinds is this project's.
    """
    if kind not in KINDS or not 1 <= strength <= len(GRIDS):
        raise UsageError(
            f"There is no {kind!r} of strength {strength}; choose {', '.join(KINDS)}, and 1 to {len(GRIDS)}."
        )
    radius = max(strength, round(min(images.shape[-2:]) * strength / _FRACTION))
    share = min(1.0, strength / max(1, strengths((images.shape[-2], images.shape[-1]))))
    ways: dict[str, Callable[[], Tensor]] = {
        "patch shuffle": lambda: shuffle_patches(images, GRIDS[strength - 1], seed),
        "patch rotation": lambda: rotate_patches(images, GRIDS[strength - 1], seed),
        "bilateral blur": lambda: bilateral_blur(images, radius),
        "Gaussian blur": lambda: gaussian_blur(images, radius / 2),
        "non-local means": lambda: non_local_means(images, _ALIKE * strength),
        "grayscale": lambda: grayscale(images, share),
        "channel shuffle": lambda: shuffle_channels(images, seed, share),
    }
    return ways[kind]()
