"""stability.scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.stability.shared.sweep import Sweep, sweep
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Finding
from deeptroubles.methods.transforms.shared.warp import Outside
from deeptroubles.recording import Recording

WARN_AT, FAIL_AT = 0.10, 0.30
FACTORS = (0.5, 0.7, 0.85, 1.15, 1.4, 2.0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What showing the image smaller or larger does to the answer."""

    sweep: Sweep
    border: Outside

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        scaled, share, count = self.sweep, self.sweep.share, len(self.sweep.changed)
        once = int(scaled.changed.any(1).sum())
        yield Finding(
            check="stability.scale",
            verdict=judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=share.value,
            claim=f"Showing an image at {percent(FACTORS[0])} to {percent(FACTORS[-1])} of its size changes the answer "
            f"in {percent_interval(share)} of the cases; {once} of {count} images can be scaled so that it changes.",
            criterion=criterion("the mean share of sizes that change the answer", warn_at=WARN_AT, fail_at=FAIL_AT)
            + " The thresholds are our convention.",
            evidence=scaled.evidence(
                label="Sizes that change the answer",
                title="Images whose answer changes, by size",
                x_label="size, 1 as it is",
                unchanged=1.0,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            caveats=[
                *few(count),
                "An enlarged image loses its rim, and with it perhaps what it shows.",
                (
                    f"What surrounds a smaller image is made up ({self.border} border); of the {once} images that "
                    f"change, {scaled.whatever_border} change for one and the same size with every border."
                ),
                "Answers are compared with the one before, right or wrong.",
            ],
        )


@check("stability.scale")
def scale(recording: Recording, engine: Engine, *, seed: int, border: Outside = "mirror") -> Scale:
    """Does the answer change when the image is shown smaller or larger?

    What it asks:
        Each image is scaled around its middle to 50, 70, 85, 115, 140 and 200 % of its size. How often is the most
        likely class another one than before?

    Why it matters:
        A thing is the same from one step farther away. Training pictures are often cropped and scaled in one way, so
        that a network knows things at one size only.

    How to read it:
        The estimate is the mean over images of the share of sizes that change the answer; its interval is over images.
        The curve shows every size with Wilson's interval, and the right answers where labels are known.

    Limits:
        What surrounds a smaller image is made up, and the rim of a larger one is lost; the caveat says how many changes
        do not depend on the border. Images are interpolated, and blurred before they are made smaller.

    References:
        A. Azulay, Y. Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.

        H. Touvron et al., Fixing the train-test resolution discrepancy, NeurIPS 2019.
    """
    return Scale(sweep=sweep(recording, engine, "scale", FACTORS, border, in_words), border=border)


def in_words(factor: float) -> str:
    """A factor in words."""
    return f"scaled to {percent(factor)}"
