"""How long the rest of an audit will take, from what its checks took on other networks and on this one so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deeptroubles.recording import Budget

PRIOR = 10.0
"""Seconds as if taken as expected: the first checks are too short to tell how this network differs from others."""


class Typical(NamedTuple):
    """What a check takes: seconds that do not depend on the network, and looks at an image.

    With fewer images than `images` it takes proportionally less. `bounded`: it keeps to its share of the budget.
    """

    seconds: float
    looks: int = 0
    images: int = 1
    bounded: bool = False


TYPICAL: Mapping[str, Typical] = {
    "data.correlation": Typical(2.4, images=1000),
    "data.defects": Typical(5, 160, images=500),
    "data.duplicates": Typical(3, images=1000),
    "performance.out_of_distribution": Typical(0.5, 65),
    "reliance.background": Typical(9, 1000, images=500),
    "reliance.clusters": Typical(8, images=500),
    "reliance.cue": Typical(0.4, 750, images=64),
    "reliance.map_sanity": Typical(3, 2200, images=10),
    "reliance.occlusion_gain": Typical(1, 30_000, images=64, bounded=True),
    "reliance.patch_shuffling": Typical(1, 9000, images=64, bounded=True),
    "reliance.shortcut": Typical(12, 1000, images=500),
    "reliance.texture": Typical(0.5, 3000, images=64),
    "stability.corruption": Typical(0.6, 2000, images=64, bounded=True),
    "stability.rotation": Typical(0.8, 720, images=64, bounded=True),
    "stability.scale": Typical(2.2, 490, images=64, bounded=True),
    "stability.translation": Typical(0.8, 4000, images=64, bounded=True),
    "units.dead": Typical(0.2, 500, images=500),
    "units.label_detectors": Typical(1.8, images=500),
    "units.visualization_trust": Typical(3.3, 640),
    "adversarial.fooling": Typical(2, 520),
    "adversarial.one_pixel": Typical(2, 20_000, images=20, bounded=True),
    "adversarial.patch": Typical(2.5, 1900),
    "adversarial.targeted": Typical(0.2, 310),
    "adversarial.untargeted": Typical(0.6, 250),
}
"""By check. Fitted to audits of ResNet-20 (10,000 images of 32 pixels) and EfficientNet-Lite0 (500 and 15 photographs)
with the default budget, on two cores on 2026-11-28 (benchmarks/audit.py)."""


class TimeLeft:
    """The seconds that the checks of an audit will still take.

    A check will take what is typical for a network of this speed, times how much longer than typical the checks before
    it took together.
    """

    def __init__(self, checks: Sequence[str], images: int, budget: Budget) -> None:
        self._left = {name: _typical(TYPICAL.get(name, Typical(1)), images, budget) for name in checks}
        self._typical = self._took = PRIOR

    def after(self, check: str, seconds: float) -> float:
        """The seconds that are left after a check that took so long."""
        self._typical += self._left.pop(check, 0)
        self._took += seconds
        return sum(self._left.values()) * self._took / self._typical


def _typical(of: Typical, images: int, budget: Budget) -> float:
    looks = min(of.looks, budget.looks) if of.bounded else of.looks
    return (of.seconds + looks * budget.seconds) * min(1, images / of.images)
