"""stability.rotation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.stability.shared.sweep import Sweep, sweep
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Finding
from deeptroubles.methods.transforms.shared.warp import Outside
from deeptroubles.recording import Recording

WARN_AT, FAIL_AT = 0.10, 0.30
ANGLES = (-30.0, -20.0, -10.0, -5.0, 5.0, 10.0, 20.0, 30.0)
"""Degrees; Engstrom et al. turn by up to 30 each way."""


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """What turning the image does to the answer."""

    sweep: Sweep
    border: Outside

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        turned, share, count = self.sweep, self.sweep.share, len(self.sweep.changed)
        once = int(turned.changed.any(1).sum())
        yield Finding(
            check="stability.rotation",
            verdict=judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=share.value,
            claim=f"Turning an image by {min(map(abs, ANGLES)):g} to {max(ANGLES):g} degrees changes the answer in "
            f"{percent_interval(share)} of the cases; {once} of {count} images can be turned so that it changes.",
            criterion=criterion("the mean share of angles that change the answer", warn_at=WARN_AT, fail_at=FAIL_AT)
            + " The thresholds are our convention.",
            evidence=turned.evidence(
                label="Turns that change the answer",
                title="Images whose answer changes, by angle",
                x_label="degrees, counter-clockwise",
                unchanged=0.0,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            caveats=[
                *few(count),
                (
                    f"The corners that come in from outside are made up ({self.border} border); of the {once} images "
                    f"that change, {turned.whatever_border} change for one and the same angle with every border."
                ),
                (
                    "Turning blurs a little (bilinear). Answers are compared with the one before, right or wrong; "
                    "where the way up is what matters (a 6 and a 9), a change is right."
                ),
            ],
        )


@check("stability.rotation")
def rotation(recording: Recording, engine: Engine, *, seed: int, border: Outside = "mirror") -> Rotation:
    """Does the answer change when the image is turned by a few degrees?

    What it asks:
        Each image is turned by 5, 10, 20 and 30 degrees both ways. How often is the most likely class another one than
        before?

    Why it matters:
        Cameras are not held level, and things lie at all angles. A network that has only seen upright ones may know
        nothing else.

    How to read it:
        The estimate is the mean over images of the share of angles that change the answer; its interval is over
        images. The curve shows every angle with Wilson's interval, and the right answers where labels are known.

    Limits:
        The corners that come in are made up, and turning interpolates; the caveat says how many changes do not depend
        on the border. Where direction carries the meaning, another answer can be the right one.

    References:
        L. Engstrom et al., Exploring the landscape of spatial robustness, ICML 2019.

        A. Azulay, Y. Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.
    """
    return Rotation(sweep=sweep(recording, engine, "rotation", ANGLES, border, in_words), border=border)


def in_words(degrees: float) -> str:
    """An angle in words."""
    return f"turned {abs(degrees):g} degrees {'counter-clockwise' if degrees > 0 else 'clockwise'}"
