"""stability.scale: does the prediction change with the size of the object?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.stability.shared.sweep import Range, Sweep, sweep
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Finding
from deeptroubles.methods.transforms.scale import scale as scaled
from deeptroubles.methods.transforms.shared.warp import Border
from deeptroubles.recording import Recording

LIMITS = Limits(
    "the mean share of sizes that change the prediction",
    warn_at=0.50,
    fail_at=0.75,
    note="The thresholds are conventions; published networks lie below them.",
)
FACTORS = (0.5, 0.7, 0.85, 1.15, 1.4, 2.0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The effect of scaling images on the prediction."""

    sweep: Sweep
    border: Border

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        found, count = self.sweep, len(self.sweep.changed)
        yield Finding(
            check="stability.scale",
            verdict=found.looks.verdict(LIMITS, found.share),
            severity=found.share.value,
            claim=f"Scaling an image to {percent(FACTORS[0])} to {percent(FACTORS[-1])} of its size changes the "
            f"prediction in {percent_interval(found.share)} of cases (on {found.ever} of {count} images for at least "
            "one size).",
            criterion=LIMITS.criterion,
            evidence=found.evidence(
                LIMITS,
                label="Sizes that change the prediction",
                title="Images whose prediction changes, by size",
                x_label="size (1: unchanged)",
            ),
            caveats=[
                *few(count),
                *found.looks.caveats,
                "An enlarged image loses its margins, and possibly part of the object.",
                (
                    f"The surroundings of a smaller image are filled in ({self.border} border); the prediction "
                    f"changes on {found.ever} images, on {found.in_both} of them for the same size with every border."
                ),
                "Predictions are compared with those for the unchanged image, correct or not.",
            ],
        )


@check("stability.scale")
def scale(recording: Recording, engine: Engine, *, seed: int, border: Border = "mirror") -> Scale:
    """Does the prediction change when the image is scaled?

    What it asks:
        Each image is scaled around its center to 50, 70, 85, 115, 140 and 200% of its size. How often does the most
        likely class change?

    Why it matters:
        An object is the same from one step farther away. Training images are often cropped and scaled in one way, so
        that a network recognizes objects at one size only.

    How to read it:
        The estimate is the mean over images of the share of sizes that change the prediction; its interval is over
        images. The curve shows every size with Wilson's interval, and the correct predictions where labels are known.

    Limits:
        The surroundings of a smaller image are filled in, and the margins of a larger one are lost; the caveat says how
        many changes do not depend on the border. Images are interpolated, and blurred before they are made smaller.

    References:
        A. Azulay, Y. Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.

        H. Touvron et al., Fixing the train-test resolution discrepancy, NeurIPS 2019.
    """
    other: Border = "black" if border == "mirror" else "mirror"
    over = Range(
        transform=scaled,
        values=FACTORS,
        unchanged=1.0,
        in_words=in_words,
        settings={"border": border},
        control={"border": other},
    )
    return Scale(sweep=sweep(recording, engine, over, LIMITS, seed), border=border)


def in_words(factor: float) -> str:
    """A factor in words."""
    return f"scaled to {percent(factor)}"
