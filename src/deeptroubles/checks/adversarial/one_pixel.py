"""adversarial.one_pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.adversarial.shared.examples import attacked_strips
from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Estimate, Evidence, Finding, ImageGrid
from deeptroubles.methods.attacks import one_pixel as method
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

SMALL = 32
"""Images up to this side length are searched to the end."""
TRIED = 64
"""Of larger ones so many candidates are tried, those of which the gradient promises most."""
IMAGES, SHOWN = 16, 3
WARN_AT, FAIL_AT = 0.1, 0.4


@dataclass(frozen=True, kw_only=True)
class OnePixel:
    """Which answers one pixel changes.

    Attributes:
        success: Whether a pixel was found, N.
        exact: Whether every corner of the colour cube was tried at every pixel.
        strips: Images before and after.
    """

    success: NDArray[np.bool_]
    exact: bool
    strips: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """The share of images that one pixel breaks."""
        return wilson(int(self.success.sum()), len(self.success))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.success), self.share
        searched = "every pixel was tried" if self.exact else f"the {TRIED} likeliest changes were tried"
        evidence: list[Evidence] = [
            Estimate(
                label="Answers that one pixel changes",
                value=share.value,
                low=share.low,
                high=share.high,
                n=count,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.strips,
        ]
        yield Finding(
            check="adversarial.one_pixel",
            verdict=judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=share.value,
            claim=f"One changed pixel changes the answer on at least {percent_interval(share)} of the images "
            f"({searched}).",
            criterion=criterion("the share of images that one pixel breaks", warn_at=WARN_AT, fail_at=FAIL_AT),
            evidence=evidence,
            caveats=[
                *few(count),
                "A lower bound: only black, white and the full colours were tried, not the colours between them.",
                *(
                    []
                    if self.exact
                    else [f"Only {TRIED} changes of more than {8 * SMALL**2} were tried: the images are large."]
                ),
            ],
        )


@check("adversarial.one_pixel")
def one_pixel(recording: Recording, engine: Engine, *, seed: int) -> OnePixel:
    """Does changing a single pixel change the answer?

    What it asks:
        Single pixels are set to black, to white and to the full colours, those first of which the gradient promises
        most, until the answer changes. On images of up to 32 x 32 pixels every pixel is tried.

    Why it matters:
        What the image shows does not change with one pixel. An answer that does hangs by a thread.

    How to read it:
        The estimate is the share of images for which such a pixel was found, whatever the answer was before. Published
        rates (any wrong class): 22 to 35 % on the original CIFAR-10 test images, 16 % on ImageNet.

    Limits:
        A lower bound: other colours, or in large images other pixels, might do it. Few cameras change one pixel.

    References:
        J. Su, D. V. Vargas, K. Sakurai, One pixel attack for fooling deep neural networks, IEEE TEVC 2019.
    """
    subject, rows = recording.subject, recording.sample(IMAGES)
    found = engine.map(_attack, subject, rows, task="Changing one pixel", chunk=2)
    success = found["success"].astype(bool)
    seen = np.flatnonzero(success & (found["distance"] > 0))[:SHOWN]
    return OnePixel(
        success=success,
        exact=max(subject.classifier.size) <= SMALL,
        strips=attacked_strips(
            recording,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"{found['queries'][i]} looks" for i in seen],
        ),
    )


def _attack(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    limit = 8 * SMALL**2 if max(classifier.size) <= SMALL else TRIED
    found = method.one_pixel(classifier, pixels, labels, limit=limit)
    return {
        "success": found.success.cpu().numpy(),
        "distance": found.distance.cpu().numpy(),
        "queries": found.queries.cpu().numpy(),
        "attacked": to_bytes(found.images).numpy(),
    }
