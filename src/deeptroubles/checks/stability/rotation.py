"""stability.rotation: does the prediction change under rotation?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.stability.shared.sweep import Range, Sweep, sweep
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Finding
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.shared.warp import Border
from deeptroubles.recording import Recording

LIMITS = Limits(
    "the mean share of angles that change the prediction",
    warn_at=0.50,
    fail_at=0.75,
    note="The thresholds are conventions; published networks lie below them.",
)
ANGLES = (-30.0, -20.0, -10.0, -5.0, 5.0, 10.0, 20.0, 30.0)
"""Degrees; Engstrom et al. rotate by up to 30 each way."""


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """The effect of rotating images on the prediction."""

    sweep: Sweep
    border: Border

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        found, count = self.sweep, len(self.sweep.changed)
        yield Finding(
            check="stability.rotation",
            verdict=found.looks.verdict(LIMITS, found.share),
            severity=found.share.value,
            claim=f"Rotating an image by {min(map(abs, ANGLES)):g} to {max(ANGLES):g} degrees changes the prediction "
            f"in {percent_interval(found.share)} of cases (on {found.ever} of {count} images for at least one angle).",
            criterion=LIMITS.criterion,
            evidence=found.evidence(
                LIMITS,
                label="Rotations that change the prediction",
                title="Images whose prediction changes, by angle",
                x_label="degrees, counter-clockwise",
            ),
            caveats=[
                *few(count),
                *found.looks.caveats,
                (
                    f"The corners are filled in ({self.border} border); the prediction changes on {found.ever} "
                    f"images, on {found.in_both} of them for the same angle with every border."
                ),
                (
                    "Rotation blurs a little (bilinear). Predictions are compared with those for the unchanged image, "
                    "correct or not; where orientation matters (a 6 and a 9), a change is correct."
                ),
            ],
        )


@check("stability.rotation")
def rotation(recording: Recording, engine: Engine, *, seed: int, border: Border = "mirror") -> Rotation:
    """Does the prediction change when the image is rotated by a few degrees?

    What it asks:
        Each image is rotated by 5, 10, 20 and 30 degrees both ways. How often does the most likely class change?

    Why it matters:
        Cameras are not held level, and objects lie at all angles. A network that has only seen upright objects may not
        recognize others.

    How to read it:
        The estimate is the mean over images of the share of angles that change the prediction; its interval is over
        images. The curve shows every angle with Wilson's interval, and the correct predictions where labels are known.

    Limits:
        The corners are filled in, and rotation interpolates; the caveat says how many changes do not depend on the
        border. Where orientation carries meaning, a changed prediction can be the correct one.

    References:
        L. Engstrom et al., Exploring the landscape of spatial robustness, ICML 2019.

        A. Azulay, Y. Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.
    """
    other: Border = "black" if border == "mirror" else "mirror"
    over = Range(
        transform=rotate,
        values=ANGLES,
        unchanged=0.0,
        in_words=in_words,
        settings={"border": border},
        control={"border": other},
    )
    return Rotation(sweep=sweep(recording, engine, over, LIMITS, seed), border=border)


def in_words(degrees: float) -> str:
    """An angle in words."""
    return f"rotated {abs(degrees):g} degrees {'counter-clockwise' if degrees > 0 else 'clockwise'}"
