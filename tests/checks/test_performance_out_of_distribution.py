from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet
from deeptroubles.checks.performance.out_of_distribution import out_of_distribution
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.transforms.shared.out_of_distribution import KINDS, out_of_distribution_images
from deeptroubles.recording import record
from tests.networks import blobs, formula

CENTRES = [(8 + i % 12, 8 + i // 2) for i in range(24)]


def images() -> ImageSet:
    return ImageSet.from_arrays(blobs(CENTRES))


def roughness(x):
    """Mean absolute difference of neighbors: small on a few squares, large on noise."""
    return x.diff(dim=3).abs().mean((1, 2, 3)) + x.diff(dim=2).abs().mean((1, 2, 3))


def unlike(x):
    """How far the light is from that of one square of 7 x 7 on black, and how rough the picture is."""
    return (x.mean((1, 2, 3)) - 49 / 784).abs() * 10 + (roughness(x) - 0.0357).abs() * 60


def planted():
    """The stranger the picture, the more confident it is."""
    return formula(lambda x: torch.stack([unlike(x), 0 * unlike(x)], 1)), images()


def clean():
    """The stranger the picture, the less confident it is."""
    return formula(lambda x: torch.stack([5 / (1 + unlike(x)), 0 * unlike(x)], 1)), images()


def test_separation_is_the_share_of_pairs():
    engine = LocalEngine()
    result = out_of_distribution(record(*clean(), engine), engine, seed=0)
    theirs = np.concatenate([values[0] for values in result.others.values()])
    pairs = (result.own[:, None] > theirs) + 0.5 * (result.own[:, None] == theirs)
    assert abs(result.separation(KINDS, 0).value - pairs.mean()) < 1e-9


def test_pictures_of_nothing_are_what_they_say():
    pixels = torch.randint(0, 256, (3, 3, 30, 44), generator=torch.Generator().manual_seed(0)) / 255
    made = out_of_distribution_images(pixels, seed=1)
    assert set(made) == set(KINDS)
    for each in made.values():
        assert each.shape == pixels.shape
        assert ((each * 255).round() - each * 255).abs().max() < 1e-3
    for kind in ("shuffled pixels", "shuffled patches"):
        assert torch.equal(made[kind].flatten(2).sort(2).values, pixels.flatten(2).sort(2).values)
        assert not torch.equal(made[kind], pixels)
    assert made["plain colors"].flatten(2).std(2).max() < 1e-6
    assert all(torch.equal(made[kind], out_of_distribution_images(pixels, seed=1)[kind]) for kind in KINDS)
