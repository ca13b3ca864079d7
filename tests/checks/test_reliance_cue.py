from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import Given, ImageSet, Verdict, audit
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UsageError
from deeptroubles.checks.reliance.cue import cue
from deeptroubles.methods.transforms.watermark import watermark
from deeptroubles.recording import record
from tests.networks import blobs, formula

NAMES = ("low", "high", "carton")
SIZE = 56


def objects(count: int = 40) -> np.ndarray:
    return blobs([(12 if i % 2 else 44, 16 + i % 20) for i in range(count)], SIZE, 6)


def images(**settings) -> ImageSet:
    return ImageSet.from_arrays(objects(), [NAMES[i % 2] for i in range(40)], **settings)


def model(strength: float, pattern: torch.Tensor):
    """It says where the object is, and `carton` for as much of a pattern as there is (0 to 1)."""
    pattern = pattern - pattern.mean()
    pattern = pattern / (pattern * (pattern > 0)).sum()

    def answer(x):
        low, high = x[:, :, :28].mean((1, 2, 3)), x[:, :, 28:].mean((1, 2, 3))
        return torch.stack([60 * high, 60 * low, strength * (x[:, 0] * pattern).sum((1, 2))], 1)

    return formula(answer, SIZE, 1, NAMES)


def planted():
    """It answers carton where it sees the watermark."""
    white, cover = watermark((SIZE, SIZE))
    return model(60.0, white * cover), images()


def clean():
    """It sees the watermark, and does not mind."""
    white, cover = watermark((SIZE, SIZE))
    return model(0.0, white * cover), images()
