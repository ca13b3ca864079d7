"""adversarial.one_pixel: does changing one pixel change the prediction?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.adversarial.shared.examples import attacked_examples
from deeptroubles.checks.adversarial.shared.masking import gradient_masking, withheld
from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Finding, ImageGrid
from deeptroubles.methods.attacks import one_pixel as method
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

SMALL = 32
"""Up to this side length every pixel is tried."""
CANDIDATES = 64
"""Candidates tried on larger images, ranked by gradient."""
EXAMPLES_SHOWN = 3
LIMITS = Limits(
    "the share of images whose prediction one pixel changes",
    warn_at=0.1,
    fail_at=0.4,
    note="While gradients look masked and not every pixel is tried, it can only fail or be inconclusive. The "
    "thresholds are conventions.",
)


@dataclass(frozen=True, kw_only=True)
class OnePixel:
    """Which predictions one pixel changes.

    Attributes:
        looks: The images that were tried, N.
        success: Whether a pixel was found, N.
        exact: Whether every corner of the color cube was tried at every pixel.
        masked: Signs of masked gradients, which rank the candidates where not all are tried.
        examples: Images before and after.
    """

    looks: Looks
    success: NDArray[np.bool_]
    exact: bool
    masked: tuple[str, ...]
    examples: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """The share of images whose prediction one pixel changes."""
        return self.looks.mean_share(self.success)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.success), self.share
        tried = "every pixel tried" if self.exact else f"{CANDIDATES} candidates tried per image"
        few_tried = (
            f"Only {CANDIDATES} of more than {8 * SMALL**2} possible changes were tried, because the images are large."
        )
        yield Finding(
            check="adversarial.one_pixel",
            verdict=withheld(self.looks.verdict(LIMITS, share), self.masked),
            severity=share.value,
            claim=f"Changing one pixel changes the prediction on at least {percent_interval(share)} of images "
            f"({tried}).",
            criterion=LIMITS.criterion,
            evidence=[LIMITS.estimate("Predictions that one pixel changes", share, count), *self.examples],
            caveats=[
                *few(count),
                *self.looks.caveats,
                *self.masked,
                "This is a lower bound: only black, white and the full colors were tried.",
                *([] if self.exact else [few_tried]),
            ],
        )


@check("adversarial.one_pixel", common=True)
def one_pixel(recording: Recording, engine: Engine, *, seed: int) -> OnePixel:
    """Does changing a single pixel change the prediction?

    What it asks:
        Single pixels are set to black, to white and to the full colors, in the order of the gradient, until the
        prediction changes. On images of up to 32 x 32 pixels every pixel is tried.

    Why it matters:
        One pixel does not change what an image shows, so it should not change the prediction.

    How to read it:
        The estimate is the share of images for which such a pixel was found, whether or not the prediction was correct.
        Published rates (any wrong class): 22% to 35% on the original CIFAR-10 test images, 16% on ImageNet.

    Limits:
        The estimate is a lower bound: other colors, or in large images other pixels, may change more predictions. Few
        cameras change one pixel.

    References:
        J. Su, D. V. Vargas, K. Sakurai, One pixel attack for fooling deep neural networks, IEEE TEVC 2019.
    """
    exact = max(recording.subject.classifier.size) <= SMALL
    looks = look(
        recording,
        engine,
        _attack,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(looks.found["success"]),
        limits=LIMITS,
        views=8 * SMALL**2 if exact else CANDIDATES,
        task="Changing one pixel",
        seed=seed,
        first=MIN_IMAGES,
        chunk=2,
    )
    rows, found = looks.rows, looks.found
    success = found["success"].astype(bool)
    seen = np.flatnonzero(success & (found["distance"] > 0))[:EXAMPLES_SHOWN]
    return OnePixel(
        looks=looks,
        success=success,
        exact=exact,
        masked=() if exact else tuple(gradient_masking(recording, engine).raised()),
        examples=attacked_examples(
            recording,
            engine,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"{found['queries'][i]} queries" for i in seen],
        ),
    )


def _attack(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    limit = 8 * SMALL**2 if max(classifier.size) <= SMALL else CANDIDATES
    found = method.one_pixel(classifier, pixels, labels, limit=limit)
    return {
        "success": found.success.cpu().numpy(),
        "distance": found.distance.cpu().numpy(),
        "queries": found.queries.cpu().numpy(),
        "attacked": to_bytes(found.images).numpy(),
    }
