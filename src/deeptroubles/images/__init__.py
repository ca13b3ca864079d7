"""Where images come from, how they are decoded, and how their labels become classes."""

from __future__ import annotations

from deeptroubles.images.image_set import ImageSet
from deeptroubles.images.sources import load_images

__all__ = ["ImageSet", "load_images"]
